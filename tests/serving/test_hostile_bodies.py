"""Requests made to break the service: each gets a status and one sentence, and it goes on."""

import base64
import io
import json
import re

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from helpers.exported_runs import skip_without_onnx
from helpers.hostile_files import FILES, picture, png, profile_bomb
from vit_keras.serving.app import create_app
from vit_keras.serving.options import ServiceOptions
from vit_keras.serving.served_model import ServedModel

skip_without_onnx()

TOKEN = "a long secret"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
OPTIONS = ServiceOptions(max_images=12, max_megabytes=1, max_megapixels=1, timeout=5)
GOOD = picture()
# What an answer must not have of the server: its folders, its modules, its objects.
SECRETS = re.compile(
    r'Traceback|File "|line \d+, in|/tmp/|/home/|/usr/|site-packages|\.py\b|(?<!\d)0x[0-9a-f]{6}|'
    r"<[\w.]+ object|vit_keras\.|starlette|multipart\.\w|onnxruntime|PIL\.|root:"
)


@pytest.fixture(scope="module")
def client(served_run):
    model = ServedModel(served_run, max_megapixels=OPTIONS.max_megapixels)
    app = create_app(model, OPTIONS, TOKEN)
    with TestClient(app, headers=BEARER, follow_redirects=False) as client:
        yield client


def check(client, response, *statuses):
    """It has one of the statuses, says why, tells nothing else, and the service goes on."""
    text = response.text
    assert response.status_code in statuses, text
    assert not SECRETS.search(text), text
    assert len(text) < 5000
    if response.status_code == 200:
        (found,) = response.json()["predictions"]
        assert found["error"] is None
    elif response.request.method != "HEAD":
        (problem,) = response.json().values()
        assert list(response.json()) == ["error"]
        assert problem
        assert "\n" not in problem
    assert client.post("/predict", content=GOOD).status_code == 200


@pytest.mark.parametrize("name", FILES)
def test_files(client, name):
    content, status = FILES[name]
    check(client, client.post("/predict", content=content), status)


def part(content=GOOD, name="images", file="a.png", more=b""):
    given = f'form-data; name="{name}"; filename="{file}"'.encode()
    return b"--b\r\nContent-Disposition: " + given + b"\r\n" + more + b"\r\n" + content + b"\r\n"


END, ENDLESS = b"--b--\r\n", b"\r\n--" * 200_000
NESTED = b"Content-Type: multipart/mixed; boundary=c\r\n"
# Name -> (body, parameters of the content type, status).
FORMS = {
    "no boundary": (part() + END, "", 400),
    "an empty boundary": (part() + END, "boundary=", 400),
    "a boundary of 10,000 characters": (part() + END, "boundary=" + "b" * 10_000, 400),
    "another boundary": (part() + END, "boundary=c", 400),
    "a boundary that is none": (part() + END, 'boundary="', 400),
    "a boundary in two": (part() + END, "boundary=c; boundary=b", (200, 400)),
    "no end": (part(), "boundary=b", 400),
    "a second image without an end": (part() + part()[:200], "boundary=b", 400),
    "a name of 10,000 characters": (part(file="n" * 10_000) + END, "boundary=b", 400),
    "nothing but an end": (END, "boundary=b", 422),
    "almost boundaries": (part(ENDLESS) + END, "boundary=b", 422),
    "boundaries alone": (b"--b\r\n" * 100_000, "boundary=b", 400),
    "line ends": (b"\r\n" * 400_000, "boundary=b", 400),
    "a form in a form": (part(b"--c\r\n\r\nx\r\n--c--", more=NESTED) + END, "boundary=b", 422),
    "10,000 fields": (
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 10_000 + END,
        "boundary=b",
        413,
    ),
    "10,000 images": (part(b"x") * 10_000 + END, "boundary=b", 413),
    "a field of 900,000 bytes": (
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 900_000 + b"\r\n" + END,
        "boundary=b",
        422,
    ),
    "10,000 headers of a part": (part(more=b"A: b\r\n" * 10_000) + END, "boundary=b", (200, 400)),
    "a long header": (part(more=b"A:" + b"b" * 900_000 + b"\r\n") + END, "boundary=b", (200, 400)),
    "a header without a colon": (b"--b\r\nA\r\n\r\nx\r\n" + END, "boundary=b", 400),
    "a part without a name": (
        b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n' + END,
        "boundary=b",
        400,
    ),
    "a part without headers": (b"--b\r\n\r\nx\r\n" + END, "boundary=b", 400),
    **{
        f"the charset {name}": (part() + END, f"charset={name}; boundary=b", (200, 400))
        for name in ("none", "undefined", "idna", "rot13", "punycode", "unicode_escape", "utf-7")
    },
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(client, name):
    body, parameters, statuses = FORMS[name]
    kind = f"multipart/form-data; {parameters}"
    response = client.post("/predict", content=body, headers={"content-type": kind})
    check(client, response, *np.atleast_1d(statuses))


NAMES = {
    "../../etc/passwd": "passwd",
    "C:\\Users\\me\\a.png": "a.png",
    "/": "images[0]",
    "": None,
    "a\0b.png": "ab.png",
    "a\x1b[31m.png": "a[31m.png",
    "\u202egnp.exe": "gnp.exe",
    "n" * 2_000 + ".png": "n" * 251 + ".png",
    "<script>alert(1)</script>.png": "script>.png",
    "猫.png": "猫.png",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_lose_their_folders_and_what_cannot_be_shown(client, name):
    body = part(file="NAME").replace(b"NAME", name.encode()) + END
    kind = {"content-type": "multipart/form-data; boundary=b"}
    response = client.post("/predict", content=body, headers=kind)
    check(client, response, 200)
    if NAMES[name]:
        assert response.json()["predictions"][0]["image"] == NAMES[name]


TEXT = base64.b64encode(GOOD).decode()
JSONS = {
    "nothing": ("", 400),
    "a number": ("1", 422),
    "a text": ('"a"', 422),
    "null": ("null", 422),
    "NaN": ('{"images": NaN}', 422),
    "a number without an end": ('{"images": [1e999999]}', 422),
    "a number of 100,000 digits": ('{"images": ' + "9" * 100_000 + "}", 400),
    "images by name": ('{"images": {"a": "b"}}', 422),
    "images in images": (json.dumps({"images": [[TEXT]]}), 422),
    "images of another type": ('{"images": [true, null, 1, {}]}', 422),
    "no images": ("{}", 422),
    "10,000 images": (json.dumps({"images": [TEXT[:40]] * 10_000}), 413),
    "300,000 lists": ("[" + "[]," * 300_000 + "[]]", 413),
    "deep lists": ('{"images": ' + "[" * 400_000, 400),
    "deep objects": ('{"images":' * 80_000, 400),
    "no base64": ('{"images": ["***"]}', 422),
    "base64 of nothing": ('{"images": [""]}', 422),
    "base64 without its end": (json.dumps({"images": [TEXT[:-1]]}), 422),
    "base64 in lines": (json.dumps({"images": [TEXT[:60] + "\n" + TEXT[60:]]}), 422),
    "half of a character": ('{"images": ["\\ud800"]}', 422),
    "bytes that are no text": (b'{"images": ["\xff\xfe"]}', 400),
    "UTF-16": (json.dumps({"images": [TEXT]}).encode("utf-16"), 200),
    "images twice": (json.dumps({"images": "%"})[:-1] + f', "images": ["{TEXT}"]}}', 200),
    "a data URL without data": ('{"images": ["data:image/png;base64"]}', 422),
    "a data URL of a file": ('{"images": ["data:,file:///etc/passwd"]}', 422),
    "an address": ('{"images": ["http://169.254.169.254/"]}', 422),
    "a bomb": (json.dumps({"images": [base64.b64encode(profile_bomb()).decode()]}), 200),
}


@pytest.mark.parametrize("name", JSONS)
def test_json(client, name):
    body, status = JSONS[name]
    kind = {"content-type": "application/json"}
    check(client, client.post("/predict", content=body, headers=kind), status)


TYPES = {
    "text/html": 415,
    "application/x-www-form-urlencoded": 415,
    "image/": 200,
    "image/svg+xml": 200,  # by its content
    "": 415,
    ";;;": 415,
    "multipart/mixed; boundary=b": 415,
    "a" * 10_000: 415,
    "../../etc/passwd": 415,
    "é": 415,
}


@pytest.mark.parametrize("kind", TYPES)
def test_content_types(client, kind):
    headers = {"content-type": kind.encode("latin-1")}
    check(client, client.post("/predict", content=GOOD, headers=headers), TYPES[kind])


@pytest.mark.parametrize(
    "given",
    ["0", "-1", "1000000000", "x", "", "1.5", "NaN", "1e3", "9" * 5000, "%00", "../1", "[1]"],
)
def test_numbers_of_classes_that_are_none(client, given):
    check(client, client.post(f"/predict?top_k={given}", content=GOOD), 422)


@pytest.mark.parametrize("query", ["top_k=1&top_k=2", "top_k=1000", "other=1", "&&=&", "a" * 9000])
def test_other_queries_are_answered(client, query):
    check(client, client.post(f"/predict?{query}", content=GOOD), 200)


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer wrong",
        TOKEN.encode(),
        b"Basic " + base64.b64encode(TOKEN.encode()),
        b"Bearer " + TOKEN.encode() + b"x",
        b"Bearer " + TOKEN.encode()[:-1],
        b"Bearer \xff\xfe",
        "Bearer 猫".encode(),
        b"Bearer " + b"x" * 60_000,
    ],
)
def test_tokens(client, given):
    for path in ("/predict", "/model", "/metrics", "/openapi.json", "/nowhere"):
        response = client.post(path, content=GOOD, headers={b"Authorization": given})
        check(client, response, 401)


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
)
def test_methods(client, method):
    response = client.request(method, "/predict")
    check(client, response, 405)
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "path",
    [
        "/predict/",
        "//predict",
        "/nowhere",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/static/..%5c..%5cwindows",
        "/predict%00",
        "/%ff%fe",
        "/{run}",
        "/" + "a" * 10_000,
        "/docs",
        "/redoc",
    ],
)
def test_paths(client, path):
    response = client.post(path, content=GOOD, headers={"Host": "evil.example"})
    check(client, response, 404, 405)
    assert "location" not in response.headers


def test_a_size_that_is_refused_is_never_decoded(client, monkeypatch):
    large = io.BytesIO()
    Image.new("RGB", (1200, 1200)).save(large, "PNG")
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    for content in (large.getvalue(), png(width=5000, height=5000)):
        response = client.post("/predict", content=content)
        assert response.status_code == 422
        assert "too large for this service" in response.json()["error"]
