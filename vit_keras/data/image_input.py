"""How an image comes to a model's input, in words and as a program that needs neither Keras nor us.

Every model that leaves a run takes it along: an export in `export.json` and in its own file,
`save_pretrained` as the processor of Hugging Face.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit_keras.config.schema import DataConfig
from vit_keras.data.preprocess.program import program_text
from vit_keras.data.value_range import WINDOW, as_setting

PREPROCESS = "preprocess.py"  # the program's name beside a model
KEY = "image_input"  # in export.json and in the metadata of a file
BACKGROUNDS = {
    "auto": "white, or black for an image whose mean contrast with white is below 32 of 255",
    "white": "white",
    "black": "black",
    "checker": "a checkerboard of 102 and 153, eight squares along the shorter side",
}

RESIZE = {
    "crop": "resize so that the shorter side fits, and cut out the centre",
    "stretch": "resize both sides; the aspect ratio changes",
    "pad": "resize so that the longer side fits, and centre it on black",
}
COLORS = {1: "grey: ITU-R BT.601 of RGB", 3: "RGB"}


@dataclass(frozen=True)
class ImageInput:
    """How an image comes to a model's input.

    Attributes:
        height, width, channels: of the input.
        resize_mode: crop, stretch or pad, as `data.resize_mode`.
        background: what transparent pixels are composited over, as `data.background`.
        bit_depth: of images of 16 bits, as `data.bit_depth`.
        decoder_version: as `data.decoder_version`.
        value_range: (low, high) or `window`, as `data.value_range`; None for images of 256 levels.
    """

    height: int
    width: int
    channels: int
    resize_mode: str = "stretch"
    background: str = "auto"
    bit_depth: int | None = None
    decoder_version: int = 2
    value_range: Any = None

    @classmethod
    def of_run(cls, config: DataConfig, shape: tuple[int, int, int]) -> "ImageInput":
        """That of a model with the input `shape` (X, Y, C), trained on these data."""
        return cls(
            *shape,
            resize_mode=config.resize_mode,
            background=config.background,
            bit_depth=config.bit_depth,
            decoder_version=config.decoder_version,
            value_range=as_setting(config.value_range),
        )

    @property
    def dtype(self) -> str:
        """Of the input."""
        return "uint8" if self.value_range is None else "float32"

    def describe(self) -> dict[str, Any]:
        """Every step from a file to the input, as `export.json` has it."""
        return {
            "name": "pixels",
            "dtype": self.dtype,
            "layout": "batch, height, width, channels",
            "height": self.height,
            "width": self.width,
            "channels": self.channels,
            "color": COLORS.get(self.channels, "as in the arrays that the run was trained on"),
            "range": [0, 255],
            **self._stored_values,
            "normalization": "none: it is part of the model",
            "orientation": "upright, by EXIF",
            "background": BACKGROUNDS[self.background],
            "bit_depth": self._bit_depth,
            "icc_profile": "ignored" if self.decoder_version == 1 else "converted to sRGB",
            "resize_mode": self.resize_mode,
            "resize": RESIZE[self.resize_mode],
            "interpolation": "linear, of pixel centres",
            "antialias": "before: averaged by the integer part of the factor; then, if more than "
            "1.5 is left, blurred by (1 2 1) / 4",
        }

    @property
    def _stored_values(self) -> dict[str, Any]:
        """How stored values become 0 to 255, of a run with a `data.value_range`."""
        if self.value_range is None:
            return {}
        window = "of each DICOM file its own window (VOI LUT)"
        return {
            "value_range": window if self.value_range == WINDOW else list(self.value_range),
            "value_mapping": "linear to 0 to 255 in float32, clipped; DICOM after its modality LUT",
        }

    @property
    def _bit_depth(self) -> str:
        if self.value_range is not None:
            return "all bits are kept"
        if self.decoder_version == 1:
            return "8; of 16 bits the upper eight, rounded"
        return f"8; samples of 16 bits are of {self.bit_depth or 16}, scaled to 8"

    @property
    def program(self) -> str:
        """`preprocess.py`; empty for arrays of 2 or 4 channels, which no file makes."""
        if self.channels not in COLORS and self.value_range is None:
            return ""
        return program_text(vars(self))

    def write_preprocess(self, folder: Path) -> None:
        """Write `preprocess.py` beside a model, if there is one for its input."""
        if self.program:
            (folder / PREPROCESS).write_text(self.program, encoding="utf-8")
