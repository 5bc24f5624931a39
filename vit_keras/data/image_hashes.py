"""Hashes by which equal images are known: of a file its SHA-256, of an array that of its pixels."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vit_keras.data.lazy_images import LazyImages

FILES, PIXELS = "files", "pixels"


class ImageHashes(NamedTuple):
    """The first eight bytes of the hash of each image."""

    kind: str  # what was hashed, FILES or PIXELS
    values: np.ndarray  # (n,) uint64, the first byte the highest

    def count_in(self, others: "ImageHashes") -> int | None:
        """How many of these images are among the others; None where another thing was hashed."""
        if self.kind != others.kind:
            return None
        return int(np.isin(self.values, others.values).sum())


def image_digests(images: np.ndarray | LazyImages) -> Iterator[bytes]:
    """The SHA-256 of each image of (n, X, Y, C); of lazy images that of the file."""
    if isinstance(images, LazyImages):
        return (bytes.fromhex(file.sha256) for file in images.files)
    return (hashlib.sha256(image).digest() for image in np.ascontiguousarray(images))


def image_hashes(images: np.ndarray | LazyImages) -> ImageHashes:
    """(n, X, Y, C) -> the hashes of the images."""
    first = b"".join(digest[:8] for digest in image_digests(images))
    values = np.frombuffer(first, ">u8").astype(np.uint64)
    return ImageHashes(FILES if isinstance(images, LazyImages) else PIXELS, values)
