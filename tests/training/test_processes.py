"""Several processes train one run: as one does, and none goes on without the others."""

import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from helpers.paths import ROOT
from helpers.trained_runs import largest_difference
from vit_keras import SettingError, backend, load_config
from vit_keras.config.schema import Config
from vit_keras.runs import run_dir
from vit_keras.runs.run_dir import FollowedRun
from vit_keras.runs.run_end import read_end
from vit_keras.training import processes

SMALL = (
    *(
        "data.limit=300",
        "model.depth=1",
        "model.dropout=0.1",
        "augment=shift",
        "augment.mixup=0.2",
        "optim=adamw",
    ),
    *("optim.ema_momentum=0.9", "train.batch_size=32", "train.epochs=3"),
)
ENDS_WITHIN = 60  # seconds after a process was lost


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# One process: trains a run, and when the other is there, goes on with that.
ALONE = """
import sys
import vit_keras

_, whole, other, *words = sys.argv
vit_keras.train_model(vit_keras.load_config(*words, f"run.dir={whole}"))
print("trained", file=sys.stderr, flush=True)
sys.stdin.readline()
vit_keras.train_model(vit_keras.load_config(f"run.resume={other}"))
"""


def start(folder, *command, devices=1, **environment):
    return subprocess.Popen(
        [sys.executable, *command],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            **environment,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_pair(folder, *words):
    """Two processes of `vit-keras train`, of one device each."""
    where = ("distribute.processes=2", f"distribute.coordinator=127.0.0.1:{free_port()}")
    command = ("-m", "vit_keras", "train", *words, *where)
    return [start(folder, *command, f"distribute.process_id={number}") for number in range(2)]


def start_slurm_pair(folder, *words):
    """The same as tasks of a step of Slurm, which JAX knows by their environment."""
    job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "localhost"}
    command = ("-m", "vit_keras", "train", *words, "distribute=cluster")
    return [
        start(
            *(folder, *command),
            **job,
            SLURM_NTASKS="2",
            SLURM_PROCID=str(number),
            SLURM_LOCALID=str(number),
            SLURM_STEP_NUM_NODES="1",
        )
        for number in range(2)
    ]


def ended(started, timeout=300):
    """(exit status, standard error) of each."""
    try:
        errors = [process.communicate(timeout=timeout)[1] for process in started]
        return [(p.returncode, text) for p, text in zip(started, errors, strict=True)]
    finally:
        for process in started:
            process.kill()


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_train_as_one_process_on_two_devices(tmp_path):
    pytest.importorskip("jax", reason="needs jax")
    whole, killed, alone = (tmp_path / name for name in ("whole", "killed", "alone"))
    single = start(tmp_path, "-c", ALONE, str(whole), str(alone), *SMALL, devices=2)
    while "trained" not in single.stderr.readline():
        assert single.poll() is None

    pair = start_pair(tmp_path, *SMALL, f"run.dir={killed}")
    while not (killed / "checkpoint" / "epoch-00001.npz").exists():
        assert all(process.poll() is None for process in pair), ended(pair, 1)
        time.sleep(0.01)
    pair[1].send_signal(signal.SIGKILL)
    lost = time.monotonic()
    (status, errors), _ = ended(pair, ENDS_WITHIN)
    print(f"the other process ended after {time.monotonic() - lost:.1f} s: {errors.strip()}")
    assert status == 1
    assert f"process 1 ({socket.gethostname()}, pid {pair[1].pid}) ended" in errors
    assert f"go on with run.resume={killed}" in errors
    assert "Traceback" not in errors
    assert not (killed / "metrics.json").exists()
    assert read_end(killed).reason == "killed"
    shutil.copytree(killed, alone)

    print("resume", file=single.stdin, flush=True)
    for status, errors in ended([single, *start_slurm_pair(tmp_path, f"run.resume={killed}")]):
        assert status == 0, errors
    for resumed in (killed, alone):
        assert (resumed / "metrics.json").exists()
        found = largest_difference(whole, resumed)
        print(f"{resumed.name}: {found} from the weights of one process on two devices")
        assert found == 0.0
    metrics = [run_dir.read_json(run / "metrics.json") for run in (whole, killed)]
    for name in ("test_accuracy", "test_loss", "test_images", "validation_images"):
        assert metrics[0][name] == metrics[1][name]
    assert not list(killed.glob(".process-*"))


def test_a_process_with_another_setting_or_version_is_named(monkeypatch):
    monkeypatch.setattr(backend, "process_count", lambda: 2)

    def gather(text, **other):
        return [text, json.dumps({**json.loads(text), "host": "b, pid 7", **other})]

    config = load_config("train.seed=1")
    monkeypatch.setattr(processes, "gather", gather)
    processes.check_settings_and_versions(config)
    for name, value in (("train.seed", "2"), ("the version of keras", "3.0.0")):
        other = functools.partial(gather, **{name: value})
        monkeypatch.setattr(processes, "gather", other)
        with pytest.raises(SettingError, match=rf"process 1 \(b, pid 7\) has {name}={value}, and"):
            processes.check_settings_and_versions(config)


def test_a_coordinator_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", 0.1)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(SettingError, match=f"distribute.coordinator={address} does not answer"):
        processes._wait_for(address)


def test_a_run_directory_that_a_process_does_not_see_is_refused_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "process_count", lambda: 2)
    answers = iter(['["other host", true]', '["here, pid 2", false]'])
    monkeypatch.setattr(
        processes, "gather", lambda text: [text, next(answers, "")] if "pid" in text else [text, ""]
    )
    config = Config()
    config.run.dir = str(tmp_path / "run")
    run = processes.shared_run(run_dir.create(config), is_new=True)
    assert run.is_writer
    run.close()
    shutil.rmtree(run.path)
    with pytest.raises(SettingError, match=r"is not seen by process 1 \(here, pid 2\)"):
        processes.shared_run(run_dir.create(config), is_new=True)
    assert not (tmp_path / "run").exists()


def test_a_process_that_follows_writes_nothing(tmp_path):
    (tmp_path / "notes.txt").write_text("old")
    run = FollowedRun(tmp_path)
    run.write_text("notes.txt", "new")
    run.write_json("samples/more.json", {})
    run.close()
    assert (tmp_path / "notes.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


MEET = ("distribute.processes=2", "distribute.process_id=1", "distribute.coordinator=a:1")
REFUSED = {
    "distribute.process_id=1": "distribute.process_id=1 has no effect with distribute.processes=1",
    "distribute.coordinator=a:1": "distribute.coordinator=a:1 has no effect",
    "distribute=cluster distribute.coordinator=a:1": "distribute.coordinator=a:1 has no effect",
    "distribute.processes=2": "distribute.processes=2 needs distribute.process_id",
    "distribute.processes=2 distribute.process_id=1": "distribute.processes=2 needs distribute.",
    " ".join(MEET) + " distribute.process_id=2": "distribute.process_id=2 is none of",
    " ".join(MEET) + " distribute.coordinator=a": "distribute.coordinator=a is no address",
    " ".join(MEET) + " train.folds=3": "train.folds=3 needs one process",
    " ".join(MEET) + " train.sample_predictions=3": "train.sample_predictions=3 needs one process",
    " ".join(MEET) + " train.export=[litert]": "train.export=",
}


@pytest.mark.parametrize("words", REFUSED)
def test_processes_that_cannot_meet_are_refused(words, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # which is asked for, and not imported
    with pytest.raises(SettingError) as refused:
        load_config(*words.split())
    assert str(refused.value).startswith(REFUSED[words])


def test_processes_need_jax(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    with pytest.raises(SettingError, match="needs JAX, and the backend is tensorflow; set KERAS_"):
        load_config(*MEET)


@pytest.mark.exhaustive
def test_two_workers_of_ray_train_as_one_process_on_two_devices(tmp_path):
    for package in ("jax", "ray.train"):
        pytest.importorskip(package, reason="needs jax and the extra `cluster`")
    whole, run = tmp_path / "whole", tmp_path / "run"
    single = start(tmp_path, "-m", "vit_keras", "train", *SMALL, f"run.dir={whole}", devices=2)
    assert ended([single])[0][0] == 0
    command = (str(ROOT / "deploy" / "ray_train.py"), *SMALL, f"run.dir={run}")
    workers = start(tmp_path, *command, RAY_worker_niceness="0", RAY_USAGE_STATS_ENABLED="0")
    [(status, errors)] = ended([workers], 400)
    assert status == 0, errors
    assert largest_difference(whole, run) == 0.0
