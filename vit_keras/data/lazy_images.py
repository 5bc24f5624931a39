"""Lazy loading: encoded images as an array (n, X, Y, 3) that is decoded when it is indexed."""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vit_keras.data import batch_memory, decode
from vit_keras.data.image_bytes import FolderFiles, ImageBytes
from vit_keras.data.image_formats import VERSION_1
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.data.value_range import ValueFacts
from vit_keras.errors import SettingError
from vit_keras.io import parallel


class FileRecord(NamedTuple):
    """An encoded image, a file or a record of one, as the scan of its data set found it."""

    # The scan's cache stores these fields in this order: a change needs a new scan_cache.VERSION.
    path: str  # within the folder; of the record n of a file, `file#n`
    bytes: int  # of the image
    mtime: int  # of the file, nanoseconds
    ctime: int  # of the last change of content, name or rights, nanoseconds
    inode: int
    sha256: str  # of the image's bytes; empty if it could not be read, or is no image
    reason: str  # why the file is skipped; empty if it is an image
    dhash: int = 0  # difference hash of the image, 64 bits; 0 if it has too few edges
    # As in `probe.ProbeResult`:
    format: str = ""
    height: int = 0  # as stored
    width: int = 0
    orientation: int = 1  # EXIF's, 1 to 8
    is_jpeg: bool = False
    has_profile: bool = False
    has_alpha: bool = False
    bits: int = 8
    largest: int = 0
    flat_over: str = ""
    remark: str = ""
    is_in_version_1: bool = False  # whether `data.decoder_version=1` reads the file
    values: Any = None  # where `data.value_range` is set, the fields of `value_range.ValueFacts`

    @property
    def facts(self) -> ValueFacts:
        channels, dtype, low, high, full, has_window = self.values
        return ValueFacts(channels, dtype, low, high, tuple(full) if full else None, has_window)

    @property
    def is_converted(self) -> bool:
        """Whether its pixels depend on the `PixelOptions`."""
        is_ordinary = self.is_jpeg or (self.format in VERSION_1 and self.bits == 8)
        return self.has_profile or self.has_alpha or bool(self.remark) or not is_ordinary


class LazyImages:
    """Images (n, X, Y, 3) uint8 of files or records, decoded by threads when they are indexed.

    Grey ones on demand, (n, X, Y, 1). Where `data.value_range` is set, (n, X, Y, C) float32 of 0 to
    255.

    An index, a slice, a list or an array of indices gives a NumPy array of decoded images. `take`
    gives `LazyImages` and decodes nothing.

    Args:
        source: where the bytes come from; a path is of a folder of files.
        files: of the images, in order.
        size: (X, Y) that each image is resized to.
        resize_mode: how, see `resize.resize_to_size`.
        workers: threads; by default as many as there are cores.
        options: how pixels become RGB.
        groups: the group of each image; those of one stay in one split.
        is_grey: whether an image of 256 levels has one channel.

    Attributes:
        failure: the error of the last file that could not be decoded.
    """

    def __init__(
        self,
        source: ImageBytes | Path | str,
        files: Sequence[FileRecord] | np.ndarray,
        size: tuple[int, int],
        resize_mode: str,
        workers: int | None,
        options: PixelOptions = PixelOptions(),  # noqa: B008  (frozen)
        groups: Sequence[str] | np.ndarray | None = None,
        is_grey: bool = False,
    ) -> None:
        if isinstance(source, Path | str):
            source = FolderFiles(Path(source))
        self.source: ImageBytes = source
        self.size, self.resize_mode, self.workers = size, resize_mode, workers
        self.options, self.is_grey = options, is_grey
        self.groups = None if groups is None else np.asarray(groups, object)
        self.failure: SettingError | None = None
        if isinstance(files, np.ndarray):
            self.files = files
        else:
            # Filled one by one: NumPy would make a second axis of the tuples' fields.
            self.files = np.empty(len(files), object)
            for index, file in enumerate(files):
                self.files[index] = file

    @property
    def shape(self) -> tuple[int, int, int, int]:
        if self.options.value_range is None:
            return len(self), *self.size, 1 if self.is_grey else 3
        return len(self), *self.size, self.options.channels or 3

    @property
    def dtype(self) -> np.dtype:
        return self.options.dtype

    @property
    def nbytes(self) -> int:
        """The memory that all images take when they are decoded."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    @property
    def fingerprint(self) -> str:
        """Of the files and of how they are decoded: equal for equal pixels, without decoding."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(file.sha256.encode())
        return f"{digest.hexdigest()} {self.shape} {self.resize_mode}{self._options_used()}"

    def _options_used(self) -> str:
        """The options that decide pixels of these files; empty if none does, or as version 1."""
        if self.options.value_range is not None:
            return f" values {self.options.value_range}"
        if self.options.decoder_version == 1 and self.options.background == "white":
            return ""
        converted = [file for file in self.files if file.is_converted]
        used = [f"decoder {self.options.decoder_version}"] if converted else []
        if any(file.has_alpha for file in converted):
            used.append(f"over {self.options.background}")
        if any(not file.bits for file in converted):
            used.append(f"{self.options.bit_depth} bits")
        return "".join(f" {option}" for option in used)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> np.ndarray:
        chosen = self.files[index]
        if isinstance(chosen, FileRecord):
            return self._decode(chosen)
        result = batch_memory.empty((len(chosen), *self.shape[1:]), self.dtype)
        indices = iter(range(len(chosen)))  # shared: a thread that is free takes the next image

        def work() -> None:
            for index in indices:
                self._decode(chosen[index], result[index])

        workers = self.workers or parallel.available_cores()
        for done in [_pool(workers).submit(work) for _ in range(workers)]:
            done.result()
        return result

    def take(self, index: np.ndarray) -> "LazyImages":
        """The images at `index`, not decoded."""
        groups = None if self.groups is None else self.groups[index]
        return self._with_files(self.files[index], groups)

    def joined(self, *others: "LazyImages") -> "LazyImages":
        """These images and those of other splits of the same data set, not decoded."""
        groups = [images.groups for images in (self, *others) if images.groups is not None]
        return self._with_files(
            np.concatenate([self.files, *(other.files for other in others)]),
            np.concatenate(groups) if groups else None,
        )

    def with_options(self, options: PixelOptions) -> "LazyImages":
        """The same images, of which other pixels are made."""
        return self._with(self.files, self.groups, options)

    def _with_files(self, files: np.ndarray, groups: np.ndarray | None) -> "LazyImages":
        return self._with(files, groups, self.options)

    def _with(
        self, files: np.ndarray, groups: np.ndarray | None, options: PixelOptions
    ) -> "LazyImages":
        return LazyImages(
            self.source,
            files,
            self.size,
            self.resize_mode,
            self.workers,
            options,
            groups,
            self.is_grey,
        )

    def decoded(self) -> np.ndarray:
        """All images as an array (n, X, Y, 3)."""
        result = np.empty(self.shape, self.dtype)
        images = parallel.map_in_threads(self._decode, list(self.files), self.workers, "decoding")
        for index, image in enumerate(images):
            result[index] = image
        return result

    def _decode(self, file: FileRecord, out: np.ndarray | None = None) -> np.ndarray:
        is_rgb = not self.is_grey or self.options.value_range is not None
        try:
            image = decode.decode_resized(
                self.source.read(file.path),
                self.size,
                self.resize_mode,
                file.orientation,
                file.is_jpeg,
                out if is_rgb else None,
                file.has_profile,
                self.options,
            )
        except (OSError, decode.UnreadableError) as error:
            self.failure = SettingError(
                f"{self.source.place(file.path)} could be read when it was scanned, and cannot be "
                f"any more ({decode.error_reason(error)}); put it back and continue with "
                "run.resume, or remove it and start a new run"
            )
            raise self.failure from None
        if is_rgb:
            return image
        grey = decode.to_channels(image, 1)
        if out is None:
            return grey
        out[...] = grey
        return out


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="decode")


@contextmanager
def report_decode_failures(splits: Any) -> Iterator[None]:
    """Raise a decoding error by the name of its file, which TensorFlow's own error leaves out."""
    try:
        yield
    except Exception:
        for split in (splits.train, splits.validation, splits.test):
            if failure := getattr(split.images, "failure", None):
                raise failure from None
        raise
