"""How images of every kind become RGB of eight bits: the settings of `data` that a run keeps."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vit_keras.config.schema import DataConfig
from vit_keras.data.value_range import as_setting


@dataclass(frozen=True)
class PixelOptions:
    """Settings that decide the pixels of an image, besides its size.

    Files, bytes, Pillow images and arrays are decoded by the same options in training, evaluation
    and prediction.

    Attributes:
        background: what transparent images are composited over, `data.background`.
        bit_depth: bits of 16-bit samples whose files do not say it, `data.bit_depth`; None decides
            by the largest value of an image, where that is unambiguous.
        decoder_version: `data.decoder_version`.
        value_range: `data.value_range`, a word or (low, high); None for images of 256 levels.
        channels: `data.channels`.
    """

    background: str = "auto"
    bit_depth: int | None = None
    decoder_version: int = 2
    value_range: Any = None
    channels: int | None = None

    @classmethod
    def of(cls, config: DataConfig) -> "PixelOptions":
        """The options of a run's `data` settings."""
        return cls(
            config.background,
            config.bit_depth,
            config.decoder_version,
            as_setting(config.value_range),
            config.channels,
        )

    @property
    def dtype(self) -> np.dtype:
        """Of the pixels, 0 to 255."""
        return np.dtype(np.uint8 if self.value_range is None else np.float32)

    def with_bit_depth(self, bit_depth: int | None) -> "PixelOptions":
        return replace(self, bit_depth=bit_depth)
