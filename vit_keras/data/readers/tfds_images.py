"""Images of a TFDS split, decoded as files of a folder are: upright, in sRGB, transparent ones over
`data.background`.

`data.decoder_version=1` lets TensorFlow decode them, which ignores orientation and profiles.
"""

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

from vit_keras.config.schema import DataConfig
from vit_keras.data import decode, resize
from vit_keras.data.dataset import Finding, Split
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.readers.tfds_metadata import Features
from vit_keras.io import parallel

CHUNK = 512  # images in the threads at a time
# How a PNG begins, of eight bits a sample, grey or RGB, without metadata before its pixels.
PLAIN_PNG = {1: b"\x08\x00", 3: b"\x08\x02"}  # channels -> depth and type of colour


def read_split(
    builder: Any, name: str, features: Features, size: tuple[int, int], config: DataConfig
) -> tuple[Split, list[Finding]]:
    """One split, of which only the image and the label are decoded, and its damaged images."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    # Images of four channels are kept as they are.
    by_tensorflow = config.decoder_version == 1 or features.channels == 4
    decoders = {} if by_tensorflow else {features.image: tfds.decode.SkipDecoding()}
    decoding = tfds.decode.PartialDecoding(
        {features.image: True, features.label: True}, decoders=decoders
    )
    dataset = builder.as_dataset(split=name, decoders=decoding).prefetch(tf.data.AUTOTUNE)
    examples = (
        (example[features.image], int(example[features.label]))
        for example in dataset.as_numpy_iterator()
    )
    images, labels, findings = [], [], []
    for index, (image, label) in enumerate(_decoded(examples, features, size, config)):
        if isinstance(image, decode.UnreadableError):
            findings.append(Finding("skipped", f"{name}[{index}]", name, str(label), str(image)))
            continue
        images.append(image)
        labels.append(label)
    return Split(np.stack(images), np.asarray(labels, np.int32)), findings


def _decoded(
    examples: Iterable[tuple[Any, int]],
    features: Features,
    size: tuple[int, int],
    config: DataConfig,
) -> Iterator[tuple[Any, int]]:
    """Each image (X, Y, C) uint8, or why it cannot be read, with its label."""
    options = PixelOptions.of(config)

    def decoded(example: tuple[Any, int]) -> tuple[Any, int]:
        image, label = example
        if isinstance(image, np.ndarray):  # by TensorFlow
            same = image if features.size else _resized(image, size, config.resize_mode)
            return same, label
        if features.size and _is_plain_png(image, features.channels):
            return _decode_plain_png(image, features.channels), label
        try:
            rgb = decode.decode_bytes(image, size, config.resize_mode, options)
        except decode.UnreadableError as error:
            return error, label
        return decode.to_channels(rgb, features.channels), label

    with ThreadPoolExecutor(config.workers or parallel.available_cores()) as pool:
        iterator = iter(examples)
        while chunk := list(itertools.islice(iterator, CHUNK)):
            yield from pool.map(decoded, chunk)


def _is_plain_png(content: bytes, channels: int) -> bool:
    """Whether OpenCV decodes a PNG to the same pixels as `decode`, in a tenth of the time."""
    return (
        content[:4] == b"\x89PNG"
        and content[24:26] == PLAIN_PNG[channels]
        and content[37:41] == b"IDAT"
    )


def _decode_plain_png(content: bytes, channels: int) -> Any:
    array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        return decode.UnreadableError("damaged")
    return array[..., None] if channels == 1 else cv2.cvtColor(array, cv2.COLOR_BGR2RGB)


def _resized(image: np.ndarray, size: tuple[int, int], resize_mode: str) -> np.ndarray:
    """(x, y, C) -> (X, Y, C) uint8 for `size` (X, Y), with C of 1 or 3."""
    if image.shape[-1] == 1:
        return resize.resize_to_size(np.repeat(image, 3, axis=-1), size, resize_mode)[..., :1]
    return resize.resize_to_size(image, size, resize_mode)
