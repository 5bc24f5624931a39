"""Images as base64 text of a PNG file, to be sent between two processes."""

import base64
import io

import numpy as np
from PIL import Image


def encode_png(image: "np.ndarray | Image.Image") -> str:
    """A Pillow image, or an array (X, Y, 3) in 0..1, as base64 text of a PNG file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray((image * 255).round().astype("uint8"))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")


def decode_png(text: str) -> bytes:
    """The bytes of the PNG file."""
    return base64.b64decode(text)
