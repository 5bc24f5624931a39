"""Mutated image files of a format, and what the decoder makes of them, in a process of its own.

    PYTHONPATH=tests:. python -m helpers.decoder_fuzz JPEG 2000

prints how many files were refused, read with a remark in the report, read with the pixels of the
whole image, and changed without a sign; and the longest time and the largest memory.
"""

import io
import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.image_files import photo
from vit_keras.data import decode
from vit_keras.data.image_formats import UnreadableError, pillow_warnings_ignored

SIZE = (48, 64)  # rows, columns
LEVELS = 15  # of 255, in the mean: the same image
# Format -> how it is saved.
FORMATS = {
    "JPEG": dict(format="JPEG", quality=90),
    "progressive JPEG": dict(format="JPEG", quality=90, progressive=True),
    "PNG": dict(format="PNG"),
    "BMP": dict(format="BMP"),
    "GIF": dict(format="GIF"),
    "WEBP": dict(format="WEBP", quality=90),
    "lossless WEBP": dict(format="WEBP", lossless=True),
    "TIFF": dict(format="TIFF"),
    "deflated TIFF": dict(format="TIFF", compression="tiff_adobe_deflate"),
    "AVIF": dict(format="AVIF", quality=90),
    "JPEG2000": dict(format="JPEG2000"),
    "PPM": dict(format="PPM"),
    "ICO": dict(format="ICO", sizes=[(64, 48)]),
    "bitmap ICO": dict(format="ICO", sizes=[(64, 48)], bitmap_format="bmp"),
    "HEIF": dict(format="HEIF", quality=90),
}


def encoded(name: str, image: Image.Image) -> bytes:
    if name == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    file = io.BytesIO()
    image.save(file, **FORMATS[name])
    return file.getvalue()


def mutated(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """The file with bits flipped, cut, or spliced with another file."""
    kind, place = rng.integers(4), int(rng.integers(len(content)))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + other[int(rng.integers(len(other))) :]
    if kind == 2:
        length = int(rng.integers(1, 64))
        noise = rng.integers(0, 256, length, "uint8").tobytes()
        return content[:place] + noise + content[place + length :]
    result = bytearray(content)
    for place in rng.integers(0, len(content), int(rng.integers(1, 6))):
        result[place] ^= 1 << int(rng.integers(8))
    return bytes(result)


def outcome(content: bytes, whole: np.ndarray) -> str:
    try:
        found = decode.probe(content)
        pixels = decode.decode_bytes(content, SIZE, "stretch")
    except UnreadableError:
        return "refused"
    if found.remark:
        return "in the report"
    difference = np.abs(pixels.astype(int) - whole).mean()
    return "equal" if difference <= LEVELS else "changed"


def run(name: str, count: int, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    first, second = photo(*SIZE), photo(*SIZE).rotate(180)
    contents = encoded(name, first), encoded(name, second)
    whole = decode.decode_bytes(contents[0], SIZE, "stretch").astype(int)
    counts = dict.fromkeys(("refused", "in the report", "equal", "changed"), 0)
    slowest = 0.0
    with pillow_warnings_ignored():
        for _ in range(count):
            content = mutated(*contents, rng)
            started = time.perf_counter()
            counts[outcome(content, whole)] += 1
            slowest = max(slowest, time.perf_counter() - started)
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmHWM")]
    memory = int(line.split()[1]) / 1024  # the peak of this process, not of its parent
    return {"format": name, **counts, "seconds": round(slowest, 3), "megabytes": round(memory)}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]))))
