"""Process many files in threads, with a progress bar."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tqdm import tqdm

CHUNK = 64  # files per task: with fewer, scheduling costs more than the work


def map_in_threads(
    task: Callable[[Any], Any], items: Sequence[Any], workers: int | None, what: str
) -> Iterator[Any]:
    """Yield `task(item)` for each item, in order; a progress bar appears after two seconds."""
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    pool = ThreadPoolExecutor(workers or available_cores())
    try:
        with tqdm(total=len(items), desc=what, unit=" files", delay=2, disable=None) as bar:
            for results in pool.map(lambda chunk: [task(item) for item in chunk], chunks):
                yield from results
                bar.update(len(results))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the files in the queue


def available_cores() -> int:
    """Number of CPU cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
