"""Scripts in separate processes: sweeps, and the output of a run."""

import subprocess
import sys

import pytest

from helpers.processes import SCRIPT, SMALL, script
from vit_keras.runs import run_end

pytestmark = pytest.mark.slow


def test_multirun_makes_a_run_for_each_value(tmp_path):
    result = script(
        "--multirun",
        "optim.learning_rate=1e-3,3e-4",
        "train.epochs=1",
        "train.jit_compile=false",
        f"run.root={tmp_path}",
        *SMALL,
    )
    assert result.returncode == 0, result.stderr
    found = sorted(tmp_path.glob("multirun/*/*/metrics.json"))
    assert len(found) == 2
    rates = [(path.parent / "config.yaml").read_text() for path in found]
    assert "learning_rate: 0.001" in rates[0]
    assert "learning_rate: 0.0003" in rates[1]


def test_a_run_goes_on_when_nobody_reads_its_output(tmp_path):
    """Keras' lines after the first epochs find the pipe closed, as after `| head`."""
    command = [sys.executable, SCRIPT, *SMALL, "train.epochs=3", "train.jit_compile=false"]
    with subprocess.Popen(
        [*command, f"run.dir={tmp_path / 'run'}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while b"Epoch 1/3" not in process.stdout.readline():
            pass
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, b"")
    assert run_end.read_end(tmp_path / "run").reason == "finished"


def test_a_run_is_quiet_and_ends_with_its_directory(tmp_path):
    result = script(*SMALL, "train.epochs=1", f"run.dir={tmp_path / 'run'}")
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] == f"run: {tmp_path / 'run'}"
    assert "Total params" in result.stdout
    assert "validation" in result.stdout  # the split sizes
