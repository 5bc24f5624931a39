"""Exit codes of a command for a wrong setting, Ctrl-C and a closed pipe, without a traceback."""

import contextlib
import sys
from collections.abc import Iterator

from vit_keras.errors import SettingError
from vit_keras.logs import discard_stdout

WRONG_SETTING, CTRL_C = 2, 130
CLOSED_PIPE = 141  # what a shell reports for a program that SIGPIPE ended


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """End the process with one line and status 2 for a wrong setting, 130 for Ctrl-C.

    If the reader of standard output has closed it, as `| head` does, end silently with 141.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where a closed pipe can still be caught
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(WRONG_SETTING)
    except KeyboardInterrupt:
        sys.exit(CTRL_C)
    except BrokenPipeError:
        discard_stdout()
        sys.exit(CLOSED_PIPE)
