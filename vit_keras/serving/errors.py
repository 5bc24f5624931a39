"""Answers other than 200: a status and one sentence, which names no file of the server."""


class RequestError(Exception):
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        headers: to be sent as well.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}
