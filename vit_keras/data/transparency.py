"""Composite transparent images over a background, `data.background`."""

from typing import Any

import numpy as np
from PIL import Image

# Mean contrast with white, of 255, below which the background `auto` is black.
MIN_CONTRAST = 32
SQUARES = 8  # of the checkerboard, along the shorter side
CHECKER = (102, 153)  # levels, which differ from black and from white
FLAT = 3  # levels of 255: an image that varies by no more is of one flat colour


def has_alpha(image: Any) -> bool:
    """Whether a Pillow image has an alpha channel, or a transparent colour."""
    return "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La")


def is_partly_transparent(image: Any) -> bool:
    """Whether a pixel of a Pillow image, loaded, is not opaque."""
    if not has_alpha(image) or image.mode.startswith("I"):
        return has_alpha(image)
    return image.convert("RGBA").getchannel("A").getextrema()[0] < 255


def composite(image: Any, background: str) -> Any:
    """An RGBA image -> RGB, over white, black, a checkerboard, or what `auto` selects.

    An alpha channel of zeros, as in many BMP files, says nothing: the image is opaque.
    """
    alpha = np.asarray(image.getchannel("A"))
    if not alpha.any():
        return image.convert("RGB")
    if background == "auto":
        background = "white" if _contrast_with_white(image, alpha) >= MIN_CONTRAST else "black"
    if background == "checker":
        behind = Image.fromarray(_checkerboard(image.height, image.width)).convert("RGBA")
    else:
        behind = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(behind, image).convert("RGB")


def is_flat(pixels: np.ndarray) -> bool:
    """Whether (x, y) or (x, y, C) uint8 pixels are of one colour."""
    channels = [pixels] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    return all(int(channel.max()) - int(channel.min()) <= FLAT for channel in channels)


def _contrast_with_white(image: Any, alpha: np.ndarray) -> float:
    """The mean, over the visible pixels, of the difference of the darkest channel from white."""
    darkest = np.asarray(image)[..., :3].min(axis=2)
    return float(np.average(255 - darkest, weights=alpha))


def _checkerboard(height: int, width: int) -> np.ndarray:
    side = max(1, min(height, width) // SQUARES)
    rows, columns = np.ogrid[:height, :width]
    return np.where((rows // side + columns // side) % 2, *CHECKER).astype(np.uint8)
