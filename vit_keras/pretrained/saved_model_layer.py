"""An unrecognised TensorFlow SavedModel wrapped as a trainable float32 layer.

Only the TensorFlow backend can run it. Letters: B batch, (X, Y) height and width, C channels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
from keras import ops, tree
from keras.src.saving import serialization_lib

from vit_keras import validators
from vit_keras.errors import SettingError
from vit_keras.model import preprocessing
from vit_keras.pretrained import saved_model

_trusted = False


@contextmanager
def trusting_the_file() -> Iterator[None]:
    """Within this context, safe mode loads the SavedModel in a `.keras` file, and nothing else."""
    global _trusted
    _trusted = True
    try:
        yield
    finally:
        _trusted = False


@keras.saving.register_keras_serializable("vit_keras")
class SavedModelLayer(keras.layers.Layer):
    """A SavedModel as a layer: (B, X, Y, C) -> (B, units), float32 under every precision policy.

    Made by `wrapped_model`. The layer's weights are the SavedModel's variables, so training,
    freezing and loading weights change both. It always runs in inference mode: no dropout, no
    update of batch statistics. A `.keras` file stores the SavedModel's graph beside the weights.

    Args:
        variables: name, shape, dtype and trainability of each variable, in TensorFlow's order; None
            for one that is not used.
        units: length of the output.
        output: index of the output among the flattened outputs.

    Raises:
        SettingError: a backend other than TensorFlow; a call before the graph is loaded.
    """

    def __init__(self, variables, units, output=0, **kwargs):
        saved_model.require_tensorflow()
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.tracked_variables = tuple(
            None if variable is None else saved_model.TrackedVariable(*variable)
            for variable in variables
        )
        self.units = units
        self.output_index = output
        # Created here, not in `build`: loading an optimizer needs them before the first call.
        self.tracked_weights = [
            None if variable is None else self._add_variable(variable)
            for variable in self.tracked_variables
        ]
        self._saved: saved_model.SavedModel | None = None

    def _add_variable(self, variable):
        return self.add_weight(initializer="zeros", **variable._asdict())

    def share_variables(self, saved: saved_model.SavedModel) -> None:
        """Make each weight of the layer the same `tf.Variable` as the SavedModel's."""
        for weight, variable in zip(self.tracked_weights, saved.variables, strict=True):
            if weight is not None:
                weight._value = variable
        self._saved = saved

    def call(self, pixels):
        if self._saved is None:
            raise SettingError(
                f"the layer {self.name} has no SavedModel: it was made from its configuration; "
                "use wrapped_model, or keras.models.load_model on a .keras file"
            )
        outputs = self._saved.call(ops.cast(pixels, self._saved.spec.dtype))
        return ops.cast(tree.flatten(outputs)[self.output_index], "float32")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "variables": self.tracked_variables,
            "units": self.units,
            "output": self.output_index,
        }

    @classmethod
    def from_config(cls, config):
        """The layer without its graph, which `load_assets` adds.

        Raises:
            SettingError: in Keras' safe mode, or if safe mode is not turned off explicitly.
        """
        if serialization_lib.in_safe_mode() is not False and not _trusted:
            raise SettingError(
                "safe_mode=True refuses this model: it carries a TensorFlow SavedModel, which is "
                "code; if you trust where it comes from, load it with "
                "keras.models.load_model(path, safe_mode=False)"
            )
        return cls(**config)

    def save_assets(self, path):
        """Write the SavedModel without its variables, which are saved as the model's weights."""
        for name, content in self._saved.files.items() if self._saved else ():
            file = Path(path, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def load_assets(self, path):
        """Load the graph with the existing weights as its variables."""
        # New variables would be unknown to an optimizer that was loaded before.
        variables = [None if weight is None else weight.value for weight in self.tracked_weights]
        self._saved = saved_model.read(path, variables)


def wrapped_model(
    folder: str | Path,
    num_classes: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    pixel_mean: Any = 0.5,
    pixel_std: Any = 0.5,
    train_all: bool = False,
    name: str | None = None,
) -> keras.Model:
    """A model around a SavedModel: (B, X, Y, C) in 0..255 -> (B, num_classes) float32 logits.

    A functional model of the layers `normalization`, `backbone` and `head`.

    Args:
        folder: of the SavedModel: contains `saved_model.pb` and `variables`.
        num_classes: number of logits of a new head; None keeps the SavedModel's output.
        image_size: X = Y, or (X, Y), in pixels; needed if the SavedModel takes any size.
        pixel_mean: normalisation with which it was trained, per channel or one for all, in units of
            the full range; 0.5 and 0.5 map pixels to [-1, 1], 0.0 and 1.0 to [0, 1].
        pixel_std: as `pixel_mean`.
        train_all: train every variable that has a gradient, including those saved as not trainable
            (as by jax2tf) and moving averages.
        name: of the model; default `saved_model`.

    Raises:
        SettingError: a SavedModel that cannot be read, called on images, or trained; an image size
            that it does not take; a backend other than TensorFlow.
    """
    saved_model.require_tensorflow()
    if num_classes is not None:
        validators.check_int("num_classes", num_classes)
    saved = saved_model.read(folder)
    shape = _image_shape(saved, image_size)
    validators.check_per_channel("pixel_mean", pixel_mean, shape[-1])
    validators.check_per_channel("pixel_std", pixel_std, shape[-1], positive=True)
    output, units = saved_model.find_logits(saved, shape)
    held = saved_model.tracked_variables(saved, shape, output, train_all)
    backbone = SavedModelLayer(held, units, output, name="backbone")
    backbone.share_variables(saved)

    pixels = keras.Input(shape, name="pixels")
    y = backbone(preprocessing.normalization(pixel_mean, pixel_std)(pixels))
    if num_classes is not None:
        y = keras.layers.Dense(
            num_classes, kernel_initializer="zeros", dtype="float32", name="head"
        )(y)
    return keras.Model(pixels, y, name=name or "saved_model")


def _image_shape(saved: saved_model.SavedModel, image_size: Any) -> tuple[int, int, int]:
    """(X, Y, C) of the SavedModel's input, with `image_size` if it takes any size."""
    batch, *sides, channels = saved.spec.shape if saved.spec.shape.rank else [None] * 4
    if batch is not None:
        raise SettingError(
            f"folder={saved.folder} takes only batches of {batch}; export it with a batch size "
            "of None"
        )
    if image_size is None:
        if None in sides:
            raise SettingError(
                f"image_size is not set, and folder={saved.folder} takes images of any size; "
                "set image_size, in pixels"
            )
        return (*sides, channels or 3)
    asked = validators.height_and_width(image_size)
    if any(side not in (None, size) for side, size in zip(sides, asked, strict=True)):
        raise SettingError(
            f"image_size={image_size} does not match folder={saved.folder}, which takes "
            f"{sides[0]}x{sides[1]}; leave image_size out"
        )
    return (*asked, channels or 3)
