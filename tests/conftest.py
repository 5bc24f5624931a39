"""Shared fixtures: backends without log messages, and the data sets available on this machine."""

import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.register_assert_rewrite("helpers")  # so that a failed assert there shows its values

from helpers.paths import ROOT, SCRIPTS  # noqa: E402
from helpers.waiting import PATIENCE  # noqa: E402

gc.disable()  # until all is imported, nothing of which is garbage

WITHOUT_KERAS = ROOT / "tests" / "helpers" / "without_keras"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Models of the same sizes are compiled again and again: JAX keeps what it compiled, each process of
# the tests in a folder of its own, which ends with it.
if os.environ.get("KERAS_BACKEND") == "jax":
    COMPILED = tempfile.TemporaryDirectory(prefix="jax_cache_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_collection_finish():
    """What is imported by now stays: garbage collections pass over it.

    Keras collects garbage whenever a layer gives up a variable, as each one does that is quantised,
    and goes through the objects of all packages each time.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def tfds_dir():
    """The folder of prepared TensorFlow Datasets, from TFDS_DATA_DIR."""
    root = os.environ.get("TFDS_DATA_DIR")
    if not root or not Path(root).is_dir():
        pytest.skip("needs data sets: set TFDS_DATA_DIR to a folder with cifar10, cifar100, mnist")
    return root


@pytest.fixture(autouse=True)
def scans(tmp_path_factory, monkeypatch):
    """An empty folder for the cache of folder scans, instead of the user's."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache / "vit_keras"


@pytest.fixture
def own_caches(tmp_path, monkeypatch):
    """Empty download caches, and no proxies."""
    for name in ("TFHUB_CACHE_DIR", "KAGGLEHUB_CACHE", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def no_network(own_caches, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("the network is blocked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def without_gpu(monkeypatch):
    """A run with an ONNX file is predicted by Keras where there is a GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, headless."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs chromium: apt-get install chromium")
    playwright.expect.set_options(timeout=1000 * PATIENCE)
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield found
        found.close()


@pytest.fixture
def ctrl_c():
    """Restore the default effect of Ctrl-C, which background processes may ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def script_server():
    """The process that runs scripts without Keras; see its file."""
    with subprocess.Popen(
        [sys.executable, ROOT / "tests/helpers/script_server.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        yield server


@pytest.fixture
def script(script_server, tmp_path):
    """Run a script in the empty folder `here`; returns (exit status, standard error)."""
    folder, errors = tmp_path / "here", tmp_path / "standard_error.txt"
    folder.mkdir()

    def start(*arguments, name="train_scratch"):
        request = {
            "arguments": [str(SCRIPTS / f"{name}.py"), *map(str, arguments)],
            "folder": str(folder),
            # Jobs of a sweep are processes of their own, without Keras as well.
            "environment": {**os.environ, "PYTHONPATH": f"{WITHOUT_KERAS}:{ROOT}"},
            "errors": str(errors),
        }
        print(json.dumps(request), file=script_server.stdin, flush=True)
        status = script_server.stdout.readline()
        return int(status), errors.read_text()

    return start


@pytest.fixture
def refusal(script, tmp_path):
    """Run a script with settings that it has to refuse; returns its error message."""

    def start(*arguments, **name):
        status, text = script(*arguments, **name)
        assert "Traceback" not in text, text
        assert text.startswith("error: ")
        assert len(text.splitlines()) == 1, text
        assert status == 2
        assert not any((tmp_path / "here").iterdir())  # no run was created
        return text

    return start
