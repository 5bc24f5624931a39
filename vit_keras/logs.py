"""Where what the package has to say goes: standard output, and `train.log` of a run."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("vit_keras")


@contextmanager
def console() -> Iterator[None]:
    """What the package has to say goes to standard output, as it is, and once.

    absl, which TFDS imports, gives the root logger a handler of its own.
    """
    propagated, log.propagate = log.propagate, False
    log.disabled = False  # as Hydra leaves every logger that was there before it
    try:
        with log_handler(logging.StreamHandler(sys.stdout), "%(message)s", logging.INFO):
            yield
    finally:
        log.propagate = propagated


@contextmanager
def log_handler(handler: logging.Handler, pattern: str, level: int) -> Iterator[None]:
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
