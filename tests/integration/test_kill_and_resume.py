"""Runs that are killed or stopped, and resumed."""

import signal
import subprocess
import sys
import time

import pytest

from helpers import trained_runs
from helpers.processes import FINETUNE, SCRIPT, SMALL, script
from helpers.tiny_runs import tiny_vit
from helpers.trained_runs import assert_same, history, trained

pytestmark = pytest.mark.slow


def killed_after(epoch, run, *overrides, path=SCRIPT):
    """Starts a run, and kills it when the checkpoint of `epoch` is there."""
    with subprocess.Popen(
        [sys.executable, path, *overrides, f"run.dir={run}"], stdout=subprocess.DEVNULL
    ) as process:
        while not (run / "checkpoint" / f"epoch-{epoch:05d}.npz").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (run / "metrics.json").exists()


def test_sigkill_in_the_second_stage_of_a_fine_tuning_changes_nothing(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    overrides = (
        f"pretrained.handle={tiny_vit(tmp_path / 'vit.keras')}",
        *("pretrained.baseline=false", "data.limit=200", "train.batch_size=8"),
        *("stages.head.epochs=2", "stages.all.epochs=8", "stages.all.layer_decay=0.7"),
        *("model.dropout=0.1", "optim.ema_momentum=0.9", "train.jit_compile=false"),
    )
    done = script(*overrides, f"run.dir={whole}", path=FINETUNE)
    assert (done.returncode, done.stderr) == (0, "")

    killed_after(4, killed, *overrides, path=FINETUNE)

    resumed = script(f"run.resume={killed}", path=FINETUNE)
    assert resumed.returncode == 0, resumed.stderr
    assert_same(whole, killed)


# A training that sends itself a signal after some batch of an epoch.
SIGNALLED = """
import os, runpy, sys
from vit_keras.training.callbacks.stopping import StopOnNaN

number, epoch, step, script, *sys.argv[1:] = sys.argv[1:]

def send(callback, batch, logs=None):
    if (callback.epoch + 1, batch + 1) == (int(epoch), int(step)):
        os.kill(os.getpid(), int(number))

StopOnNaN.on_train_batch_end = send
runpy.run_path(script, run_name="__main__")
"""


def signalled(number, epoch, step, *words):
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, *map(str, (int(number), epoch, step)), SCRIPT, *words],
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.usefixtures("ctrl_c")
def test_signals_in_the_middle_of_an_epoch_change_nothing(tmp_path):
    stopped = tmp_path / "stopped"
    overrides = (
        *("augment=heavy", "augment.repeated_augmentation=2", "augment.flip=alternating"),
        *("model.dropout=0.1", "optim=muon", "optim.schedule=wsd", "optim.ema_momentum=0.9"),
        *("train.batch_size=44", "train.steps_per_execution=2", "train.epochs=3"),
    )
    words = (*trained_runs.SMALL, *overrides, f"run.dir={stopped}")
    ends = ((signal.SIGTERM, 1, 4), (signal.SIGINT, 2, 2), (signal.SIGKILL, 2, 6))
    for number, epoch, step in ends:
        done = signalled(number, epoch, step, *words)
        assert done.returncode == (130 if number == signal.SIGINT else -number)
        if number != signal.SIGKILL:
            assert f"stopped in epoch {epoch} of 3, step {step} of 8; go on with" in done.stdout
        assert len(list((stopped / "checkpoint").glob(f"*_step-{step:07}-*"))) == (step != 6)
        words = (f"run.resume={stopped}",)
    resumed = script(*words)
    assert resumed.returncode == 0, resumed.stderr
    assert "in epoch 2 of 3, step 2 of 8" in resumed.stdout
    trained(tmp_path / "whole", *overrides)
    assert_same(tmp_path / "whole", stopped)


@pytest.mark.exhaustive
def test_sigkill_in_each_stage_of_progressive_resolution_changes_nothing(tmp_path):
    killed = tmp_path / "killed"
    sizes = ("low={epochs: 2, image_size: 8}", "middle={epochs: 2, image_size: 12}")
    overrides = (
        *("data.image_size=16", "model.patch_size=4", "model.dropout=0.1", "train.epochs=null"),
        *(f"+stages.{stage}" for stage in (*sizes, "full={epochs: 2}")),
        *("optim=muon", "optim.schedule=linear", "optim.schedule_scope=run"),
        *("optim.warmup_ratio=0.1", "optim.ema_momentum=0.9", "augment=shift"),
    )
    words = (*trained_runs.SMALL, *overrides, f"run.dir={killed}")
    for epoch in (2, 4, 6):  # the second one of each stage
        done = signalled(signal.SIGKILL, epoch, 1, *words)
        assert done.returncode == -signal.SIGKILL
        assert len(history(killed)) == epoch - 1
        words = (f"run.resume={killed}",)
    assert script(*words).returncode == 0

    trained(tmp_path / "whole", *overrides)
    assert_same(tmp_path / "whole", killed)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_a_run_and_says_how_to_go_on(tmp_path):
    run = tmp_path / "run"
    with subprocess.Popen(
        [
            sys.executable,
            SCRIPT,
            *SMALL,
            "train.jit_compile=false",
            "train.epochs=500",
            f"run.dir={run}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (run / "checkpoint" / "epoch-00001.npz").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate()
    assert process.returncode == 130
    assert f"run.resume={run}" in stdout
    assert "Traceback" not in stderr
