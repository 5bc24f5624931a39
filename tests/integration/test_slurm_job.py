"""`deploy/slurm.sbatch`: what it starts, and what it starts when the job is requeued."""

import os
import shutil
import subprocess

import pytest

from helpers.paths import ROOT
from vit_keras import load_config

JOB = ROOT / "deploy" / "slurm.sbatch"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def submitted(tmp_path):
    """Runs the job as Slurm would; gives the words that `srun` was called with."""
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text('#!/bin/bash\n[ "$KERAS_BACKEND" = jax ] && printf "%s\\n" "$@"\n')
    srun.chmod(0o755)

    def submit(*words):
        environment = {
            **os.environ,
            "PATH": f"{srun.parent}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "77",
            "RUN_ROOT": str(tmp_path / "runs"),
        }
        done = subprocess.run(
            ["bash", str(JOB), *words], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return submit


def test_a_job_trains_in_a_directory_of_its_own_and_goes_on_there(submitted, tmp_path, monkeypatch):
    run = tmp_path / "runs" / "slurm-77"
    first = submitted("recipe=mnist", "data=digits", "train.batch_size=256")
    option, *command, _ = first
    assert option == "--kill-on-bad-exit=1"
    assert command[:3] == ["vit-keras", "train", f"run.dir={run}"]
    assert first[-1] == "distribute=cluster"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    pytest.importorskip("jax", reason="needs jax")
    config = load_config("model.depth=1", f"run.dir={run}", first[-1])
    assert config.distribute.processes == "auto"

    run.mkdir(parents=True)
    (run / "config.yaml").write_text("")  # ended before its first epoch
    assert submitted("train.epochs=3")[3:5] == [f"run.dir={run}", "train.epochs=3"]
    assert not run.exists()

    (run / "checkpoint").mkdir(parents=True)
    (run / "checkpoint" / "epoch-00001.npz").write_bytes(b"")
    requeued = submitted("train.epochs=3")
    assert requeued[3:] == [f"run.resume={run}", "distribute=cluster"]


def test_it_asks_for_a_process_for_each_gpu():
    asked = dict(
        line.removeprefix("#SBATCH --").partition("=")[::2]
        for line in JOB.read_text().splitlines()
        if line.startswith("#SBATCH --")
    )
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    assert "requeue" in asked
