"""Peak memory: of this process, and from a moment on."""

import os
import subprocess
import sys

import numpy as np
import pytest

from vit_keras import backend

MB = 10**6
SIZE = 400 * MB
linux = pytest.mark.skipif(not (backend.PROC / "status").exists(), reason="needs /proc")


def held(size=SIZE):
    return np.ones(size, np.uint8)


@linux
def test_the_memory_of_the_program_that_started_it_does_not_count():
    """As `getrusage` counts it: a process begins with the memory of the one that it was."""
    of_parent = held()
    code = "from vit_keras import backend; print(backend._lifetime_peak(), backend._host_peak())"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = int(shown.stdout.split()[1])
    assert own < SIZE / 2
    assert of_parent.any()


@linux
def test_the_memory_of_an_earlier_run_does_not_count():
    held().sum()  # and freed
    assert backend._host_peak() > SIZE
    backend._reset_host_peak()
    assert backend._host_peak() < backend._resident() + SIZE / 2
    before = backend._host_peak()
    held().sum()
    assert backend._host_peak() > before + SIZE / 2


def test_where_the_kernel_does_not_count_again_the_memory_is_sampled(tmp_path, monkeypatch):
    """In a container with a /proc that cannot be written, and on macOS."""
    status = tmp_path / "status"

    def write(content):
        """Whole, as the kernel does: the sampler may read at any time."""
        (tmp_path / "new").write_text(content)
        (tmp_path / "new").replace(status)

    monkeypatch.setattr(backend, "PROC", tmp_path)
    monkeypatch.setattr(backend, "INTERVAL", 0.01)
    monkeypatch.setattr(backend, "_sampler", None)
    write("Name:\tpython\nVmRSS:\t 1000 kB\n")
    backend._reset_host_peak()
    first = backend._sampler
    write("VmRSS:\t 3000 kB\n")
    while first.highest < 3000 * 1024:
        first.stopped.wait(0.01)
    write("VmRSS:\t 2000 kB\n")
    assert backend._host_peak() == 3000 * 1024
    backend._reset_host_peak()
    assert backend._host_peak() == 2000 * 1024
    assert first.stopped.is_set()
    backend._sampler.stopped.set()


def test_without_proc_the_peak_is_of_the_life_of_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "PROC", tmp_path / "absent")
    assert backend._status("VmHWM") is None
    assert backend._resident() > 10 * MB
    assert backend._lifetime_peak() > 10 * MB


CACHED = """
import sys
from vit_keras import backend
backend.import_keras()
import jax
print(jax.config.jax_compilation_cache_dir)
"""


@pytest.mark.slow
@pytest.mark.parametrize("told", [None, "elsewhere"])
def test_jax_keeps_compiled_steps_where_it_is_not_told_otherwise(told, tmp_path):
    pytest.importorskip("jax", reason="needs jax: pip install jax")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "XDG_CACHE_HOME": str(tmp_path)}
    environment |= {"JAX_COMPILATION_CACHE_DIR": told} if told else {}
    shown = subprocess.run(
        [sys.executable, "-c", CACHED],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    place = shown.stdout.strip()
    assert place == told if told else place.startswith(str(tmp_path / "vit_keras" / "jax"))
