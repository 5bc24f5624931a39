"""A model without its head, which computes features: of a run, or of pretrained weights.

Features are what the classification head reads, as in an evaluation (`evaluation.logits`). Keras is
imported when the model is opened.

B batch, (X, Y, C) shape of the model's input, D width of the features.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit_keras import backend
from vit_keras.config.schema import DataConfig
from vit_keras.data.image_input import ImageInput
from vit_keras.pretrained import download
from vit_keras.runs.run_dir import is_run
from vit_keras.runs.saved_run import SavedRun, open_run

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Backbone:
    """A model of which the features are used.

    Attributes:
        source: the path of the run or the weights, or the address that they were downloaded from.
        vit: the model in float32, with or without a head.
        data: the settings of the data by which images come to its input.
    """

    source: str
    vit: "keras.Model"
    data: DataConfig

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(X, Y, C)."""
        return self.vit.input_shape[1:]

    @cached_property
    def extractor(self) -> "keras.Model":
        """(B, X, Y, C) pixels -> features (B, D) float32, with the layers of `vit`."""
        import keras

        from vit_keras.model.vit import with_head_input

        model = with_head_input(self.vit)
        return keras.Model(model.inputs, model.outputs[1], name="extractor")

    @property
    def width(self) -> int:
        """D."""
        return self.extractor.output_shape[-1]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights without the head's, in the order of the layers, and of the input.

        Equal for a run and for the same weights opened by a handle.
        """
        digest = hashlib.sha256(str(self.input_shape).encode())
        for weight in self.extractor.get_weights():
            digest.update(f"{weight.shape} {weight.dtype}".encode())
            digest.update(weight.tobytes())
        return digest.hexdigest()


def find_run(source: str | Path) -> SavedRun | None:
    """The run that `source` is the folder of, or None for pretrained weights. Without Keras.

    Raises:
        SettingError: the run is damaged, or there is nothing of this name and it is no address.
    """
    if not is_run(source):
        download.check(str(source), "model")
        return None
    saved = open_run(source)
    saved.check_model()
    return saved


def open_backbone(source: str | Path | SavedRun, image_size: Any = None) -> Backbone:
    """Open a run, or load pretrained weights.

    Args:
        source: the folder of a run or the result of `open_run`; or a handle as of
            `load_pretrained`.
        image_size: of pretrained weights, side or (height, width) in pixels; None is their own.

    Raises:
        SettingError: as `find_run` and `load_pretrained`.
    """
    saved = source if isinstance(source, SavedRun) else find_run(source)
    backend.import_keras()
    from vit_keras.export.serving_model import in_float32
    from vit_keras.pretrained.load import load_pretrained

    if saved is not None:
        return Backbone(str(saved.path), in_float32(saved.model), saved.config.data)
    handle = str(source)
    vit = load_pretrained(handle, image_size=image_size, num_classes=0, dtype="float32")
    where = str(Path(handle).expanduser().resolve()) if download.is_on_disk(handle) else handle
    return Backbone(where, vit, _data_config(getattr(vit, "image_input", None)))


def _data_config(found: ImageInput | None) -> DataConfig:
    """The settings by which weights were trained where their file says so, otherwise the usual."""
    if found is None:
        return DataConfig()
    names = ("resize_mode", "background", "bit_depth", "decoder_version", "value_range")
    channels = None if found.value_range is None else found.channels
    return DataConfig(**{name: getattr(found, name) for name in names}, channels=channels)
