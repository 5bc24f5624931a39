"""What a TensorFlow SavedModel holds, and whether it can be trained: read once, then tried once.

Letters as in `opaque.py`.
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

Shape = tuple[int, int, int]  # X, Y, C


class Held(NamedTuple):
    """A variable as Keras holds it: the arguments of `add_weight`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool


@dataclass(frozen=True)
class SavedModel:
    """A SavedModel in memory.

    Attributes:
        folder: where it was read.
        files: all of it but the variables' values, by their path in the folder: the folder may be
            gone when the model is saved again.
        loaded: TensorFlow's object, kept because its functions hold what they capture only weakly;
            in here it is out of sight of Keras, which would track it as a part of the layer.
        variables: each `tf.Variable`, in the order that TensorFlow makes them in.
        trainable: of each variable, as it was saved.
        call: (B, X, Y, C) of `spec`'s dtype -> its outputs, nested as they are.
        spec: the `tf.TensorSpec` of its input.
    """

    folder: str | Path
    files: dict[str, bytes]
    loaded: Any
    variables: list[Any]
    trainable: list[bool]
    call: Callable[[Any], Any]
    spec: Any


def need_tensorflow() -> None:
    """Raise a `SettingError` on a backend that cannot run a SavedModel."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise SettingError(
            f"KERAS_BACKEND={backend} cannot run a TensorFlow SavedModel; set "
            "KERAS_BACKEND=tensorflow before Python starts"
        )


def read(folder: str | Path, variables: Sequence[Any] | None = None) -> SavedModel:
    """Load a SavedModel.

    Args:
        folder: of `saved_model.pb`.
        variables: take the place of the SavedModel's own, in their order, and keep their values;
            nothing is then read from `folder/variables`, and what is None stays without a value.

    Raises:
        SettingError: no SavedModel, or one that is not whole or not for images; a
            `tf.distribute` strategy.
    """
    import tensorflow as tf

    if not tf.saved_model.contains_saved_model(str(folder)):
        raise SettingError(
            f"folder={folder} is no SavedModel: no saved_model.pb is in it; give the folder that "
            "holds that file"
        )
    if tf.distribute.has_strategy():
        raise SettingError(
            f"folder={folder} cannot be loaded under a tf.distribute strategy; load it outside of "
            "`strategy.scope()`, and train on one device"
        )
    trainable: list[bool] = []
    made: list[Any] = []

    def create(next_creator: Callable[..., Any], **settings: Any) -> Any:
        trainable.append(settings.pop("trainable"))
        # Gradients reach only variables made as trainable; what trains is for Keras to say.
        given = None if variables is None else variables[len(made)]
        made.append(next_creator(trainable=True, **settings) if given is None else given)
        return made[-1]

    options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=variables is not None)
    try:
        with tf.variable_creator_scope(create):
            loaded = tf.saved_model.load(str(folder), options=options)
    except Exception as error:  # of any kind: what is in the file decides
        raise SettingError(
            f"folder={folder} cannot be loaded: {_reason(error)}; fetch or export it again, whole"
        ) from error
    return SavedModel(folder, _files(folder), loaded, made, trainable, *_entry(loaded, folder))


def _files(folder: str | Path) -> dict[str, bytes]:
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    names = {path.relative_to(folder): path for path in files}
    return {n.as_posix(): p.read_bytes() for n, p in names.items() if n.parts[0] != "variables"}


def _reason(error: Exception) -> str:
    """The first line of TensorFlow's message, without the names of its graph's nodes."""
    text = re.sub(r"\{\{.*?\}\}", "", str(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _entry(loaded: Any, folder: str | Path) -> tuple[Callable[[Any], Any], Any]:
    """What to call with one batch of images, and the spec of that batch."""
    function: Any = loaded.__call__ if callable(loaded) else None
    found = []
    for concrete in getattr(function, "concrete_functions", ()):
        specs = _specs(concrete)
        if _are_images(specs):
            inference = "training" in function.function_type.parameters
            return partial(function, **({"training": False} if inference else {})), specs[0]
        found += specs
    signature = getattr(loaded, "signatures", {}).get("serving_default")
    if signature is not None:
        specs = _specs(signature)
        if _are_images(specs):
            (name,) = signature.structured_input_signature[1]
            return lambda images: signature(**{name: images}), specs[0]
        found += specs
    raise SettingError(
        f"folder={folder} cannot be called with images, one float batch of (B, X, Y, C): it takes "
        f"{', '.join(dict.fromkeys(map(str, found))) or 'nothing'}; export it with such a "
        "__call__ or serving_default"
    )


def _specs(concrete: Any) -> list[Any]:
    import tensorflow as tf

    leaves = tree.flatten(concrete.structured_input_signature)
    return [leaf for leaf in leaves if isinstance(leaf, tf.TensorSpec)]


def _are_images(specs: list[Any]) -> bool:
    return len(specs) == 1 and specs[0].dtype.is_floating and specs[0].shape.rank in (None, 4)


def logits(saved: SavedModel, shape: Shape) -> tuple[int, int]:
    """Which of the outputs, flattened, is (B, units), and its units; found by running one image.

    Raises:
        SettingError: none is, or several are; or it does not run.
    """
    try:
        outputs = saved.call(_one_image(saved, shape))
    except Exception as error:  # of any kind: what is in the graph decides
        raise SettingError(
            f"folder={saved.folder} does not run on an image of {shape}: {_reason(error)}; give "
            "another image_size, or export it again"
        ) from error
    leaves = tree.flatten_with_path(outputs)
    found = [("/".join(map(str, path)), tuple(x.shape)) for path, x in leaves]
    fitting = [place for place, (_, shape) in enumerate(found) if len(shape) == 2]
    if len(fitting) != 1:
        shapes = ", ".join(f"{name} {shape}".strip() for name, shape in found)
        raise SettingError(
            f"folder={saved.folder} has {len(fitting)} outputs of shape (B, units), and one is "
            f"needed; for one image it gives {shapes}; export it with that one alone"
        )
    return fitting[0], found[fitting[0]][1][1]


def _one_image(saved: SavedModel, shape: Shape) -> Any:
    import tensorflow as tf

    return tf.zeros((1, *shape), saved.spec.dtype)


def held(saved: SavedModel, shape: Shape, output: int, train_all: bool) -> list[Held | None]:
    """How Keras is to hold each variable; None for what the call does not use, such as a copy.

    Raises:
        SettingError: no variables, one that Keras cannot hold, or none that can be trained.
    """
    used, reached = _tried(saved, shape, output)
    places = [place for place, variable in enumerate(saved.variables) if variable.ref() in used]
    trained = {
        place
        for place in places
        if saved.variables[place].ref() in reached and (train_all or saved.trainable[place])
    }
    _check(saved, [saved.variables[place] for place in places], len(reached), len(trained))
    result: list[Held | None] = [None] * len(saved.variables)
    for place, name in _names(saved, places).items():
        variable = saved.variables[place]
        result[place] = Held(name, tuple(variable.shape), variable.dtype.name, place in trained)
    return result


def _tried(saved: SavedModel, shape: Shape, output: int) -> tuple[set[Any], set[Any]]:
    """The variables that one call uses, and those of them that a gradient reaches, by reference."""
    import tensorflow as tf

    try:
        with tf.GradientTape() as tape:
            y = tf.reduce_sum(tree.flatten(saved.call(_one_image(saved, shape)))[output])
        used = tape.watched_variables()
        floats = [variable for variable in used if variable.dtype.is_floating]
        gradients = tape.gradient(y, floats)
    except Exception as error:  # a LookupError as a rule, but what is in the graph decides
        raise SettingError(
            f"folder={saved.folder} has no gradient, so that it cannot be trained: "
            f"{_reason(error)}; export it again with its gradients (jax2tf: with_gradient=True)"
        ) from error
    reached = (v for v, gradient in zip(floats, gradients, strict=True) if gradient is not None)
    return {variable.ref() for variable in used}, {variable.ref() for variable in reached}


def _check(saved: SavedModel, variables: list[Any], reached: int, trained: int) -> None:
    where = f"folder={saved.folder}"
    if not variables:
        raise SettingError(
            f"{where} uses no variables that TensorFlow 2 knows: its weights are constants, or "
            "TensorFlow 1 wrote it; export it again with its weights as tf.Variable"
        )
    for variable in variables:
        if not variable.shape.is_fully_defined() or variable.dtype == "string":
            raise SettingError(
                f"{where} uses a variable that Keras cannot hold, {variable.name} of shape "
                f"{variable.shape} and {variable.dtype.name}; export it again without"
            )
    if not reached:
        raise SettingError(
            f"{where} has no gradient: none reaches any of its {len(variables)} variables; export "
            "it again so that its output depends on them"
        )
    if not trained:
        raise SettingError(
            f"{where} has {reached} variables that a gradient reaches, all saved as not trainable; "
            "set train_all=True to train them"
        )


def _names(saved: SavedModel, places: list[int]) -> dict[int, str]:
    """Distinct names; weight decay knows kernels by their ending, so matrices get it."""
    variables = [saved.variables[place] for place in places]
    own = [re.sub(r"\W+", "_", v.name.partition(":")[0], flags=re.A).strip("_") for v in variables]
    for names in (own, [f"variable_{place}" for place in places]):
        names = [
            f"{name}_kernel" if len(v.shape) >= 2 and not name.endswith("kernel") else name
            for name, v in zip(names, variables, strict=True)
        ]
        if len(set(names)) == len(names):
            break
    return dict(zip(places, names, strict=True))
