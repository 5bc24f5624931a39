"""A service as a process of its own: start, slow and broken clients, SIGTERM."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from helpers.exported_runs import skip_without_onnx
from helpers.waiting import PATIENCE, answers, until
from vit_keras import open_run
from vit_keras.errors import SettingError
from vit_keras.predict.predictor import Predictor
from vit_keras.serving.client import Client, ServiceError

skip_without_onnx()
pytestmark = pytest.mark.slow


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def run(served_run):
    return served_run


@pytest.fixture
def service(run):
    """Its process and its address."""
    port = free_port()
    words = ["serve", str(run), "--port", str(port), "--timeout", "2", "--queue", "100"]
    with subprocess.Popen(
        [sys.executable, "-m", "vit_keras", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "VIT_KERAS_TOKEN": "secret"},
    ) as process:
        url = f"http://127.0.0.1:{port}"
        assert process.stdout.readline() == f"{run} is served at {url}; Ctrl-C ends it\n"
        wait_until_ready(url)
        yield process, url
        process.kill()


def wait_until_ready(url):
    until(lambda: answers(f"{url}/readyz"))


def images(folder, count=20):
    """Files of scikit-learn's digits."""
    files = [folder / f"{number}.png" for number in range(count)]
    for file, image in zip(files, load_digits().images, strict=False):
        Image.fromarray((image * 255 / 16).round().astype("uint8")).save(file)
    return files


def test_the_client_gets_the_predictions_without_keras_in_the_service(run, service, tmp_path):
    process, url = service
    files = images(tmp_path)
    client = Client(url, token="secret")
    answers = client.predict(files, top_k=1)
    expected = Predictor(open_run(run), engine="onnx").predict(files)
    assert [one["top"][0]["label"] for one in answers] == [one.label for one in expected]
    assert client.model()["name"] == "digits"
    maps = Path(f"/proc/{process.pid}/maps")
    if maps.exists():
        loaded = maps.read_text()
        assert "onnxruntime" in loaded
        assert "tensorflow" not in loaded
    with pytest.raises(ServiceError, match="token is missing or wrong") as refused:
        Client(url).predict(files)
    assert refused.value.status == 401
    with pytest.raises(ServiceError, match="none of 2 images can be read"):
        client.predict([b"x", b"y"])
    with pytest.raises(SettingError, match="use http://host:port"):
        Client("127.0.0.1:8000")
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE)
    with pytest.raises(ServiceError, match="does not answer"):
        client.predict(files)


def test_slow_and_broken_clients_are_ended_and_others_are_answered(service, tmp_path):
    _, url = service
    port = int(url.rpartition(":")[2])
    head = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"
        b"Content-Type: image/png\r\nContent-Length: 1000\r\n\r\nhalf"
    )
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(head)
        with socket.create_connection(("127.0.0.1", port)) as gone:
            gone.sendall(head)
        assert Client(url, "secret").predict(images(tmp_path, 1))
        slow.settimeout(PATIENCE)
        assert slow.recv(4096).startswith(b"HTTP/1.1 408 ")
    assert Client(url, "secret").predict(images(tmp_path, 1))


def test_sigterm_answers_what_has_begun(service, tmp_path):
    process, url = service
    content = images(tmp_path, 20)
    answered, refused = [], []

    def post():
        client = Client(url, "secret", retries=0)
        while not refused:
            try:
                answered.append(len(client.predict(content)))
            except ServiceError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(answered) < 20:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(PATIENCE)
    assert process.wait(PATIENCE) in (0, -signal.SIGTERM)
    assert set(answered) == {20}
    # Connections that nobody had accepted: their requests were never read.
    assert all("refused" in one or "reset" in one for one in refused), refused
    assert "Traceback" not in process.stderr.read()
