"""A client of a service, of the standard library alone.

client = Client("http://127.0.0.1:8000")
client.predict(["flower.jpg"])[0]["top"][0]["label"]
"""

import base64
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from vit_keras.errors import SettingError


class ServiceError(RuntimeError):
    """The service did not answer, or refused a request.

    Attributes:
        status: of HTTP; None if there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Sends images to a service.

    Args:
        url: of the service, such as `http://127.0.0.1:8000`.
        token: which the service asks for.
        timeout: seconds that one answer may take.
        retries: how often a request is sent again that a busy service turned away; it waits as
            long as the service asks for.

    Raises:
        SettingError: the URL is not of HTTP.
    """

    def __init__(
        self, url: str, token: str | None = None, timeout: float = 60.0, retries: int = 5
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingError(f"url={url} is no address; use http://host:port")
        self.url, self.token, self.timeout, self.retries = url.rstrip("/"), token, timeout, retries

    def predict(
        self, images: Sequence[bytes | str | PathLike], top_k: int = 3
    ) -> list[dict[str, Any]]:
        """Files, or their bytes -> an entry for each, as OpenAPI's `ImageAnswer`.

        Raises:
            OSError: a file cannot be read.
            ServiceError: the request was refused.
        """
        files = [one if isinstance(one, bytes) else Path(one).read_bytes() for one in images]
        encoded = [base64.b64encode(file).decode() for file in files]
        body = json.dumps({"images": encoded}).encode()
        return self._json(f"/predict?top_k={top_k}", body)["predictions"]

    def model(self) -> dict[str, Any]:
        """What is served, as OpenAPI's `Card`.

        Raises:
            ServiceError: the request was refused.
        """
        return self._json("/model")

    def _json(self, path: str, body: bytes | None = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, body, headers)
        for attempt in range(self.retries + 1):
            try:
                with urllib.request.urlopen(request, timeout=self.timeout) as response:
                    return json.load(response)
            except urllib.error.HTTPError as error:
                if error.code != 503 or attempt == self.retries:
                    raise ServiceError(_reason(error), error.code) from None
                time.sleep(float(error.headers.get("Retry-After", "1")))
            except (OSError, http.client.HTTPException) as error:  # in connecting, or later
                reason = getattr(error, "reason", error)
                raise ServiceError(f"{self.url} does not answer ({reason})") from None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"status {error.code}"
