"""What a user is told when a setting is wrong: the setting, its value, the way out."""

import difflib
from collections.abc import Iterable


class SettingError(ValueError):
    """A setting, or the data or run that it points to, cannot work.

    The scripts print its message alone and exit with status 2.
    """


class ResourceError(SettingError):
    """The memory does not suffice for these settings."""


class DivergedError(RuntimeError):
    """The loss is no longer a finite number; the scripts print the message and exit with 1."""


class ProcessLostError(RuntimeError):
    """Another process of a training has ended; the scripts print the message and exit with 1."""


LIBRARIES = ("tensorflow", "jax", "onnxruntime")  # whose exceptions share no base class
# In their messages.
MEMORY_REPORTS = (
    "RESOURCE_EXHAUSTED",
    "OOM when allocating",
    "out of memory",
    "MemoryError",
    "bad_alloc",
    "Failed to allocate memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of Python, NumPy or one of `LIBRARIES` means that memory was missing."""
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return True
    is_theirs = type(error).__module__.startswith(LIBRARIES)
    if not isinstance(error, RuntimeError) and not is_theirs:
        return False
    return any(report.lower() in str(error).lower() for report in MEMORY_REPORTS)


def did_you_mean(value: object, allowed: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest name, or all that there are."""
    allowed = sorted(allowed)
    close = difflib.get_close_matches(str(value).lower(), allowed, n=1, cutoff=0.5)
    known = f"known: {', '.join(allowed)}"
    if not close:
        return f"; {known}"
    return f"; did you mean {close[0]}?" + (f" ({known})" if len(allowed) <= 20 else "")
