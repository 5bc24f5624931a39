"""The jobs of a sweep: each in its own process; the others go on when one fails."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml
from PIL import Image

from helpers.fake_runs import begun, stopped
from helpers.paths import ROOT
from helpers.waiting import until
from vit_keras import SettingError
from vit_keras.cli import job_records, launchers, sweep
from vit_keras.cli.exit_codes import exit_codes
from vit_keras.cli.hydra_app import check_sweep
from vit_keras.errors import DivergedError
from vit_keras.runs import run_end
from vit_keras.runs.listing import list_runs

TINY = (
    *("train.epochs=1", "train.jit_compile=false", "model.depth=1", "model.width=8"),
    *("model.num_heads=2", "model.mlp_dim=8", "train.batch_size=4"),
)


def vit_keras(*words, cwd, **settings):
    return subprocess.run(
        [sys.executable, "-m", "vit_keras", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        **settings,
    )


SEARCH = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "optim.learning_rate=interval(1,2)")
SWEEPS = {
    "grid": ("train.seed=1,2", "name=a"),
    "search": (*SEARCH, "name=a${hydra:job.num}"),
}


@pytest.mark.parametrize("kind", SWEEPS)
def test_every_job_keeps_its_reason_and_the_others_go_on(kind, script, tmp_path):
    """Without Keras every job fails, each in its own process."""
    if kind == "search":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra `sweep`")
    root = tmp_path / "runs"
    status, text = script("-m", *SWEEPS[kind], f"run.root={root}")
    assert status == 1
    assert text.count("import of keras halted") >= 2
    head, *failed = text.splitlines()[-3:]
    assert head == "2 of 2 failed:"
    found = list_runs(root)
    assert [run.path.name for run in found] == ["0", "1"]
    for run, line in zip(found, failed, strict=True):
        assert line == f"  {run.path}: ImportError: import of keras halted"
        assert run.state == "failed"
        assert run.reason.startswith("ImportError: import of keras halted, before its first epoch")
        assert run.config.name == ("a" if kind == "grid" else f"a{run.path.name}")


def test_a_launcher_that_is_not_installed_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(launchers, "LAUNCHERS", {"ray": "hydra-no-launcher"})
    with pytest.raises(SettingError) as refused:
        check_sweep(["hydra/launcher=ray", "train.seed=1,2"])
    assert str(refused.value) == (
        "hydra/launcher=ray needs hydra-no-launcher, not installed here: "
        'pip install "vit-keras-lab[cluster]"'
    )


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["ray", "submitit_local"])
def test_jobs_of_a_launcher_keep_their_reasons(launcher, script, tmp_path, monkeypatch):
    """Without Keras every job fails, each on a worker, which has a copy of the sweep."""
    kind = launcher.partition("_")[0]
    pytest.importorskip(f"hydra_plugins.hydra_{kind}_launcher", reason="needs the extra `cluster`")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    status, text = script(
        "-m", f"hydra/launcher={launcher}", "train.seed=1,2", f"run.root={tmp_path}/runs"
    )
    assert status == 1, text
    _, *failed = text[text.index("2 of 2 failed:") :].splitlines()[:3]
    first, second = list_runs(tmp_path / "runs")
    assert failed == [
        f"  {run.path}: ImportError: import of keras halted" for run in (first, second)
    ]
    assert (first.path.name, second.path.name) == ("0", "1")


def children(pid, name):
    """Processes below `pid` whose command has `name`."""
    found = psutil.Process(pid).children(recursive=True)
    return [one for one in found if name in " ".join(one.cmdline())]


@pytest.mark.slow
def test_a_preempted_job_goes_on_in_its_own_directory(tmp_path):
    """As Slurm does it: a signal, on which submitit starts the job again with the same words."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs extra `cluster`")
    command = [sys.executable, "-m", "vit_keras", "train", "--multirun", *TINY, "train.epochs=3"]
    command += ["hydra/launcher=submitit_local", "hydra.sweeper.max_batch_size=2"]
    command += ["optim.learning_rate=1e-3,1e30", "data.limit=200", "run.root=runs"]
    started = subprocess.Popen(
        [word for word in command if word != "train.epochs=1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )
    checkpoints = "runs/multirun/*/0/checkpoint/*"
    found = until(lambda: started.poll() is not None or list(tmp_path.glob(checkpoints)))
    assert started.poll() is None, started.stdout.read()
    for job in children(started.pid, "submitit.core._submit"):
        job.send_signal(signal.SIGUSR2)
    text, _ = started.communicate(timeout=300)
    assert started.returncode == 1
    assert "1 of 2 failed:" in text
    first, second = list_runs(tmp_path / "runs" / "multirun")
    assert (first.path, first.state) == (found[0].parents[1], "finished")
    assert len((first.path / "history.csv").read_text().splitlines()) == 1 + 3
    assert second.state == "failed"
    assert "resum" in (first.path / "train.log").read_text()


def test_a_job_that_is_started_again_goes_on_only_by_the_same_words(tmp_path):
    words = ["train.epochs=1", "distribute.devices=1", f"run.dir={tmp_path}/0"]
    job = job_records.Record("sweep", f"{tmp_path}/0", words)
    assert not job_records.is_repeated(job)
    job_records.write(job)
    assert job_records.is_repeated(job)
    assert not job_records.is_repeated(dataclasses.replace(job, words=["train.epochs=2"]))
    assert job_records.words_to_go_on(job) == words  # it was killed before it began

    begun(tmp_path / "0")
    assert job_records.words_to_go_on(job) == words
    assert not (tmp_path / "0").exists()
    stopped(tmp_path / "0", 1)
    expected = ["distribute.devices=1", f"run.resume={tmp_path}/0"]
    assert job_records.words_to_go_on(job) == expected
    run_end.write_end(tmp_path / "0", run_end.FINISHED, "")
    assert job_records.words_to_go_on(job) == []


def photos(folder, is_damaged):
    for label in ("ant", "bee"):
        (folder / label).mkdir(parents=True)
        for index in range(10):
            file = folder / label / f"{index}.png"
            Image.new("RGB", (16, 16), (25 * index, 0, 255 * (label == "bee"))).save(file)
            if is_damaged:
                file.write_bytes(b"no image")
    return folder


@pytest.mark.slow
def test_a_job_whose_data_are_bad_does_not_end_the_sweep(tmp_path):
    bad, good = photos(tmp_path / "bad", True), photos(tmp_path / "good", False)
    done = vit_keras(
        *("train", "--multirun", "recipe=folder", "data.image_size=16", f"data.path={bad},{good}"),
        *(*TINY, f"run.root={tmp_path}"),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    first, second = list_runs(tmp_path / "multirun")
    assert f"run 1 of 2: data.path={bad}\n" in done.stdout
    assert f"run 2 of 2: data.path={good}\n" in done.stdout
    assert "1 of 2 failed:" in done.stderr
    assert f"  {first.path}: " in done.stderr
    assert (first.state, second.state) == ("failed", "finished")
    message = run_end.read_end(first.path).message
    assert str(bad) in message
    assert message.startswith(first.reason.partition(", before its first epoch")[0])
    listed = done.stdout.splitlines()[-1].removeprefix("ranked: vit-keras ").split()
    assert "1 finished, 1 failed" in vit_keras(*listed, cwd=tmp_path).stdout


SEARCH_WITHOUT_KERAS = """
import json
from pathlib import Path
from vit_keras.cli import sweep, train
from vit_keras.runs import run_end

def value_of(name, command):
    return next(word for word in command if word.startswith(name)).partition("=")[2]

def job(command):
    # Rates of 1 and above diverge; of the others the highest is the best.
    place, rate = Path(value_of("run.dir=", command)), float(value_of("optim.learning", command))
    if rate >= 1:
        run_end.write_end(place, "diverged", "the loss became nan")
        return 1, "error: the loss became nan"
    (place / "metrics.json").write_text(json.dumps({"best_val_accuracy": rate}))
    return 0, ""

sweep._run = job
train.main()
"""
SEED = "hydra.sweeper.sampler.seed=0"
SEARCHES = {
    "random": (["hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=9", SEED], "0.1,0.3,2"),
    "tpe": (["hydra.sweeper.n_trials=9", SEED], "interval(0.5,1.5)"),
    "grid": (["hydra/sweeper/sampler=grid"], "0.1,0.3,2,3,4,5"),
    "all_fail": (["hydra.sweeper.n_trials=3"], "interval(2,3)"),
}


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_search_goes_for_the_best_and_a_diverged_run_is_a_failed_trial(kind, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra `sweep`")
    options, values = SEARCHES[kind]
    words = ["-m", "hydra/sweeper=optuna", *options, f"optim.learning_rate={values}"]
    done = subprocess.run(
        [sys.executable, "-c", SEARCH_WITHOUT_KERAS, *words, f"run.root={tmp_path}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    headings = re.findall(
        r"^run \d+ of (\d+): optim.learning_rate=(.*)$", done.stdout, re.MULTILINE
    )
    rates = [float(rate) for _, rate in headings]
    failed = sum(rate >= 1 for rate in rates)
    assert (done.returncode, failed > 0) == (1, True)
    assert {int(count) for count, _ in headings} == {len(rates)}
    assert f"{failed} of {len(rates)} failed:" in done.stderr
    assert "Traceback" not in done.stderr
    found = list_runs(tmp_path / "multirun")
    assert sum(run.state == "failed" for run in found) == failed
    results = list(tmp_path.glob("multirun/*/optimization_results.yaml"))
    if kind in ("random", "tpe"):
        best = yaml.safe_load(results[0].read_text())["best_params"]["optim.learning_rate"]
        assert float(best) == max(rate for rate in rates if rate < 1)


def test_a_training_that_diverged_has_an_exit_status_of_its_own(capsys):
    with pytest.raises(SystemExit) as ended, exit_codes():
        raise DivergedError("the loss became nan")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: the loss became nan\n"


def test_the_direction_of_a_search_is_ours():
    words = ["hydra/sweeper=optuna", "train.seed=1,2"]
    maximize = "hydra.sweeper.direction=maximize"
    assert sweep.with_direction(words) == [*words, maximize]
    assert sweep.with_direction([*words, maximize]) == [*words, maximize]
    assert sweep.with_direction(["train.seed=1,2"]) == ["train.seed=1,2"]
    with pytest.raises(SettingError, match="direction=minimize would search for the worst run"):
        sweep.with_direction([*words, "hydra.sweeper.direction=minimize"])


def test_a_job_that_is_killed_is_told_from_one_that_failed(tmp_path):
    place = begun(tmp_path / "0")
    reason = sweep._reason(-signal.SIGKILL, "", place)
    sweep._keep_reason(place, None, -signal.SIGKILL, reason)
    (found,) = list_runs(tmp_path)
    assert found.state == "started"
    assert found.reason == (
        "killed by SIGKILL, as when memory runs out, before its first epoch ended; run.resume "
        "restarts it"
    )


SWEEP = """
import sys
from vit_keras.cli import job_records, launchers, sweep
try:
    print(sweep._run([sys.executable, "-c", sys.argv[1]]))
except KeyboardInterrupt:
    print("interrupted")
"""
JOB = """
import signal, sys, time
def stop(number, frame):
    print("job got", signal.Signals(number).name, flush=True)
    sys.exit(130)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_job_once_and_ends_the_sweep(number):
    with subprocess.Popen(
        [sys.executable, "-c", SWEEP, JOB],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # without a terminal, as the studio starts it
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(number)
        assert process.stdout.readline() == f"job got {number.name}\n"
        rest, _ = process.communicate()
    if number == signal.SIGINT:
        assert (process.returncode, rest) == (0, "interrupted\n")
    else:
        assert (process.returncode, rest) == (-signal.SIGTERM, "")


def test_the_end_of_what_a_job_printed_is_kept_and_passed_on(capfd):
    code = "import sys; sys.stderr.write('x' * 50_000 + '\\nerror: too large\\n'); sys.exit(2)"
    status, printed = sweep._run([sys.executable, "-c", code])
    assert (status, len(printed)) == (2, sweep.TAIL)
    assert sweep.last_error(printed) == "too large"
    assert len(capfd.readouterr().err) == 50_018
