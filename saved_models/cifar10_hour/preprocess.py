"""An image file -> the pixels that the model takes, by NumPy and Pillow alone.

    from preprocess import load_image
    pixels = load_image("photo.jpg")  # (1, height, width, channels) uint8

vit_keras writes this file beside a model; it needs neither vit_keras nor Keras. Pixels differ from
those of training and of `vit_keras.Predictor` by 2 of 255 at most; of a JPEG file that is reduced
to less than two thirds, which vit_keras decodes by a faster method, by about 1 in the mean. Of
colours of 16 bits, Pillow keeps the upper eight, and the bits that a PNG says it uses are not read.
"""

import io

import numpy as np
from PIL import Image, ImageCms

INPUT = {'height': 32,
 'width': 32,
 'channels': 3,
 'resize_mode': 'crop',
 'background': 'auto',
 'bit_depth': None,
 'decoder_version': 2}

TURN = {  # EXIF orientation -> what brings the stored pixels upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_image(file, settings=INPUT):
    """A path, an open file or a Pillow image -> (1, height, width, channels) uint8."""
    image = file if isinstance(file, Image.Image) else Image.open(file)
    orientation = image.getexif().get(0x0112, 1)
    size = settings["height"], settings["width"]
    if orientation in (5, 6, 7, 8):  # stored on its side
        size = size[::-1]
    rgb = resize(to_rgb(image, size, settings), size, settings["resize_mode"])
    image = Image.fromarray(rgb)
    if orientation in TURN:
        image = image.transpose(TURN[orientation])
    if settings["channels"] == 1:
        return np.asarray(image.convert("L"))[None, :, :, None]
    return np.asarray(image)[None]


def to_rgb(image, size, settings):
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
        image = eight_bits(np.asarray(image), 16 if is_first_version else settings["bit_depth"])
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
    return along_axes(rgb, three_eighths, three_eighths) if eighths == 3 else rgb


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


def resize(rgb, size, resize_mode):
    """(rows, columns, 3) -> (*size, 3) uint8: crop, stretch or pad."""
    shape = rgb.shape[:2]
    inner = inner_size(shape, size) if resize_mode == "pad" else size
    if resize_mode == "crop":  # the largest part in the middle with the shape of the result
        scale = min(shape[0] / size[0], shape[1] / size[1])
        rows, columns = (max(1, round(side * scale)) for side in size)
        top, left = (shape[0] - rows) // 2, (shape[1] - columns) // 2
        rgb = rgb[top : top + rows, left : left + columns]
    rgb = along_axes(rgb, *(lambda old, new=new: weights(old, new) for new in inner))
    result = np.zeros((*size, 3), "uint8")  # the bars of pad are black
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    result[top : top + inner[0], left : left + inner[1]] = rgb
    return result


def inner_size(shape, size):
    """The largest (rows, columns) with the aspect ratio of `shape` that fit into `size`."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def along_axes(rgb, rows, columns):
    """Apply a matrix for the length of the first axis, and one for that of the second."""
    rgb = np.tensordot(rows(rgb.shape[0]).astype("float32"), rgb, 1)
    rgb = np.moveaxis(np.tensordot(columns(rgb.shape[1]).astype("float32"), rgb, (1, 1)), 0, 1)
    return rgb.round().clip(0, 255)


def weights(old, new):
    """(new, old): reduce one axis by an integer factor, by averaging, then interpolate linearly."""
    middle = old // max(1, old // new)
    edges, pixels = np.linspace(0, old, middle + 1), np.arange(old)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    mean = np.maximum(overlap, 0) * middle / old
    if middle > 1.5 * new:  # what remains to be reduced would alias: blurred by (1 2 1) / 4
        padded = np.pad(mean, ((1, 1), (0, 0)), "reflect")
        mean = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    centres = ((np.arange(new) + 0.5) * middle / new - 0.5).clip(0, middle - 1)
    linear = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(middle)))
    return linear @ mean


def three_eighths(old):
    """(3/8 old, old): of each 8 pixels of a JPEG, 3 from their 3 lowest frequencies."""
    blocks = -(-old // 8)
    few, many = (
        np.cos(np.pi * np.outer(np.arange(3), 2 * np.arange(n) + 1) / (2 * n)) for n in (3, 8)
    )
    block = few.T @ (many * np.array([[1 / 8], [1 / 4], [1 / 4]]))
    pixels = np.arange(8 * blocks).clip(0, old - 1)[:, None] == np.arange(old)  # edges repeated
    return (np.kron(np.eye(blocks), block) @ pixels)[: -(-3 * old // 8)]
