"""A TensorFlow SavedModel that is no ViT we know, wrapped whole: float32, and its weights train.

Letters as in `tokens.py`: B batch, (X, Y) image height and width, C channels. What a SavedModel
holds is read in `saved_model.py`; only the TensorFlow backend can run one.
"""

from pathlib import Path
from typing import Any

import keras
from keras import ops, tree
from keras.src.saving import serialization_lib

from vit_keras import validators
from vit_keras.errors import SettingError
from vit_keras.model import preprocessing
from vit_keras.pretrained import saved_model


@keras.saving.register_keras_serializable("vit_keras")
class SavedModelLayer(keras.layers.Layer):
    """A SavedModel's own function: (B, X, Y, C) -> (B, units), float32 under each precision policy.

    `opaque_model` makes it. Its weights are the SavedModel's variables, one storage with two names,
    so training, freezing and loading weights reach both. It runs as in inference: no dropout, no
    new batch statistics. A `.keras` file carries the SavedModel's graph beside the weights.

    Args:
        variables: the name, shape, dtype and trainability of each, in TensorFlow's order; None for
            one that is not used.
        units: the length of its output.
        output: which of its outputs, flattened, that is.

    Raises:
        SettingError: a backend other than TensorFlow; a call before the graph is there.
    """

    def __init__(self, variables, units, output=0, **kwargs):
        saved_model.need_tensorflow()
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.held = tuple(each and saved_model.Held(*each) for each in variables)
        self.units = units
        self.output_place = output
        # Made here and not in `build`: an optimizer that is loaded looks for them before any call.
        self.held_weights = [
            held and self.add_weight(initializer="zeros", **held._asdict()) for held in self.held
        ]
        self._saved: saved_model.SavedModel | None = None

    def share(self, saved: saved_model.SavedModel) -> None:
        """Let each weight be the SavedModel's variable from now on, its value included."""
        for weight, variable in zip(self.held_weights, saved.variables, strict=True):
            if weight is not None:
                weight._value = variable
        self._saved = saved

    def call(self, pixels):
        if self._saved is None:
            raise SettingError(
                f"the layer {self.name} has no SavedModel: it was made from a configuration alone; "
                "use opaque_model, or keras.models.load_model on a .keras file"
            )
        outputs = self._saved.call(ops.cast(pixels, self._saved.spec.dtype))
        return ops.cast(tree.flatten(outputs)[self.output_place], "float32")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "variables": self.held,
            "units": self.units,
            "output": self.output_place,
        }

    @classmethod
    def from_config(cls, config):
        """The layer without its graph, which `load_assets` brings.

        Raises:
            SettingError: in Keras' safe mode, or when nothing says that the file is trusted.
        """
        if serialization_lib.in_safe_mode() is not False:
            raise SettingError(
                "safe_mode=True refuses this model: it carries a TensorFlow SavedModel, which is "
                "code; if you trust where it comes from, load it with "
                "keras.models.load_model(path, safe_mode=False)"
            )
        return cls(**config)

    def save_assets(self, path):
        """Write the SavedModel without its values, which are among the model's weights."""
        for name, content in self._saved.files.items() if self._saved else ():
            file = Path(path, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def load_assets(self, path):
        """Read the graph around the weights that are there: an optimizer may know them by now."""
        variables = [None if weight is None else weight.value for weight in self.held_weights]
        self._saved = saved_model.read(path, variables)


def opaque_model(
    folder: str | Path,
    num_classes: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    pixel_mean: Any = 0.5,
    pixel_std: Any = 0.5,
    train_all: bool = False,
    name: str | None = None,
) -> keras.Model:
    """A SavedModel from pixels to logits: (B, X, Y, C) in 0..255 -> (B, num_classes) float32.

    A functional model of the layers `normalization`, `backbone` and `head`.

    Args:
        folder: of the SavedModel: `saved_model.pb`, and `variables` beside it.
        num_classes: the units of a new head; None keeps the SavedModel's output as it is.
        image_size: X = Y, or (X, Y); needed where the SavedModel takes every size.
        pixel_mean: what it was trained with, per channel or one for all, in units of the full
            range; 0.5 and 0.5 bring pixels into [-1, 1], 0.0 and 1.0 into [0, 1].
        pixel_std: as `pixel_mean`.
        train_all: train each variable that a gradient reaches, also those that were saved as not
            trainable, as jax2tf saves them; moving averages too, where there are any.
        name: of the model; `opaque` unless given.

    Raises:
        SettingError: a SavedModel that cannot be read, called on images, or trained; sizes that do
            not fit; a backend other than TensorFlow.
    """
    saved_model.need_tensorflow()
    if num_classes is not None:
        validators.check_int("num_classes", num_classes)
    saved = saved_model.read(folder)
    shape = _image_shape(saved, image_size)
    validators.check_per_channel("pixel_mean", pixel_mean, shape[-1])
    validators.check_per_channel("pixel_std", pixel_std, shape[-1], positive=True)
    output, units = saved_model.logits(saved, shape)
    held = saved_model.held(saved, shape, output, train_all)
    backbone = SavedModelLayer(held, units, output, name="backbone")
    backbone.share(saved)

    pixels = keras.Input(shape, name="pixels")
    y = backbone(preprocessing.normalization(pixel_mean, pixel_std)(pixels))
    if num_classes is not None:
        y = keras.layers.Dense(
            num_classes, kernel_initializer="zeros", dtype="float32", name="head"
        )(y)
    return keras.Model(pixels, y, name=name or "opaque")


def _image_shape(saved: saved_model.SavedModel, image_size: Any) -> tuple[int, int, int]:
    """(X, Y, C) that the SavedModel takes, or that `image_size` asks for where it takes any."""
    batch, *sides, channels = saved.spec.shape if saved.spec.shape.rank else [None] * 4
    if batch is not None:
        raise SettingError(
            f"folder={saved.folder} takes batches of {batch} and no other; export it with a batch "
            "size of None"
        )
    if image_size is None:
        if None in sides:
            raise SettingError(
                f"image_size is not set, and folder={saved.folder} takes images of every size; "
                "give image_size, in pixels"
            )
        return (*sides, channels or 3)
    asked = validators.height_and_width(image_size)
    if any(side not in (None, size) for side, size in zip(sides, asked, strict=True)):
        raise SettingError(
            f"image_size={image_size} is not what folder={saved.folder} takes, "
            f"{sides[0]}x{sides[1]}; leave image_size out"
        )
    return (*asked, channels or 3)
