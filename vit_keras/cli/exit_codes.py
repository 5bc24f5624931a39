"""Exit codes of a command for a wrong setting, Ctrl-C and a closed pipe, without a traceback."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from vit_keras.errors import DivergedError, ProcessLostError, SettingError, is_out_of_memory
from vit_keras.logs import discard

FAILED, WRONG_SETTING, CTRL_C = 1, 2, 130
CLOSED_PIPE = 141  # what a shell reports for a program that SIGPIPE ended
# Of a full disk, or of a place that may not be written to: not an error of the program.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@contextlib.contextmanager
def exit_codes(reword: Callable[[str], str] = str) -> Iterator[None]:
    """End the process with one line and status 2 for a wrong setting, 130 for Ctrl-C.

    A training that diverged or lost a process, a disk that cannot be written to or missing memory
    ends with one line and status 1.
    If the reader of standard output has closed it, as `| head` does, end silently with 141.

    Args:
        reword: makes the message of a wrong setting name what was typed.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where a closed pipe can still be caught
    except SettingError as error:
        _end(reword(str(error)), WRONG_SETTING)
    except DivergedError as error:
        _end(str(error), FAILED)
    except ProcessLostError as error:
        with contextlib.suppress(SystemExit):
            _end(str(error), FAILED)
        os._exit(FAILED)  # JAX would wait at the exit for the process that is lost, and abort
    except KeyboardInterrupt:
        sys.exit(CTRL_C)
    except BrokenPipeError:
        discard(sys.stdout)
        discard(sys.stderr)
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        if error.errno not in DISK:
            raise
        place = f"{error.filename}: " if error.filename else ""
        _end(f"{place}{error.strerror}", FAILED)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        _end("memory ran out; close other programs, or give smaller or fewer images", FAILED)


def _end(message: str, status: int) -> NoReturn:
    try:
        print(f"error: {message}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        discard(sys.stderr)
    sys.exit(status)
