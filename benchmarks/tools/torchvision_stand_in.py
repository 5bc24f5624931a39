"""Import timm without torchvision, which is not to be had for every build of PyTorch.

timm imports torchvision as it starts, for augmentation and detection, never for its ViT: an empty
stand-in lets it start.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import sys
import types


def torchvision_or_stand_in():
    """A context in which timm can be imported."""
    return contextlib.nullcontext() if _imports("torchvision") else _stand_in_for("torchvision")


def _imports(name):
    try:
        importlib.import_module(name)
    except (ImportError, RuntimeError):  # RuntimeError: built for another PyTorch
        return False
    return True


class _AnyName(type):
    """A class that has each attribute asked for, as a class of the same kind."""

    def __getattr__(cls, name):
        return _dummy(name)


def _dummy(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _AnyName(name, (), {})


class _StandInModule(types.ModuleType):
    __path__ = ()  # a package, so that its submodules are looked for

    def __getattr__(self, name):
        return _dummy(name)


class _StandInFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, name):
        self.name = name

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] == self.name:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec):
        return _StandInModule(spec.name)

    def exec_module(self, module):
        pass


@contextlib.contextmanager
def _stand_in_for(name):
    """Taken away at the end: nothing else is to believe that `name` is installed."""
    finder = _StandInFinder(name)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for module in [m for m in sys.modules if m.partition(".")[0] == name]:
            del sys.modules[module]
