"""The servers of `serve.py`: how each is started, and what its requests look like."""

import base64
import contextlib
import importlib.util
import io
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from load_client import http_request

TOOLS = Path(__file__).parent
FILES = 32  # that are sent in turns
OURS = ("ours, int8", "ours, float")
STARTED = 180  # seconds that a server may take to start


@dataclass(frozen=True)
class Contender:
    """A server.

    Attributes:
        words: of its command; RUN and PORT are replaced.
        ready: the path that answers 200 as soon as it can predict.
        path: of a prediction.
        kind: of a request: `file`, `base64` or `frame`.
        package: that it needs.
    """

    words: tuple[str, ...]
    ready: str
    path: str = "/predict"
    kind: str = "file"
    package: str = "vit_keras"

    def is_available(self):
        if importlib.util.find_spec(self.package):
            return True
        print(f"{self.package} is not installed: not measured", flush=True)
        return False


def _ours(format):
    words = ("-m", "vit_keras", "serve", "RUN", "--port", "PORT", "--format", format)
    return Contender((*words, "--queue", "QUEUE"), "/readyz")


def _litserve(largest_batch):
    words = (f"{TOOLS}/serving_litserve.py", "RUN", "PORT", str(largest_batch))
    return Contender(words, "/health", "/predict", "base64", "litserve")


KERAS, MLFLOW = ((f"{TOOLS}/serving_peers.py", one, "RUN", "PORT") for one in ("keras", "mlflow"))
CONTENDERS = {
    "ours, int8": _ours("onnx_int8"),
    "ours, float": _ours("onnx"),
    "keras": Contender(KERAS, "/openapi.json", "/predict", "file", "fastapi"),
    "litserve": _litserve(1),
    "litserve, batches": _litserve(8),
    "mlflow": Contender(MLFLOW, "/health", "/invocations", "frame", "mlflow"),
}


class Server(contextlib.AbstractContextManager):
    """A contender that has started; ended with the context.

    Attributes:
        port: of 127.0.0.1.
        process: of it.
        seconds: from its start until it was ready.
        contender: what it is.
        shape: (X, Y, C) of the model.
    """

    def __init__(self, name, run, default_queue=False):
        self.contender, self.run = CONTENDERS[name], run
        pixels = json.loads((run / "export/onnx/export.json").read_text())["image_input"]
        self.shape = [pixels[side] for side in ("height", "width", "channels")]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # The peers' queues have no bound: all of 64 clients are answered.
        values = {"RUN": str(run), "PORT": str(self.port), "QUEUE": "16" if default_queue else "64"}
        words = [values.get(word, word) for word in self.contender.words]
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  (ours logs a line for each request)
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, *words], stdout=self.log, stderr=subprocess.STDOUT
        )
        self._wait()
        self.seconds = time.perf_counter() - began

    def _wait(self):
        end = time.perf_counter() + STARTED
        while time.perf_counter() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(
                    f"http://127.0.0.1:{self.port}{self.contender.ready}"
                ).close()
                return
            except OSError:
                time.sleep(0.02)
        self.process.kill()
        self.log.seek(0)
        raise RuntimeError(f"{self.contender.words} did not start: {self.log.read().decode()}")

    def cpu_seconds(self):
        """Of the process and of those that it has started: also on a machine with other work."""
        times = [one.cpu_times() for one in self._processes()]
        return sum(one.user + one.system for one in times)

    def _processes(self):
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def __exit__(self, *_):
        if self.process.poll() is None:
            all_of_them = self._processes()
            self.process.terminate()
            _, left = psutil.wait_procs(all_of_them, 10)
            for process in left:  # LitServe leaves its own behind
                process.kill()
        self.process.wait(60)
        self.log.close()


def messages(server, images):
    """Requests of so many images each, as the server takes them."""
    found = files(server.shape)
    contender = server.contender
    return [
        http_request(contender.path, *_body(contender.kind, (found * 2)[first : first + images]))
        for first in range(FILES)
    ]


def _body(kind, contents):
    if kind == "file" and len(contents) == 1:
        return contents[0], "application/octet-stream"
    encoded = [base64.b64encode(content).decode() for content in contents]
    body = {
        "file": {"images": encoded},
        "base64": {"image": encoded[0]},
        "frame": {"dataframe_split": {"columns": ["image"], "data": [[one] for one in encoded]}},
    }[kind]
    return json.dumps(body).encode(), "application/json"


def files(shape):
    """Image files: PNG at the size of a small input, otherwise JPEG of 500x375."""
    rng = np.random.default_rng(0)
    result = []
    for _ in range(FILES):
        file = io.BytesIO()
        if shape[0] <= 64:
            Image.fromarray(rng.integers(0, 256, shape, "uint8").squeeze()).save(file, "PNG")
        else:
            coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), "uint8"))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        result.append(file.getvalue())
    return result
