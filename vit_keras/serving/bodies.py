"""The images of a request: a multipart form, one file as it is, or base64 in JSON."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from vit_keras.serving.errors import RequestError
from vit_keras.serving.options import ServiceOptions

FORM, JSON, BYTES = "multipart/form-data", "application/json", "application/octet-stream"
HINT = f"send {FORM} with files, a file as image/* or {BYTES}, or {JSON}"
NAME = 255  # characters of a file's name that are kept
COMMAS = 64  # of JSON, beside two of each image: an image may be a data URL


class Upload(NamedTuple):
    """A file that was sent.

    Attributes:
        name: of the file, if the client gave one, otherwise `images[3]`; without folders, and of
            characters that can be printed.
        content: of the file; what it holds is not known yet.
    """

    name: str
    content: bytes


class _FormParser(MultiPartParser):
    # Files stay in memory, where the body is already; 0 is without a bound. Starlette would write
    # the larger ones to a temporary folder, which a container may not have.
    spool_max_size = max_file_size = 0


async def read_uploads(
    request: Request, options: ServiceOptions, take: Callable[[int], None]
) -> list[Upload]:
    """All images of a request, in order.

    Args:
        request: whose body was not read yet.
        options: what is accepted.
        take: of `Admission.body`.

    Raises:
        RequestError: there is none (422), or too many (413), the body is too large (413), too slow
            (408) or malformed (400), of a type that is not known (415), or there is no room for it
            (503).
    """
    kind = request.headers.get("content-type", BYTES).partition(";")[0].strip().lower()
    if kind not in (FORM, JSON, BYTES) and not kind.startswith("image/"):
        raise RequestError(415, f"a body of the type {kind[:60]!r} is not read; {HINT}")
    try:
        body = await asyncio.wait_for(_body(request, options.max_bytes, take), options.timeout)
    except asyncio.TimeoutError:
        raise RequestError(
            408, f"the body did not arrive within {options.timeout:g} s", {"Connection": "close"}
        ) from None
    except ClientDisconnect:
        raise RequestError(400, "the connection was closed before the body had arrived") from None
    if kind == FORM:
        uploads = await _of_form(request, body, options)
    elif kind == JSON:
        uploads = _of_json(body, options)
    else:
        uploads = [Upload("image", body)] if body else []
    if not uploads:
        raise RequestError(422, f"the request has no image; {HINT}")
    if len(uploads) > options.max_images:
        raise _too_many(options)
    return uploads


async def _body(request: Request, most: int, take: Callable[[int], None]) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        take(len(part))
        parts.append(part)
    return b"".join(parts)


async def _of_form(request: Request, body: bytes, options: ServiceOptions) -> list[Upload]:
    if not body.rstrip().endswith(b"--"):  # the parser would leave out the file that is cut off
        raise RequestError(400, "the form cannot be read: its end is missing")

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _FormParser(
        request.headers, stream(), max_files=options.max_images, max_fields=options.max_images
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many"):
            raise _too_many(options) from None
        raise RequestError(400, f"the form cannot be read: {error.message}") from None
    except (KeyError, ValueError, UnicodeDecodeError):  # headers of a part that are none
        raise RequestError(400, "the form cannot be read: it is malformed") from None
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return [
            Upload(_name(file.filename or "") or f"images[{number}]", await file.read())
            for number, file in enumerate(files)
        ]
    finally:
        await form.close()


def _name(given: str) -> str:
    """`../../a\u202eb.png` -> `ab.png`: a name that is harmless to show, to log and to write."""
    last = given.replace("\\", "/").rpartition("/")[2]
    return "".join(filter(str.isprintable, last))[-NAME:]


def _of_json(body: bytes, options: ServiceOptions) -> list[Upload]:
    # Before it is parsed: small lists take twenty times the memory of their JSON.
    if body.count(b",") > COMMAS + 2 * options.max_images:
        raise _too_many(options)
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError(400, "the body is no JSON") from None
    images = content.get("images") if isinstance(content, dict) else None
    if isinstance(images, str):
        images = [images]
    if not isinstance(images, list) or not all(isinstance(one, str) for one in images):
        raise RequestError(422, 'the JSON is not {"images": [...]} with files in base64')
    return [Upload(f"images[{number}]", _decoded(one, number)) for number, one in enumerate(images)]


def _decoded(text: str, number: int) -> bytes:
    if text.startswith("data:"):  # a data URL, as a browser makes it
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(422, f"images[{number}] is not base64") from None


def _too_large(most: int) -> RequestError:
    return RequestError(
        413,
        f"the body is larger than {most / 1e6:g} MB; send smaller or fewer images",
        {"Connection": "close"},
    )


def _too_many(options: ServiceOptions) -> RequestError:
    return RequestError(
        413, f"the request has more than {options.max_images} images; send them in several"
    )
