"""An image file -> the pixels that the model takes, by NumPy and Pillow alone.

    from preprocess import load_image
    pixels = load_image("photo.jpg")  # (1, height, width, channels) uint8

vit_keras writes this file beside a model; it needs neither vit_keras nor Keras. Pixels differ from
those of training and of `vit_keras.Predictor` by 2 of 255 at most; of a JPEG file that is reduced
to less than two thirds, which vit_keras decodes by a faster method, by about 1 in the mean. Of
colours of 16 bits, Pillow keeps the upper eight.
"""

import numpy as np
from PIL import Image

from vit_keras.data.preprocess.colors import to_rgb
from vit_keras.data.preprocess.png import open_image
from vit_keras.data.preprocess.resizing import resize
from vit_keras.data.preprocess.values import load_values

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
