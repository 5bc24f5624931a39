"""Import Keras without the packages that it would load only because they are installed.

Keras tries to import scikit-learn, pandas and Matplotlib, and TensorFlow JAX, pandas and SciPy, for
wrappers and converters that none of our commands uses: nearly half of the time of the import.
"""

import contextlib
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

UNUSED = frozenset({"jax", "matplotlib", "pandas", "scipy", "sklearn"})
IMPORTERS = ("keras", "tensorflow")
BACKENDS = "keras.src.backend."  # one of them is JAX


@contextlib.contextmanager
def lean_import() -> Iterator[None]:
    """Within it, Keras and TensorFlow do not find what only other programs would use with them."""
    finder = _Refusal()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Refusal(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in UNUSED:
            importer = _importer()
            if importer.partition(".")[0] in IMPORTERS and not importer.startswith(BACKENDS):
                raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def _importer() -> str:
    """The module that is importing."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename.startswith("<frozen importlib") and frame.f_back:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__"))
