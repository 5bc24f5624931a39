"""Where the encoded bytes of lazy images come from: files of a folder, or records of files."""

from pathlib import Path
from typing import Protocol


class ImageBytes(Protocol):
    """Reads one encoded image at a time, in any order, from several threads at once."""

    def read(self, path: str) -> bytes:
        """The encoded image that a scan found as `path`.

        Raises:
            OSError: it is not there any more.
        """

    def place(self, path: str) -> str:
        """The image as messages name it."""


class FolderFiles:
    """Image files by their paths within the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def place(self, path: str) -> str:
        return str(self.root / path)
