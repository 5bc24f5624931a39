"""Logging: messages of the package to standard output and to a run's `train.log`."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

log = logging.getLogger("vit_keras")


@contextmanager
def console(stream: TextIO | None = None) -> Iterator[None]:
    """Print the package's log messages to `stream`, by default standard output, in this context.

    Whatever else is printed in it goes there too.
    """
    # absl, which TFDS imports, adds a handler to the root logger, which would print them again.
    propagated, log.propagate = log.propagate, False
    log.disabled = False  # Hydra disables every logger that exists when it configures logging
    try:
        # Keras prints its progress to the same stream.
        stdout: Any = sys.stdout if stream is None else stream
        if stdout in (sys.__stdout__, sys.__stderr__):
            stdout = _Unbroken(stdout)
        handler = logging.StreamHandler(stdout)
        with redirect_stdout(stdout), log_handler(handler, "%(message)s", logging.INFO):
            yield
    finally:
        log.propagate = propagated


@contextmanager
def quiet() -> Iterator[None]:
    """Print errors alone in this context, such as one in which another process says the rest."""
    before = {handler: handler.level for handler in log.handlers}
    for handler in before:
        handler.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for handler, level in before.items():
            handler.setLevel(level)


def discard(stream: TextIO) -> None:
    """Send standard output or error nowhere from now on: its reader, such as `head`, is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_line(text: str) -> None:
    """Print to standard output at once; if its reader is gone, print nothing from now on."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        discard(sys.stdout)


class _Unbroken:
    """Standard output that is discarded, without an error, once its reader has gone.

    A training goes on without its terminal: `train.log` of the run has every line.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            discard(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            discard(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


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
