"""An image as its file has it, and the optional libraries by which such files are read."""

import importlib
from typing import Any, NamedTuple

import numpy as np

from vit_keras.data.image_formats import UnreadableError
from vit_keras.data.value_range import Range, ValueFacts, facts_of


class StoredImage(NamedTuple):
    """An image as its file has it, upright."""

    values: np.ndarray  # (x, y, c)
    full: Range | None = None  # what the file says that values can be
    has_window: bool = False
    is_inverted: bool = False  # the least value is white

    @property
    def facts(self) -> ValueFacts:
        return facts_of(self.values, self.full, self.has_window)


def optional_library(name: str) -> Any:
    """tifffile or pydicom.

    Raises:
        UnreadableError: it is not installed; how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        kind = {"tifffile": "a TIFF image", "pydicom": "a DICOM image"}[name]
        raise UnreadableError(
            f"{kind}, which needs {name}: pip install 'vit-keras-lab[scientific]'"
        ) from None
