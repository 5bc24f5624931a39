"""Image files, as a command line names them: files, folders and globs -> paths."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from vit_keras import folders
from vit_keras.errors import SettingError


def found(words: Sequence[str]) -> list[str]:
    """The files that words name, in order, each once.

    A file is taken whatever it is called; a folder's are those that are named like images, in it
    and below, by name; a glob that no file is called by, such as `'photos/**/*.jpg'`, is looked up.

    Raises:
        SettingError: a word names nothing.
    """
    files: dict[str, str] = {}
    for word in words:
        path = os.path.expanduser(word)
        matches = [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
        if not matches:
            raise SettingError(
                f"{word} is no file or folder, and matches none; name images, folders or a glob in "
                "quotes, such as 'photos/*.jpg'"
            )
        named = [file for match in matches for file in _files(match)]
        if not named:
            raise SettingError(
                f"{word} has no image ({', '.join(folders.SUFFIXES)}); name another folder, or a "
                "file by itself, whatever it is called"
            )
        for file in named:
            files.setdefault(os.path.normpath(file), file)
    return list(files.values())


def _files(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    for name, *_ in sorted(folders.images(Path(path))):
        yield os.path.join(path, name)
