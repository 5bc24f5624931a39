"""An image file -> the pixels that the model takes, by NumPy and Pillow alone.

    from preprocess import load_image
    pixels = load_image("photo.jpg")  # (1, height, width, channels) uint8

vit_keras writes this file beside a model; it needs neither vit_keras nor Keras. Pixels differ from
those of training and of `vit_keras.Predictor` by 2 of 255 at most; of a JPEG file that is reduced
to less than two thirds, which vit_keras decodes by a faster method, by about 1 in the mean. Of
colours of 16 bits, Pillow keeps the upper eight.
"""

import io
import zlib

import numpy as np
from PIL import Image, ImageCms

INPUT = {
    "height": 224,
    "width": 224,
    "channels": 3,
    "resize_mode": "crop",
    "background": "auto",  # auto, white, black or checker
    "bit_depth": None,  # of images of 16 bits
    "decoder_version": 2,  # 1 ignores colour profiles
    "value_range": None,  # (low, high) of stored values, or "window": then float32 of 0 to 255
}

TURN = {  # EXIF orientation -> what brings the stored pixels upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


PNG = b"\x89PNG\r\n\x1a\n"
PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")  # the chunks of a PNG without which it has no pixels


def load_image(file, settings=INPUT):
    """A path, an open file or a Pillow image -> (1, height, width, channels) uint8.

    With a value range: a path, an open file or an array -> float32.
    """
    if settings["value_range"] is not None:
        return load_values(file, settings)
    image, known_bits = (file, 0) if isinstance(file, Image.Image) else open_image(file)
    orientation = image.getexif().get(0x0112, 1)
    size = settings["height"], settings["width"]
    if orientation in (5, 6, 7, 8):  # stored on its side
        size = size[::-1]
    rgb = to_rgb(image, size, settings, known_bits)
    rgb = resize(rgb, size, settings["resize_mode"])
    image = Image.fromarray(rgb)
    if orientation in TURN:
        image = image.transpose(TURN[orientation])
    if settings["channels"] == 1:
        return np.asarray(image.convert("L"))[None, :, :, None]
    return np.asarray(image)[None]


def load_values(file, settings):
    """Stored values -> (1, height, width, channels) float32, low to high as 0 to 255."""
    values, window, is_inverted = stored_values(file)
    if settings["value_range"] != "window":
        window = settings["value_range"]
    if window is None:
        raise ValueError("a file without the window that DICOM files have")
    low, high = window
    pixels = ((values.astype("float32") - low) * (255 / (high - low))).clip(0, 255)
    pixels = 255 - pixels if is_inverted else pixels
    if settings["channels"] == 1 and pixels.shape[-1] == 3:
        pixels = pixels @ np.array([[0.299], [0.587], [0.114]], "float32")
    if settings["channels"] == 3 and pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, axis=-1)
    if pixels.shape[-1] != settings["channels"]:
        raise ValueError(f"{pixels.shape[-1]} channels instead of {settings['channels']}")
    size = settings["height"], settings["width"]
    return resize(pixels, size, settings["resize_mode"], "float32")[None]


def stored_values(file):
    """A path, an open file or an array -> (rows, columns, channels), window, is white the least."""
    if isinstance(file, np.ndarray):
        return file if file.ndim == 3 else file[..., None], None, False
    if hasattr(file, "read"):
        content = file.read()
    else:
        with open(file, "rb") as opened:
            content = opened.read()
    window, is_inverted = None, False
    if content[128:132] == b"DICM":
        values, window, is_inverted = dicom_values(content)
    elif content.startswith(b"\x93NUMPY"):
        values = np.load(io.BytesIO(content))
    elif content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        import tifffile

        with tifffile.TiffFile(io.BytesIO(content)) as tiff:
            series, is_inverted = tiff.series[0], tiff.pages.first.photometric == 0
            axes = [series.axes.index(axis) for axis in "YX"]
            values = np.moveaxis(series.asarray(), axes, (0, 1))
            values = values.reshape(*values.shape[:2], -1)
    else:
        image = Image.open(io.BytesIO(content))
        values = np.asarray(image if image.mode[0] in "ILF" else image.convert("RGB"))
    return values if values.ndim == 3 else values[..., None], window, is_inverted


def dicom_values(content):
    """A DICOM file of a window -> its values, those that are black and white, and MONOCHROME1."""
    import pydicom
    from pydicom.pixels import apply_modality_lut

    data = pydicom.dcmread(io.BytesIO(content))
    values, window = apply_modality_lut(data.pixel_array, data), None
    if data.get("VOILUTSequence") or data.get("VOILUTFunction", "LINEAR") != "LINEAR":
        raise ValueError("a window that is not linear: use pydicom.pixels.apply_voi_lut")
    if "WindowCenter" in data:
        center, width = (
            float(np.atleast_1d(data[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
        )
        window = center - width / 2, center + width / 2 - 1  # DICOM PS3.3 C.11.2.1.2
    return values, window, data.PhotometricInterpretation == "MONOCHROME1"


def open_image(file):
    """A path or an open file -> (a Pillow image, how many bits a PNG says it uses or 0)."""
    if hasattr(file, "read"):
        content = file.read()
    else:
        with open(file, "rb") as opened:
            content = opened.read()
    if not content.startswith(PNG):
        return Image.open(io.BytesIO(content)), 0
    chunks = png_chunks(content)
    used = [max(data if len(data) in (1, 3) else data[:-1]) for data in chunks.get(b"sBIT", [])]
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except Exception:  # for its metadata perhaps, without which it is read
        image = Image.open(io.BytesIO(without_metadata(chunks)))
        image.info["icc_profile"] = icc_profile(chunks)
    return image, used[0] if used else 0


def png_chunks(content):
    """Kind -> contents of the chunks of a PNG that are intact, or that its pixels need."""
    chunks: dict[bytes, list[bytes]] = {}
    start = len(PNG)
    while start + 12 <= len(content):
        end = start + 8 + int.from_bytes(content[start : start + 4], "big")
        body = content[start + 4 : end]
        is_intact = zlib.crc32(body) == int.from_bytes(content[end : end + 4], "big")
        if is_intact or body[:4] in PIXELS:
            chunks.setdefault(body[:4], []).append(body[4:])
        start = end + 4
    return chunks


def without_metadata(chunks):
    """A PNG with the chunks alone that the pixels and their orientation need."""
    content = PNG
    for kind in (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"):
        for data in chunks.get(kind, []):
            checksum = zlib.crc32(kind + data).to_bytes(4, "big")
            content += len(data).to_bytes(4, "big") + kind + data + checksum
    return content


def icc_profile(chunks):
    """The ICC profile of a PNG; None if there is none, or it is damaged."""
    for data in chunks.get(b"iCCP", []):
        try:
            return zlib.decompress(data[data.find(b"\0") + 2 :])
        except zlib.error:
            pass
    return None


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


def resize(rgb, size, resize_mode, dtype="uint8"):
    """(rows, columns, channels) -> (*size, channels): crop, stretch or pad."""
    shape = rgb.shape[:2]
    inner = inner_size(shape, size) if resize_mode == "pad" else size
    if resize_mode == "crop":  # the largest part in the middle with the shape of the result
        scale = min(shape[0] / size[0], shape[1] / size[1])
        rows, columns = (max(1, round(side * scale)) for side in size)
        top, left = (shape[0] - rows) // 2, (shape[1] - columns) // 2
        rgb = rgb[top : top + rows, left : left + columns]
    rgb = along_axes(rgb, *(lambda old, new=new: weights(old, new) for new in inner))
    result = np.zeros((*size, rgb.shape[-1]), dtype)  # the bars of pad are black
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    is_float = dtype == "float32"
    result[top : top + inner[0], left : left + inner[1]] = rgb if is_float else levels(rgb)
    return result


def inner_size(shape, size):
    """The largest (rows, columns) with the aspect ratio of `shape` that fit into `size`."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def along_axes(rgb, rows, columns):
    """Apply a matrix for the length of the first axis, and one for that of the second."""
    rgb = np.tensordot(rows(rgb.shape[0]).astype("float32"), rgb, 1)
    rgb = np.moveaxis(np.tensordot(columns(rgb.shape[1]).astype("float32"), rgb, (1, 1)), 0, 1)
    return rgb


def levels(rgb):
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
