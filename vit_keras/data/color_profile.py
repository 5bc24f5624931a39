"""Convert images with an ICC profile to sRGB, as a viewer does."""

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

# Mode of an image -> the colour space that its profile has to be of.
SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}
TOLERANCE = 2  # levels of 255: a profile that changes no colour by more is sRGB


def to_srgb(image: Any, profile: bytes | None) -> Any:
    """A Pillow image of mode L, RGB or CMYK -> RGB in sRGB; L or RGB as it is without a profile.

    A profile that is damaged, or of another kind of image, is ignored.
    """
    if profile:
        if image.mode == "L" and _space(profile) == SPACES["RGB"]:
            image = image.convert("RGB")
        if _space(profile) == SPACES.get(image.mode) and changes_colors(profile):
            transform = _transform(profile, image.mode)
            if transform is not None:
                return ImageCms.applyTransform(image, transform)
    return image.convert("RGB") if image.mode == "CMYK" else image


def array_to_srgb(rgb: np.ndarray, profile: bytes | None) -> np.ndarray:
    """(x, y, 3) uint8 of an RGB or a grey image with this profile -> the same in sRGB."""
    is_grey = bool(profile) and _space(profile or b"") == SPACES["L"]
    if is_grey and not (rgb[..., 0] == rgb[..., 1]).all():
        return rgb
    image = Image.fromarray(np.ascontiguousarray(rgb[..., 0] if is_grey else rgb))
    return np.asarray(to_srgb(image, profile).convert("RGB"))


@functools.lru_cache(maxsize=32)
def changes_colors(profile: bytes) -> bool:
    """Whether a profile differs visibly from sRGB; False if it cannot be used."""
    space = _space(profile)
    if space == SPACES["CMYK"]:
        return _transform(profile, "CMYK") is not None
    mode = next((mode for mode, name in SPACES.items() if name == space), "")
    transform = _transform(profile, mode) if mode else None
    if transform is None:
        return False
    levels = np.linspace(0, 255, 9 if mode == "RGB" else 256).astype(np.uint8)
    shape = (1, -1, 3) if mode == "RGB" else (1, -1)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1) if mode == "RGB" else levels
    before = Image.fromarray(np.ascontiguousarray(grid.reshape(shape)))
    after = np.asarray(ImageCms.applyTransform(before, transform)).astype(int)
    return bool(np.abs(after - np.asarray(before.convert("RGB"))).max() > TOLERANCE)


@functools.lru_cache(maxsize=32)
def _space(profile: bytes) -> str:
    """The colour space of a profile, such as `RGB `; empty if it cannot be read."""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space
    except Exception:  # Pillow raises many kinds of error for a damaged profile
        return ""


@functools.lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> Any:
    """From the profile to sRGB; None if there is none."""
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except Exception:
        return None
