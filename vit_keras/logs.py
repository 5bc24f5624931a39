"""Where what the package has to say goes: standard output, and `train.log` of a run."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from vit_keras.run import Run

log = logging.getLogger("vit_keras")


@contextmanager
def console() -> Iterator[None]:
    """What the package has to say goes to standard output, as it is, and once.

    absl, which TFDS imports, gives the root logger a handler of its own.
    """
    propagated, log.propagate = log.propagate, False
    log.disabled = False  # as Hydra leaves every logger that was there before it
    try:
        with _handling(logging.StreamHandler(sys.stdout), "%(message)s", logging.INFO):
            yield
    finally:
        log.propagate = propagated


@contextmanager
def log_file(run: Run) -> Iterator[None]:
    """And, with the time, into `train.log`, which a resumed run adds to."""
    handler = logging.FileHandler(run.path / "train.log", encoding="utf-8")
    with _handling(handler, "%(asctime)s %(message)s", logging.DEBUG):
        log.debug("started at %s", time.strftime("%Y-%m-%d %H:%M:%S %z"))
        yield


@contextmanager
def _handling(handler: logging.Handler, pattern: str, level: int) -> Iterator[None]:
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
