"""Images of files that are decoded when their turn comes, by threads: no more memory than a batch.

n images, each (X, Y, 3) at the size asked for
"""

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vit_keras.data import decode
from vit_keras.data.readers import folder_scan
from vit_keras.data.readers.folder_scan import FileRecord
from vit_keras.errors import SettingError
from vit_keras.io import parallel


class LazyImages:
    """(n, X, Y, 3) uint8 as an array would be, its pixels in files.

    Indexed by an array, a slice or a list it decodes and gives an array; `take` gives another of
    its kind and decodes nothing.

    Attributes:
        failure: what a file could not be decoded for, that could when it was scanned.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        root: Path,
        entries: Sequence[FileRecord] | np.ndarray,
        size: tuple[int, int],
        fit: str,
        workers: int | None,
    ) -> None:
        self.root, self.size, self.fit, self.workers = root, size, fit, workers
        self.failure: SettingError | None = None
        if isinstance(entries, np.ndarray):
            self.entries = entries
        else:
            self.entries = np.empty(len(entries), object)  # of tuples NumPy would make two axes
            for index, entry in enumerate(entries):
                self.entries[index] = entry

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self), *self.size, 3

    @property
    def nbytes(self) -> int:
        """Of all images, decoded."""
        return int(np.prod(self.shape))

    @property
    def fingerprint(self) -> str:
        """Of the files and of what is made of them: equal pixels without a look at any."""
        files = folder_scan.fingerprint(entry.sha256 for entry in self.entries)
        return f"{files} {self.shape} {self.fit}"

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: Any) -> np.ndarray:
        chosen = self.entries[index]
        if isinstance(chosen, FileRecord):  # one image
            return self._pixels(chosen)
        result = np.empty((len(chosen), *self.size, 3), np.uint8)
        places = iter(range(len(chosen)))  # one for all threads: whoever is free takes the next

        def work() -> None:
            for place in places:
                self._pixels(chosen[place], result[place])

        workers = self.workers or parallel.available_cores()
        for done in [_pool(workers).submit(work) for _ in range(workers)]:
            done.result()
        return result

    def take(self, index: np.ndarray) -> "LazyImages":
        """Those at `index`, still in their files."""
        return LazyImages(self.root, self.entries[index], self.size, self.fit, self.workers)

    def joined(self, *others: "LazyImages") -> "LazyImages":
        """These and those of other splits of the same folder, still in their files."""
        entries = np.concatenate([self.entries, *(other.entries for other in others)])
        return LazyImages(self.root, entries, self.size, self.fit, self.workers)

    def decoded(self) -> np.ndarray:
        """All of them, in memory."""
        result = np.empty(self.shape, np.uint8)
        images = parallel.map_in_threads(self._pixels, list(self.entries), self.workers, "decoding")
        for place, image in enumerate(images):
            result[place] = image
        return result

    def _pixels(self, entry: FileRecord, out: np.ndarray | None = None) -> np.ndarray:
        how = self.size, self.fit, entry.orientation, entry.is_jpeg
        try:
            return decode.decode_resized((self.root / entry.path).read_bytes(), *how, out)
        except (OSError, decode.UnreadableError) as error:
            why = getattr(error, "strerror", None) or error
            self.failure = SettingError(
                f"{self.root / entry.path} could be read when the folder was scanned, and cannot "
                f"any more ({why}); put it back and go on with run.resume, or take it away and "
                "start a new run"
            )
            raise self.failure from None


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="decode")


@contextmanager
def report_decode_failures(splits: Any) -> Iterator[None]:
    """A file that cannot be decoded any more ends the run by its name; TensorFlow buries that."""
    try:
        yield
    except Exception:
        for split in (splits.train, splits.validation, splits.test):
            if failure := getattr(split.images, "failure", None):
                raise failure from None
        raise
