"""Read a TensorFlow SavedModel, and find its image function, output and trainable variables.

Letters: B batch, (X, Y) image height and width, C channels.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
from keras import tree

from vit_keras.errors import SettingError
from vit_keras.text import counted

Shape = tuple[int, int, int]  # X, Y, C


class TrackedVariable(NamedTuple):
    """A variable of a SavedModel that Keras tracks: the arguments of `add_weight`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool


@dataclass(frozen=True)
class SavedModel:
    """A SavedModel in memory.

    Attributes:
        folder: from which it was read.
        files: contents of its files except the variables, by path in the folder.
        loaded: TensorFlow's object.
        variables: each `tf.Variable`, in the order in which TensorFlow creates them.
        trainable: whether each variable was saved as trainable.
        call: (B, X, Y, C) of `spec`'s dtype -> the nested outputs.
        spec: the `tf.TensorSpec` of the input.
    """

    folder: str | Path
    files: dict[str, bytes]  # in memory: the folder may be gone when the model is saved again
    # A reference, because TensorFlow's functions hold the variables they capture only weakly; in
    # a dataclass, because Keras would track it as an attribute of the layer.
    loaded: Any
    variables: list[Any]
    trainable: list[bool]
    call: Callable[[Any], Any]
    spec: Any


def require_tensorflow() -> None:
    """Raise a `SettingError` unless the backend is TensorFlow."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise SettingError(
            f"KERAS_BACKEND={backend} cannot run a TensorFlow SavedModel; set "
            "KERAS_BACKEND=tensorflow before Python starts"
        )


def read(folder: str | Path, variables: Sequence[Any] | None = None) -> SavedModel:
    """Load a SavedModel.

    Args:
        folder: contains `saved_model.pb`.
        variables: use these, in TensorFlow's order, in place of the SavedModel's own; None for one
            that is not used. `folder/variables` is then not read.

    Raises:
        SettingError: no SavedModel, an incomplete one, or one that does not take images; a
            `tf.distribute` strategy is active.
    """
    import tensorflow as tf

    if not tf.saved_model.contains_saved_model(str(folder)):
        raise SettingError(
            f"folder={folder} is no SavedModel: it has no saved_model.pb; use the folder that "
            "contains that file"
        )
    if tf.distribute.has_strategy():
        raise SettingError(
            f"folder={folder} cannot be loaded under a tf.distribute strategy; load it outside of "
            "`strategy.scope()` and train on one device"
        )
    trainable: list[bool] = []
    created: list[Any] = []

    def create(next_creator: Callable[..., Any], **settings: Any) -> Any:
        trainable.append(settings.pop("trainable"))
        # tf.GradientTape watches only variables created as trainable; Keras decides what trains.
        variable = None if variables is None else variables[len(created)]
        created.append(next_creator(trainable=True, **settings) if variable is None else variable)
        return created[-1]

    options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=variables is not None)
    try:
        with tf.variable_creator_scope(create):
            loaded = tf.saved_model.load(str(folder), options=options)
    except Exception as error:  # of any kind, depending on the file
        raise SettingError(
            f"folder={folder} cannot be loaded: {_reason(error)}; download or export it again"
        ) from error
    return SavedModel(
        folder, _files(folder), loaded, created, trainable, *_image_function(loaded, folder)
    )


def _files(folder: str | Path) -> dict[str, bytes]:
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    names = {path.relative_to(folder): path for path in files}
    return {n.as_posix(): p.read_bytes() for n, p in names.items() if n.parts[0] != "variables"}


def _reason(error: Exception) -> str:
    """The first line of TensorFlow's message, without names of graph nodes."""
    text = re.sub(r"\{\{.*?\}\}", "", str(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _image_function(loaded: Any, folder: str | Path) -> tuple[Callable[[Any], Any], Any]:
    """The function that takes one batch of images, and the spec of that batch."""
    function: Any = loaded.__call__ if callable(loaded) else None
    found = []
    for concrete in getattr(function, "concrete_functions", ()):
        specs = _specs(concrete)
        if _are_images(specs):
            has_training = "training" in function.function_type.parameters
            return partial(function, **({"training": False} if has_training else {})), specs[0]
        found += specs
    signature = getattr(loaded, "signatures", {}).get("serving_default")
    if signature is not None:
        specs = _specs(signature)
        if _are_images(specs):
            (name,) = signature.structured_input_signature[1]
            return lambda images: signature(**{name: images}), specs[0]
        found += specs
    raise SettingError(
        f"folder={folder} has no function of one float batch of images (B, X, Y, C): it takes "
        f"{', '.join(dict.fromkeys(map(str, found))) or 'nothing'}; export it with such a "
        "__call__ or serving_default"
    )


def _specs(concrete: Any) -> list[Any]:
    import tensorflow as tf

    leaves = tree.flatten(concrete.structured_input_signature)
    return [leaf for leaf in leaves if isinstance(leaf, tf.TensorSpec)]


def _are_images(specs: list[Any]) -> bool:
    return len(specs) == 1 and specs[0].dtype.is_floating and specs[0].shape.rank in (None, 4)


def find_logits(saved: SavedModel, shape: Shape) -> tuple[int, int]:
    """Run one image, and return the index of the flattened output (B, units) and its units.

    Raises:
        SettingError: not exactly one output has that shape, or the model cannot be run.
    """
    try:
        outputs = saved.call(_one_image(saved, shape))
    except Exception as error:  # of any kind, depending on the graph
        raise SettingError(
            f"folder={saved.folder} does not run on an image of {shape}: {_reason(error)}; use "
            "another image_size, or export it again"
        ) from error
    leaves = tree.flatten_with_path(outputs)
    found = [("/".join(map(str, path)), tuple(x.shape)) for path, x in leaves]
    vectors = [index for index, (_, shape) in enumerate(found) if len(shape) == 2]
    if len(vectors) != 1:
        shapes = ", ".join(f"{name} {shape}".strip() for name, shape in found)
        raise SettingError(
            f"folder={saved.folder} has {len(vectors)} outputs of shape (B, units), and one is "
            f"needed; for one image it gives {shapes}; export it with only that output"
        )
    return vectors[0], found[vectors[0]][1][1]


def _one_image(saved: SavedModel, shape: Shape) -> Any:
    import tensorflow as tf

    return tf.zeros((1, *shape), saved.spec.dtype)


def tracked_variables(
    saved: SavedModel, shape: Shape, output: int, train_all: bool
) -> list[TrackedVariable | None]:
    """How Keras tracks each variable; None for a variable that the call does not use.

    Raises:
        SettingError: no variables, one that Keras cannot track, or none that can be trained.
    """
    used, reached = _used_and_reached(saved, shape, output)
    indices = [i for i, variable in enumerate(saved.variables) if variable.ref() in used]
    trained = {
        i
        for i in indices
        if saved.variables[i].ref() in reached and (train_all or saved.trainable[i])
    }
    _check(saved, [saved.variables[i] for i in indices], len(reached), len(trained))
    result: list[TrackedVariable | None] = [None] * len(saved.variables)
    for i, name in _names(saved, indices).items():
        variable = saved.variables[i]
        result[i] = TrackedVariable(name, tuple(variable.shape), variable.dtype.name, i in trained)
    return result


def _used_and_reached(saved: SavedModel, shape: Shape, output: int) -> tuple[set[Any], set[Any]]:
    """References of the variables that a call uses, and of those that have a gradient."""
    import tensorflow as tf

    try:
        with tf.GradientTape() as tape:
            y = tf.reduce_sum(tree.flatten(saved.call(_one_image(saved, shape)))[output])
        used = tape.watched_variables()
        floats = [variable for variable in used if variable.dtype.is_floating]
        gradients = tape.gradient(y, floats)
    except Exception as error:  # usually a LookupError, depending on the graph
        raise SettingError(
            f"folder={saved.folder} has no gradient and cannot be trained: "
            f"{_reason(error)}; export it again with its gradients (jax2tf: with_gradient=True)"
        ) from error
    reached = (v for v, gradient in zip(floats, gradients, strict=True) if gradient is not None)
    return {variable.ref() for variable in used}, {variable.ref() for variable in reached}


def _check(saved: SavedModel, variables: list[Any], reached: int, trained: int) -> None:
    where = f"folder={saved.folder}"
    if not variables:
        raise SettingError(
            f"{where} has no variables of TensorFlow 2: its weights are constants, or "
            "TensorFlow 1 wrote it; export it again with its weights as tf.Variable"
        )
    for variable in variables:
        if not variable.shape.is_fully_defined() or variable.dtype == "string":
            raise SettingError(
                f"{where} uses a variable that Keras cannot track, {variable.name} of shape "
                f"{variable.shape} and {variable.dtype.name}; export it again without"
            )
    if not reached:
        raise SettingError(
            f"{where} has no gradient for any of its {counted(len(variables), 'variable[s]')}; "
            "export it again so that its output depends on them"
        )
    if not trained:
        raise SettingError(
            f"{where} has {counted(reached, 'variable[s]')} with a gradient, all saved as not "
            "trainable; set train_all=True to train them"
        )


def _names(saved: SavedModel, indices: list[int]) -> dict[int, str]:
    """Unique variable names: index -> name."""
    variables = [saved.variables[i] for i in indices]
    own = [re.sub(r"\W+", "_", v.name.partition(":")[0], flags=re.A).strip("_") for v in variables]
    for names in (own, [f"variable_{i}" for i in indices]):
        # Weight decay is applied to names that end in "kernel": all matrices get that ending.
        names = [
            f"{name}_kernel" if len(v.shape) >= 2 and not name.endswith("kernel") else name
            for name, v in zip(names, variables, strict=True)
        ]
        if len(set(names)) == len(names):
            break
    return dict(zip(indices, names, strict=True))
