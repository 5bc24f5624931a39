"""Peak memory: of this process, and from a moment on."""

import subprocess
import sys

import numpy as np
import pytest

from vit_keras import peak_memory

MB = 10**6
SIZE = 400 * MB
linux = pytest.mark.skipif(not (peak_memory.PROC / "status").exists(), reason="needs /proc")


def held(size=SIZE):
    return np.ones(size, np.uint8)


@linux
def test_the_memory_of_the_program_that_started_it_does_not_count():
    """As `getrusage` counts it: a process begins with the memory of the one that it was."""
    of_parent = held()
    code = "from vit_keras import peak_memory as p; print(p._lifetime_peak(), p._host_peak())"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = int(shown.stdout.split()[1])
    assert own < SIZE / 2
    assert of_parent.any()


@linux
def test_the_memory_of_an_earlier_run_does_not_count():
    held().sum()  # and freed
    assert peak_memory._host_peak() > SIZE
    peak_memory._reset_host_peak()
    assert peak_memory._host_peak() < peak_memory._resident() + SIZE / 2
    before = peak_memory._host_peak()
    held().sum()
    assert peak_memory._host_peak() > before + SIZE / 2


def test_where_the_kernel_does_not_count_again_the_memory_is_sampled(tmp_path, monkeypatch):
    """In a container with a /proc that cannot be written, and on macOS."""
    status = tmp_path / "status"

    def write(content):
        """Whole, as the kernel does: the sampler may read at any time."""
        (tmp_path / "new").write_text(content)
        (tmp_path / "new").replace(status)

    monkeypatch.setattr(peak_memory, "PROC", tmp_path)
    monkeypatch.setattr(peak_memory, "INTERVAL", 0.01)
    monkeypatch.setattr(peak_memory, "_sampler", None)
    write("Name:\tpython\nVmRSS:\t 1000 kB\n")
    peak_memory._reset_host_peak()
    first = peak_memory._sampler
    write("VmRSS:\t 3000 kB\n")
    while first.highest < 3000 * 1024:
        first.stopped.wait(0.01)
    write("VmRSS:\t 2000 kB\n")
    assert peak_memory._host_peak() == 3000 * 1024
    peak_memory._reset_host_peak()
    assert peak_memory._host_peak() == 2000 * 1024
    assert first.stopped.is_set()
    peak_memory._sampler.stopped.set()


def test_without_proc_the_peak_is_of_the_life_of_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(peak_memory, "PROC", tmp_path / "absent")
    assert peak_memory._status("VmHWM") is None
    assert peak_memory._resident() > 10 * MB
    assert peak_memory._lifetime_peak() > 10 * MB
