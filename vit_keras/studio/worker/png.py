"""Pictures on their way between two processes: PNG files as text."""

import base64
import io

import numpy as np
from PIL import Image


def encode_png(picture: "np.ndarray | Image.Image") -> str:
    """A Pillow image, or (x, y, 3) in 0..1, as the text of a PNG file."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray((picture * 255).round().astype("uint8"))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")


def decode_png(text: str) -> bytes:
    """The bytes of the file."""
    return base64.b64decode(text)
