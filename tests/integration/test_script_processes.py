"""Scripts in separate processes: sweeps, and the output of a run."""

import pytest

from helpers.processes import SMALL, script

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


def test_a_run_is_quiet_and_ends_with_its_directory(tmp_path):
    result = script(*SMALL, "train.epochs=1", f"run.dir={tmp_path / 'run'}")
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] == f"run: {tmp_path / 'run'}"
    assert "Total params" in result.stdout
    assert "validation" in result.stdout  # the split sizes
