"""Logging: messages of the package to standard output and to a run's `train.log`."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("vit_keras")


@contextmanager
def console() -> Iterator[None]:
    """Print the package's log messages to standard output within this context."""
    # absl, which TFDS imports, adds a handler to the root logger, which would print them again.
    propagated, log.propagate = log.propagate, False
    log.disabled = False  # Hydra disables every logger that exists when it configures logging
    try:
        with log_handler(_StdoutHandler(sys.stdout), "%(message)s", logging.INFO):
            yield
    finally:
        log.propagate = propagated


def discard_stdout() -> None:
    """Send standard output nowhere from now on: its reader, such as `head`, is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _StdoutHandler(logging.StreamHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        # A training goes on without its terminal: `train.log` of the run has every line.
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            discard_stdout()
        else:
            super().handleError(record)


@contextmanager
def log_handler(handler: logging.Handler, pattern: str, level: int) -> Iterator[None]:
    """Add `handler` to the package's logger within this context."""
    handler.setFormatter(logging.Formatter(pattern))
    handler.setLevel(level)
    before = log.level
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
        handler.close()
