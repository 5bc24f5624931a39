"""The process that sends a run to MLflow while it trains, `-m vit_keras.tracking.sender RUN`.

It sends what is new for each line on standard input, and the rest when that is closed, which is
also the case when the training was killed. Imports no Keras.
"""

import contextlib
import os
import select
import signal
import sys
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.tracking.state import locked
from vit_keras.tracking.sync import RunSync

NOT_SENT = 3  # exit status
NICE = 5  # the training comes first


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the training; the end comes by its pipe
    with contextlib.suppress(OSError):
        os.nice(NICE)
    path = Path(sys.argv[1])
    with locked(path):
        sync = _opened(path)
        sync.send()
        while _has_news():
            sync.send()
        sys.exit(NOT_SENT if sync.send(is_end=True) else 0)


def _opened(path: Path) -> RunSync:
    try:
        return RunSync(path)
    except SettingError as error:
        sys.exit(f"error: {error}")


def _has_news() -> bool:
    """Wait for a line; those that came meanwhile count as one. False at the end of the input."""
    read = os.read(sys.stdin.fileno(), 4096)
    while read and select.select([sys.stdin], [], [], 0)[0]:
        read = os.read(sys.stdin.fileno(), 4096)
    return bool(read)


if __name__ == "__main__":
    main()
