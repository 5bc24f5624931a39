"""Connections made to break the service, against uvicorn as `vit-keras serve` starts it."""

import contextlib
import socket
import threading
import time
from http.client import HTTPResponse

import pytest
import uvicorn

from helpers.exported_runs import skip_without_onnx
from helpers.hostile_files import picture
from helpers.waiting import PATIENCE
from vit_keras.serving import server
from vit_keras.serving.app import create_app
from vit_keras.serving.client import Client
from vit_keras.serving.options import ServiceOptions
from vit_keras.serving.served_model import ServedModel

skip_without_onnx()

GOOD = picture()
OPTIONS = ServiceOptions(workers=1, queue=1, timeout=0.3, max_megabytes=1)


@pytest.fixture(scope="module")
def model(served_run):
    return ServedModel(served_run)


@contextlib.contextmanager
def serving(model):
    """uvicorn in a thread, as `vit-keras serve` starts it, and its port."""
    settings = server.server_settings(OPTIONS, "127.0.0.1", 0)
    served = uvicorn.Server(uvicorn.Config(create_app(model, OPTIONS), **settings))
    thread = threading.Thread(target=served.run)
    thread.start()
    while not served.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield served, served.servers[0].sockets[0].getsockname()[1]
    finally:
        served.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def port(model):
    """Of a service that does not wait long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "HEAD_SECONDS", 0.3)
        with serving(model) as (_, port):
            yield port


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def request(*headers, body=b"", line=b"POST /predict HTTP/1.1"):
    return b"\r\n".join([line, b"Host: x", *headers, b"", body])


def whole(body=GOOD):
    return request(b"Content-Length: %d" % len(body), body=body)


def answer(port, *parts):
    """All that comes back until the service closes the connection."""
    with connected(port) as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                received += part
        return received


CHUNKED, CLOSE = b"Transfer-Encoding: chunked", b"Connection: close"
# Name -> (what is sent, how the answer begins; nothing where the connection is closed).
CONNECTIONS = {
    "silence": (b"", b""),
    "half of a head": (b"POST /predict HTTP/1.1\r\nHost: x\r\n", b""),
    "half of a body": (request(b"Content-Length: 1000", body=GOOD[:100]), b"HTTP/1.1 408 "),
    "no body": (request(b"Content-Length: 1000"), b"HTTP/1.1 408 "),
    "half of a chunk": (request(CHUNKED, body=b"ff\r\nabc"), b"HTTP/1.1 408 "),
    "a chunk of no number": (request(CHUNKED, body=b"zz\r\nabc\r\n"), b"HTTP/1.1 400 "),
    "a chunk of a negative size": (request(CHUNKED, body=b"-1\r\nabc\r\n"), b"HTTP/1.1 400 "),
    "a chunk of 2^64 bytes": (request(CHUNKED, body=b"f" * 16 + b"\r\nabc"), b"HTTP/1.1 408 "),
    "a length that is none": (request(b"Content-Length: x"), b"HTTP/1.1 400 "),
    "a negative length": (request(b"Content-Length: -1"), b"HTTP/1.1 400 "),
    "a length of 10^30": (request(b"Content-Length: 1" + b"0" * 30), b"HTTP/1.1 4"),
    "two lengths": (request(b"Content-Length: 1", b"Content-Length: 2"), b"HTTP/1.1 400 "),
    "a length that is too short": (
        request(b"Content-Length: 4", body=GOOD + b"\r\n\r\n"),
        b"HTTP/1.1 422 ",
    ),
    "a length and chunks": (
        request(b"Content-Length: 4", CHUNKED, CLOSE, body=b"0\r\n\r\n"),
        b"HTTP/1.1 4",
    ),
    "10,000 headers": (request(*[b"a: b"] * 10_000, CLOSE), b"HTTP/1.1 4"),
    "a header of a megabyte": (request(b"a: " + b"b" * 1_000_000), b"HTTP/1.1 4"),
    "a line of a megabyte": (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n", b"HTTP/1.1 4"),
    "a header of zeros": (request(b"a: \0b"), b"HTTP/1.1 400 "),
    "a header in two lines": (request(b"a: b\r\n c: d", CLOSE), b"HTTP/1.1 4"),
    "line ends alone": (b"\r\n" * 1000, b"HTTP/1.1 400 "),
    "no HTTP": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(100), b"HTTP/1.1 400 "),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 "),
    "HTTP/9.9": (request(CLOSE, line=b"GET /healthz HTTP/9.9"), b"HTTP/1.1 "),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
    "a web socket": (
        request(
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Version: 13",
            line=b"GET /predict HTTP/1.1",
        ),
        b"HTTP/1.1 405 ",
    ),
    "the address of another host": (
        request(CLOSE, line=b"GET http://evil.example/model HTTP/1.1"),
        b"HTTP/1.1 404 ",
    ),
}


@pytest.mark.parametrize("name", CONNECTIONS)
def test_a_connection_ends_in_time_and_others_are_answered(port, name):
    sent, start = CONNECTIONS[name]
    received = answer(port, sent)
    assert received.startswith(start) if start else not received, received[:1000]
    assert not received.startswith(b"HTTP/1.1 5")
    assert b"Traceback" not in received
    assert Client(f"http://127.0.0.1:{port}").predict([GOOD])[0]["top"]


def test_a_header_cannot_add_lines_to_the_answer(port):
    received = answer(port, request(b"X-Request-ID: a\rX-Evil: 1", CLOSE, line=b"GET / HTTP/1.1"))
    assert b"X-Evil" not in received


def test_requests_behind_one_another_are_all_answered(port):
    last = request(CLOSE, line=b"GET /healthz HTTP/1.1")
    received = answer(port, whole() * 20 + last)
    assert received.count(b"HTTP/1.1 200 ") == 21


def test_a_refused_body_without_an_end_is_closed(port):
    head = request(b"Content-Type: text/xml", CHUNKED)
    with connected(port) as connection:
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 415 ")
        with pytest.raises(ConnectionError):
            trickle(connection)


def trickle(connection):
    """Sends chunk after chunk, for 20 seconds."""
    for _ in range(1000):
        connection.sendall(b"1\r\na\r\n")
        time.sleep(0.02)


def test_bodies_that_do_not_end_cannot_fill_the_memory(port):
    head = request(b"Content-Length: 1000000", body=bytes(900_000))
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(8):
            slow.append(stack.enter_context(connected(port)))
            slow[-1].sendall(head)
        answers = [one.recv(4096).split(b"\r\n")[0] for one in slow]
    busy, late = b"HTTP/1.1 503 Service Unavailable", b"HTTP/1.1 408 Request Timeout"
    assert set(answers) <= {busy, late}
    # Room for that of the worker and of the queue, if no earlier connection still holds it.
    assert answers.count(late) <= 2
    assert Client(f"http://127.0.0.1:{port}").predict([GOOD])[0]["top"]


def test_silent_connections_make_room_for_others(model, monkeypatch):
    monkeypatch.setattr(server, "CONNECTIONS", 10)
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    with serving(model) as (_, port), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(port)) for _ in range(20)]
        assert Client(f"http://127.0.0.1:{port}", retries=20).predict([GOOD])
        assert all(one.recv(1) == b"" for one in silent)


def test_a_request_on_its_way_when_the_service_ends_is_answered(model):
    with serving(model) as (served, port), connected(port) as connection:
        connection.sendall(whole())
        first = HTTPResponse(connection)
        first.begin()
        assert first.status == 200
        first.read()  # head and body may come apart
        served.should_exit = True
        while served.servers[0].is_serving():
            time.sleep(0.01)
        time.sleep(0.1)
        connection.sendall(whole())
        last = b"".join(iter(lambda: connection.recv(65536), b""))
        assert last.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in last.lower()
