"""How uvicorn listens: what it waits for, and for how long."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from vit_keras.serving.options import ServiceOptions

CONNECTIONS = 1000  # more are turned away before a request is read
# Seconds for the head of a request, and for the rest of a body that was refused before its end.
HEAD_SECONDS = 10.0
LAST_SECONDS = 0.5  # for requests that are on their way when the service ends
CLOSE = (b"connection", b"close")


def server_settings(options: ServiceOptions, address: str, port: int) -> dict[str, Any]:
    """The arguments of `uvicorn.run` and of `uvicorn.Config`.

    Args:
        options: of the service.
        address: to listen on.
        port: of it.
    """
    return dict(
        host=address,
        port=port,
        http=LimitedProtocol,
        ws="none",  # there is no route for it, and its handshake asks for no token
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=int(options.timeout) + 1,
    )


class LimitedProtocol(H11Protocol):
    """Closes a connection that brings no whole head of a request in time.

    uvicorn waits for it without an end, so that a thousand silent clients would keep everybody else
    out. While a request runs, the application has time limits of its own.

    When the service ends, uvicorn closes each connection without a request, though one may be on
    its way. Here the connection stays a little longer, and answers say that it will be closed.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def shutdown(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        if CLOSE not in self.server_state.default_headers:  # of requests that are still to come
            self.server_state.default_headers.append(CLOSE)
        if is_idle:
            self._cancel()
            self._deadline = self.loop.call_later(LAST_SECONDS, self.transport.close)
        else:
            self.cycle.default_headers = self.server_state.default_headers
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
