"""An image of any mode -> RGB of eight bits, without transparency, in sRGB."""

import io

import numpy as np
from PIL import Image, ImageCms

from vit_keras.data.preprocess.resizing import along_axes, inner_size, levels, three_eighths


def to_rgb(image, size, settings, known_bits=0):
    """A Pillow image of any mode -> (rows, columns, 3), without transparency."""
    eighths = 8
    if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
        needed = inner_size(image.size[::-1], size) if settings["resize_mode"] == "pad" else size
        sides = list(zip(image.size, needed[::-1], strict=True))
        scales = [n for n in (1, 2, 3, 4) if all(-(-a * n // 8) >= b for a, b in sides)]
        eighths = min(scales, default=8)
        if eighths in (1, 2, 4):  # decoded at 1/8, 1/4 or 1/2 of its size, as in training
            image.draft(image.mode, [a // (8 // eighths) for a, _ in sides])
    is_first_version = settings["decoder_version"] == 1
    profile = None if is_first_version else image.info.get("icc_profile")
    if image.mode.startswith("I"):
        samples = np.asarray(image)
        bits = known_bits if samples.max() < 2**known_bits else 16  # as they are, or scaled
        bits = bits if known_bits else settings["bit_depth"]
        image = eight_bits(samples, 16 if is_first_version else bits)
    alpha = None
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    image = to_srgb(image if image.mode in ("L", "CMYK") else image.convert("RGB"), profile)
    if alpha is not None and (is_first_version or alpha.getextrema()[1]):  # 0 everywhere: opaque
        behind = background_of(image, alpha, settings["background"])
        image.putalpha(alpha)
        image = Image.alpha_composite(behind, image).convert("RGB")
    rgb = np.asarray(image, "float32")
    return levels(along_axes(rgb, three_eighths, three_eighths)) if eighths == 3 else rgb


def eight_bits(samples, bits):
    """(rows, columns) integers of more than eight bits -> a grey image."""
    largest = int(samples.max())
    is_ambiguous = bits is None and 255 < largest < 2**14
    bits = bits or (8 if largest < 256 else 16)
    if is_ambiguous or largest >= 2**bits:
        raise ValueError(
            f"values up to {largest}: of how many bits? Give them, as in "
            'load_image(file, {**INPUT, "bit_depth": 12})'
        )
    return Image.fromarray((samples / ((2**bits - 1) / 255)).round().clip(0, 255).astype("uint8"))


def to_srgb(image, profile):
    """A grey, RGB or CMYK image -> RGB, from its ICC profile to sRGB, as a viewer shows it."""
    if profile:
        try:
            return ImageCms.profileToProfile(
                image,
                io.BytesIO(profile),
                ImageCms.createProfile("sRGB"),
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                "RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a damaged profile, or of another kind of image
    return image.convert("RGB")


def background_of(rgb, alpha, name):
    """What a transparent image is composited over; `auto` is black for a bright image."""
    if name == "checker":
        side = max(1, min(rgb.size) // 8)
        rows, columns = np.ogrid[: rgb.height, : rgb.width]
        board = np.where((rows // side + columns // side) % 2, 102, 153).astype("uint8")
        return Image.fromarray(board).convert("RGBA")
    if name == "auto":
        contrast = 255 - np.asarray(rgb).min(axis=2)
        is_dark = np.average(contrast, weights=np.asarray(alpha)) >= 32
        name = "white" if is_dark else "black"
    return Image.new("RGBA", rgb.size, name)
