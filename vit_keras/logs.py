"""Logging: messages of the package to standard output and to a run's `train.log`."""

import logging
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
        with log_handler(logging.StreamHandler(sys.stdout), "%(message)s", logging.INFO):
            yield
    finally:
        log.propagate = propagated


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
