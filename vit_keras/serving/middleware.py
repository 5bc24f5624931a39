"""What surrounds every request: its id, its token, its line in the log and its metrics.

Plain ASGI: Starlette's `BaseHTTPMiddleware` would run each request in a task more.
"""

import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vit_keras.serving.service_metrics import OTHER, ServiceMetrics
from vit_keras.text import now

REQUEST_ID = "X-Request-ID"
OPEN = ("/", "/healthz", "/readyz")  # without a token: probes, and a page that asks for it
_SAFE_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
log = logging.getLogger("vit_keras.serving")


class RequestMiddleware:
    """Gives each request an id, asks for the token, and records how it ended.

    Args:
        app: the application.
        metrics: where to count.
        paths: of the routes.
        token: which each request has to bring as `Authorization: Bearer`; None for none.
    """

    def __init__(
        self, app: ASGIApp, metrics: ServiceMetrics, paths: frozenset[str], token: str | None
    ) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths
        self._token = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, headers = time.perf_counter(), Headers(scope=scope)
        asked = headers.get(REQUEST_ID, "")
        request_id = asked if _SAFE_ID.fullmatch(asked) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            if self._is_allowed(scope["path"], headers):
                await self.app(scope, receive, send_with_id)
            else:
                await _refuse(scope, receive, send_with_id)
        finally:
            self._record(scope, request_id, status, time.perf_counter() - started)

    def _is_allowed(self, path: str, headers: Headers) -> bool:
        if self._token is None or path in OPEN:
            return True
        given = headers.get("authorization", "").encode()
        return hmac.compare_digest(given, self._token)

    def _record(
        self, scope: MutableMapping[str, Any], request_id: str, status: int, seconds: float
    ) -> None:
        path = scope["path"] if scope["path"] in self.paths else OTHER
        self.metrics.requests.labels(path, status).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        fields = {
            "time": now(),
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
            "images": scope["state"].get("images", 0),
        }
        log.info("%s", json.dumps(fields))


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    message = "the token is missing or wrong; send it as Authorization: Bearer <token>"
    response = JSONResponse({"error": message}, 401, {"WWW-Authenticate": "Bearer"})
    await response(scope, receive, send)
