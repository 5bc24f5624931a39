"""An HTTP client that puts a server under load, in few lines so that it leaves the cores to it.

Requests are bytes that were made before. A closed loop has a number of clients, each of which sends
its next request when it has its answer; an open loop sends at a rate, whatever is answered, and a
latency counts from the time at which its request was due.
"""

import asyncio
import random
import re
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
CUT, UNREACHABLE = "cut off", "not connected"  # sent and not answered; never sent
PERCENTILES = (50, 95, 99)


@dataclass
class Load:
    """What came back: seconds of each answer by its status, and requests without an answer."""

    seconds: float = 0.0
    latencies: dict[int, list[float]] = field(default_factory=dict)
    failures: Counter = field(default_factory=Counter)
    last_body: bytes = b""
    cpu_milliseconds: float = float("nan")  # of the server, for a request

    def add(self, status, seconds):
        self.latencies.setdefault(status, []).append(seconds)

    @property
    def answered(self):
        """Seconds of the answers with status 200."""
        return self.latencies.get(200, [])

    @property
    def rate(self):
        """Answers with status 200 in a second."""
        return len(self.answered) / self.seconds

    def percentile(self, percent):
        """Milliseconds."""
        if len(self.answered) < 2:
            return float("nan")
        cuts = statistics.quantiles(self.answered, n=100, method="inclusive")
        return 1000 * cuts[percent - 1]

    @property
    def statuses(self):
        return {**{s: len(all) for s, all in sorted(self.latencies.items())}, **self.failures}


def http_request(path, body, kind):
    """The bytes of a POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """A connection that is kept, and opened again after the server has closed it."""

    def __init__(self, port):
        self.port, self.writer = port, None

    async def send(self, message, load, due=None):
        """Send a request and add its answer to `load`; False if there was none."""
        began = due or time.perf_counter()
        if self.writer is None:
            try:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                load.failures[UNREACHABLE] += 1
                return False
        try:
            self.writer.write(message)
            head = await self.reader.readuntil(b"\r\n\r\n")
            load.last_body = await self.reader.readexactly(int(LENGTH.search(head)[1]))
        except (OSError, asyncio.IncompleteReadError):
            load.failures[CUT] += 1
            self.close()
            return False
        load.add(int(head[9:12]), time.perf_counter() - began)
        if CLOSES.search(head):
            self.close()
        return True

    def close(self):
        if self.writer is not None:
            self.writer.close()
            self.writer = None


async def closed_loop(port, messages, clients, seconds, load, requests=None):
    """Each client sends again and again, for some seconds or until there were so many requests."""
    started = time.perf_counter()
    end = started + seconds

    async def client(number):
        connection, sent = Connection(port), number
        while time.perf_counter() < end and (requests is None or sent < requests):
            if not await connection.send(messages[sent % len(messages)], load):
                break
            sent += clients
        connection.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    load.seconds = time.perf_counter() - started


async def open_loop(port, messages, rate, seconds, load, at_random=False):
    """Requests at a rate per second, evenly spaced or as independent visitors come (Poisson)."""
    idle, tasks = [], set()
    rng = random.Random(0)

    async def one(message, due):
        connection = idle.pop() if idle else Connection(port)
        await connection.send(message, load, due)
        idle.append(connection)

    started = due = time.perf_counter()
    number = 0
    while due < started + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(messages[number % len(messages)], due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
        due += rng.expovariate(rate) if at_random else 1 / rate
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - started
    for connection in idle:
        connection.close()
