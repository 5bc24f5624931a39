"""How images of every kind become RGB of eight bits: the settings of `data` that a run keeps."""

from dataclasses import dataclass, replace

from vit_keras.config.schema import DataConfig


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
    """

    background: str = "auto"
    bit_depth: int | None = None
    decoder_version: int = 2

    @classmethod
    def of(cls, config: DataConfig) -> "PixelOptions":
        """The options of a run's `data` settings."""
        return cls(config.background, config.bit_depth, config.decoder_version)

    def with_bit_depth(self, bit_depth: int | None) -> "PixelOptions":
        return replace(self, bit_depth=bit_depth)
