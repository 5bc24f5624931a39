"""Which requests are computed, which wait, and which are turned away at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

from vit_keras.serving.errors import RequestError

RETRY_AFTER = "1"  # seconds


class Admission:
    """A bounded queue in front of some workers.

    A queue without a bound would answer every request of an overload, and each of them too late.

    Attributes:
        waiting: requests in the queue.
        running: requests that have a worker.
        held: bytes of the bodies in memory, of requests that still arrive too.
    """

    def __init__(self, workers: int, queue: int, timeout: float, max_bytes: int) -> None:
        """
        Args:
            workers: requests that are computed at a time.
            queue: requests that wait for a worker.
            timeout: seconds that one waits.
            max_bytes: of one body.
        """
        self.workers, self.queue, self.timeout = workers, queue, timeout
        self.waiting = self.running = self.held = 0
        # Bodies arrive before their requests queue, from as many clients as there are connections.
        self.most_held = (workers + queue) * max_bytes
        self._free = asyncio.Semaphore(workers)

    @contextlib.contextmanager
    def body(self) -> Iterator[Callable[[int], None]]:
        """Count a body while it is in memory: gives what is called with the bytes of each part.

        Raises:
            RequestError: there is no room for the part: 503.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if self.held + count > self.most_held:
                raise self._busy("too many requests arrive", {"Connection": "close"})
            self.held += count
            taken += count

        try:
            yield take
        finally:
            self.held -= taken

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """Wait for a worker and hold it.

        Raises:
            RequestError: the queue is full, or no worker is free in time: 503.
        """
        if self._free.locked() and self.waiting >= self.queue:
            raise self._busy("all workers are busy and the queue is full")
        self.waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), self.timeout)
        except asyncio.TimeoutError:
            raise self._busy(f"no worker was free within {self.timeout:g} s") from None
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._free.release()

    def _busy(self, why: str, headers: dict[str, str] | None = None) -> RequestError:
        return RequestError(
            503, f"{why}; try again later", {"Retry-After": RETRY_AFTER, **(headers or {})}
        )
