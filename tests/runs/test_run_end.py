"""Why a run ended stands in its `end.json`, its `train.log` and the list of runs."""

import json
import os
import signal
import subprocess
import sys

import pytest

from helpers.fake_runs import begun, finished, stopped
from helpers.paths import ROOT
from vit_keras import SettingError
from vit_keras.errors import DivergedError, ResourceError
from vit_keras.runs import delete, run_dir, run_end
from vit_keras.runs.describe import describe
from vit_keras.runs.listing import list_runs
from vit_keras.runs.tables import description_text

# What ends a training -> the reason, the state of the run after two of 80 epochs, and its text.
ENDS = {
    KeyboardInterrupt(): ("interrupted", "stopped", "stopped by Ctrl-C, at epoch 2 of 80; run.res"),
    DivergedError("the loss became nan at step 3; lower optim.learning_rate=1"): (
        *("diverged", "failed"),
        "the loss became nan at step 3, at epoch 2 of 80",
    ),
    ResourceError("out of memory; lower train.batch_size=64"): (
        *("out of memory", "failed"),
        "out of memory, at epoch 2 of 80",
    ),
    MemoryError(): ("out of memory", "failed", "MemoryError, at epoch 2 of 80"),
    SettingError("photos/1.jpg is gone; put it back"): (
        *("refused", "failed"),
        "photos/1.jpg is gone, at epoch 2 of 80",
    ),
    OSError(28, "No space left on device"): (
        *("error", "failed"),
        "OSError: [Errno 28] No space left on device, at epoch 2 of 80; run.resume continues it",
    ),
}


def end_by(path, error):
    """End a training in the run `path` by an exception, or without one."""
    run = run_dir.Run(path)
    try:
        with run_dir.log_file(run), run_end.recorded(run, lambda: ("finished", "after 2 epochs")):
            if error:
                raise error
    finally:
        run.close()


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
def test_a_reason_stands_in_the_run_and_in_the_list(error, tmp_path):
    reason, state, text = ENDS[error]
    path = stopped(tmp_path / "a", 2)
    with pytest.raises(type(error)):
        end_by(path, error)
    end = run_end.read_end(path)
    assert (end.reason, end.time[:2]) == (reason, "20")
    assert f"ended: {reason}: {end.message}" in (path / "train.log").read_text()
    (found,) = list_runs(tmp_path)
    assert found.state == state
    assert found.reason.startswith(text)
    assert ("run.resume" in found.reason) == end.is_resumable
    assert end.message in description_text(describe("a", tmp_path))


def test_an_unexpected_error_leaves_its_traceback_in_the_log(tmp_path):
    path = begun(tmp_path / "a")
    with pytest.raises(ZeroDivisionError):
        end_by(path, ZeroDivisionError("division by zero"))
    assert "Traceback (most recent call last)" in (path / "train.log").read_text()
    (found,) = list_runs(tmp_path)
    assert (found.state, found.reason) == (
        *("failed",),
        "ZeroDivisionError: division by zero, before its first epoch ended; run.resume restarts it",
    )
    assert [one.run.name for one in delete.candidates(root=tmp_path)] == ["a"]


def test_going_on_forgets_the_earlier_end(tmp_path):
    path = finished(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        end_by(path, KeyboardInterrupt())
    assert list_runs(tmp_path)[0].state == "stopped"  # it was resumed for more epochs
    end_by(path, None)
    assert json.loads((path / "end.json").read_text())["reason"] == "finished"
    assert (list_runs(tmp_path)[0].state, list_runs(tmp_path)[0].reason) == ("finished", "")


def test_early_stopping_is_listed(tmp_path):
    path = finished(tmp_path / "a")
    message = "early stopping after 9 of 80 epochs: 3 without a better validation accuracy"
    run_end.write_end(path, "early stopping", message)
    (found,) = list_runs(tmp_path)
    assert (found.state, found.reason) == ("finished", "early stopping after 9 of 80 epochs")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"reason": "diverged"}', "[" * 100_000])
def test_a_damaged_end_is_as_none(content, tmp_path):
    path = stopped(tmp_path / "a", 2)
    (path / "end.json").write_text(content)
    (found,) = list_runs(tmp_path)
    assert (found.state, "no reason recorded" in found.reason) == ("stopped", True)


TRAINING = """
import sys, time
from pathlib import Path
from vit_keras.runs import run_dir, run_end
run = run_dir.Run(Path(sys.argv[1]))
(run.path / run_dir.PROGRESS).write_text("{}")
with run_dir.log_file(run), run_end.recorded(run, lambda: ("finished", "")):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_ends_a_training_and_is_recorded(number, tmp_path):
    path = stopped(tmp_path / "a", 2)
    default = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # nohup ignores it
    with subprocess.Popen(
        [sys.executable, "-c", default + TRAINING, path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait() == -number
    (found,) = list_runs(tmp_path)
    assert found.state == "stopped"
    if number == signal.SIGKILL:
        assert found.reason.startswith("stopped at epoch 2 of 80, no reason recorded (killed?)")
    else:
        assert found.reason.startswith(f"ended by {number.name}, at epoch 2 of 80; run.resume")
        assert f"ended by {number.name}" in (path / "train.log").read_text()
        assert not (path / run_dir.PROGRESS).exists()
