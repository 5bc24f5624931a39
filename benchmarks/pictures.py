"""Random JPEGs with the frequency spectrum of photos, for the benchmarks of folders."""

import io

import numpy as np
from PIL import Image


def picture(rng, height, width):
    """A random image of (height, width, 3): noise at every scale, stronger at coarser scales."""
    result = np.zeros((height, width, 3))
    for side in (4, 8, 16, 32, 64, 128, 256):
        if side <= max(height, width):
            coarse = rng.integers(0, 256, (side * height // width + 1, side, 3), "uint8")
            smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            result += (np.asarray(smooth, float) - 128) / side**0.9
    result -= result.min()
    return Image.fromarray((result * (255 / result.max())).astype("uint8"))


def jpeg(image, quality=90):
    """The bytes of `image` as a JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def write_classes(root, count, height, width, classes=10, distinct=200):
    """Write `count` JPEGs into class folders.

    `distinct` of them are generated; the others are copies with a different JPEG comment each, so
    that no two files are equal.
    """
    rng = np.random.default_rng(0)
    contents = [jpeg(picture(rng, height, width)) for _ in range(min(count, distinct))]
    for label in range(classes):
        (root / f"{label:03d}").mkdir(parents=True, exist_ok=True)
    for index in range(count):
        content = contents[index % len(contents)]
        note = str(index).encode()
        comment = b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note
        path = root / f"{index % classes:03d}" / f"{index:06d}.jpg"
        path.write_bytes(content[:2] + comment + content[2:])
