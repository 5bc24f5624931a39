"""Jobs outlive the process that queued them: queue, stop, kill, resume, lost processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="needs the extra `studio`")

from helpers.waiting import until
from vit_keras import SettingError
from vit_keras.runs import run_end
from vit_keras.studio.jobs import live_run, runner
from vit_keras.studio.jobs.queue import COMMANDS, Jobs, start_of

# A training as far as a job sees one: it takes its place, notes that it runs, and ends as told.
TRAINING = """
import json, os, pathlib, signal, sys, time
settings = dict(word.split("=", 1) for word in sys.argv[2:] if "=" in word)
place = pathlib.Path(settings.get("run.dir", settings.get("run.resume", "")).strip('"'))
time.sleep(float(settings.get("loads", 0)))
place.mkdir(parents=True, exist_ok=True)
(place / "train.log").write_text("started")
(place / "config.yaml").write_text("run: {resume: null}")
with open(place / "started", "a") as file:
    file.write(" ".join(sys.argv[2:]) + chr(10))
if "says" in settings:
    sys.exit("error: " + settings["says"])
try:
    time.sleep(float(settings.get("takes", 0)))
except KeyboardInterrupt:
    sys.exit(130)
(place / "metrics.json").write_text("{}")
"""


@pytest.fixture
def jobs(tmp_path):
    package = tmp_path / "instead" / "vit_keras"  # `python -m` looks in its own folder first
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(TRAINING)
    return Jobs(tmp_path / "runs")


@pytest.fixture
def add(jobs, tmp_path, monkeypatch):
    def added(*words, **settings):
        with monkeypatch.context() as there:
            there.chdir(tmp_path / "instead")  # where its process is started
            return jobs.add("train", words, "digits", **settings)

    return added


def state(jobs, job):
    return jobs.get(job.id).state


def started_commands(job):
    file = Path(job.place, "started")
    return file.read_text().splitlines() if file.exists() else []


def test_jobs_run_in_the_order_they_were_added(jobs, add):
    asked = [add("takes=0.1"), add("says=train.epochs=0 is out of range"), add()]
    runner.work(jobs.root)
    assert [state(jobs, job) for job in asked] == ["finished", "failed", "finished"]
    ended = [jobs.get(job.id).ended for job in asked]
    assert ended == sorted(ended)
    assert live_run.failure_message(jobs, jobs.get(asked[1].id)) == "train.epochs=0 is out of range"
    assert len({job.place for job in asked}) == 3  # asked for in one second, and yet apart


def test_a_training_outlives_the_runner_and_a_new_runner_finds_it(jobs, add):
    job, later = add("takes=3"), add()
    process = subprocess.Popen(
        [sys.executable, "-m", "vit_keras.studio.jobs.runner", str(jobs.root)]
    )
    until(lambda: started_commands(job))
    until(lambda: state(jobs, job) == "running")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert jobs.get(job.id).is_alive()
    runner.work(jobs.root)
    assert [state(jobs, one) for one in (job, later)] == ["finished", "finished"]
    assert len(started_commands(job)) == 1  # and was not started twice


@pytest.mark.parametrize(
    ("action", "said"),
    [("stop", "Stopped. "), ("kill", "Stopped at once, without the steps since")],
)
def test_a_job_is_stopped_or_killed_and_resumed(jobs, add, action, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "instead")
    # As from a shell's background, where Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    job = add("takes=60")

    def act():
        until(lambda: started_commands(job) and state(jobs, job) == "running")
        time.sleep(0.3)  # until it sleeps
        getattr(jobs, action)(job)

    thread = threading.Thread(target=act)
    thread.start()
    try:
        runner.work(jobs.root)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert state(jobs, job) == "stopped"
    message = live_run.failure_message(jobs, jobs.get(job.id))
    assert message.startswith(said)
    assert "Resume begins it again from the start, with the same result" in message
    assert "memory" not in message
    if action == "kill":
        assert run_end.read_end(Path(job.place)).message == "stopped at once in the studio"
    resumed = jobs.resume(jobs.get(job.id))
    runner.work(jobs.root)
    assert started_commands(job)[-1] == f"run.resume={job.place}"
    assert state(jobs, resumed) == "finished"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGSEGV])
def test_a_training_that_a_signal_ends_was_killed(jobs, add, sign):
    job = add("takes=60")

    def end():
        until(lambda: started_commands(job) and state(jobs, job) == "running")
        os.kill(jobs.get(job.id).pid, sign)

    thread = threading.Thread(target=end)
    thread.start()
    runner.work(jobs.root)
    thread.join()
    assert state(jobs, job) == "killed"
    assert "from outside" in live_run.failure_message(jobs, jobs.get(job.id))
    assert "SIG" in run_end.read_end(Path(job.place)).message


def test_a_job_killed_while_it_loads_leaves_a_finished_run_as_it_is(jobs, add):
    first = add()
    runner.work(jobs.root)
    again = jobs.resume(jobs.get(first.id))
    again = replace(again, words=(*again.words, "loads=60"))
    with jobs.changing():
        jobs.save(again)

    def end():
        until(lambda: state(jobs, again) == "running")
        os.kill(jobs.get(again.id).pid, signal.SIGKILL)

    thread = threading.Thread(target=end)
    thread.start()
    runner.work(jobs.root)
    thread.join()
    assert state(jobs, again) == "killed"
    assert run_end.read_end(Path(first.place)) is None


def test_a_disk_that_is_full_for_a_while_is_waited_for(jobs, add, monkeypatch):
    asked, tries = [add(), add("says=x")], []
    keep = Jobs.save

    def full(self, job):
        tries.append(job.state)
        if len(tries) in (1, 3, 5):  # before the first begins, when it has, and when one has ended
            raise OSError(28, "No space left on device")
        keep(self, job)

    monkeypatch.setattr(Jobs, "save", full)
    monkeypatch.setattr(runner, "PAUSE", 0.1)
    runner.work(jobs.root)
    assert [state(jobs, job) for job in asked] == ["finished", "failed"]


def test_a_disk_without_space_for_records_is_reported(jobs, monkeypatch):
    jobs.check_writable()

    def full(self, *given, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SettingError, match=r"cannot be written to \(No space left on device\)"):
        jobs.check_writable()


def test_a_job_that_waits_can_be_taken_back(jobs, add):
    job = add()
    jobs.stop(job)
    runner.work(jobs.root)
    assert state(jobs, job) == "stopped"
    assert not started_commands(job)
    message = live_run.failure_message(jobs, jobs.get(job.id))
    assert message == "Taken out of the queue before it began. Start it puts it back."
    jobs.remove(job)
    assert jobs.all() == []
    assert not os.path.exists(job.place)  # kept free for it, and never used


def test_a_sweep_that_was_taken_back_is_put_back_as_a_sweep(jobs, add):
    words = ("--multirun", "optim.learning_rate=0.1,0.2")
    job = add(*words, swept=("optim.learning_rate",))
    jobs.stop(job)
    again = jobs.resume(jobs.get(job.id))
    assert (again.words, again.swept, again.place) == (job.words, job.swept, job.place)
    jobs.mark_running(again, os.getpid())
    with pytest.raises(SettingError, match=r"resume each of its runs by run\.resume"):
        jobs.resume(jobs.get(again.id))


def test_a_process_that_died_unobserved_is_reported(jobs, add):
    job = add("takes=60")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pid = process.pid
    jobs.mark_running(job, pid)
    assert not jobs.get(job.id).is_alive()
    runner.work(jobs.root)
    assert state(jobs, job) == "lost"
    assert "restarted" in live_run.failure_message(jobs, jobs.get(job.id))


def test_another_process_of_the_same_number_is_left_alone(jobs, add):
    job = add()
    record = jobs.folder / job.id / "job.json"
    kept = json.loads(record.read_text())
    kept |= {"state": "running", "pid": os.getpid(), "started": start_of(os.getpid()) - 60}
    record.write_text(json.dumps(kept))
    jobs.kill(job)  # or this test would end here
    assert not jobs.get(job.id).is_alive()


def test_one_run_directory_is_given_to_one_job(jobs, add, tmp_path):
    first = add(place=str(tmp_path / "mine"))
    with pytest.raises(SettingError, match=r"run.dir=.*mine belongs to a training .* waiting"):
        add(place=str(tmp_path / "mine"))
    jobs.stop(first)
    resumed = jobs.resume(jobs.get(first.id))
    with pytest.raises(SettingError, match="belongs to a training"):
        jobs.resume(jobs.get(first.id))  # in another tab
    assert resumed.words == first.words  # it never began: from the start


def test_a_damaged_record_is_skipped(jobs, add):
    job, damaged = add(), add()
    (jobs.folder / damaged.id / "job.json").write_text("{")
    assert [one.id for one in jobs.all()] == [job.id]


@pytest.mark.parametrize(("script", "command"), COMMANDS.items())
def test_a_record_of_an_earlier_version_is_read(script, command, jobs, add):
    job = add("train.epochs=3")
    record = jobs.folder / job.id / "job.json"
    kept = json.loads(record.read_text())
    kept["script"] = script
    del kept["command"], kept["is_kill_asked"]
    record.write_text(json.dumps(kept))
    read = jobs.get(job.id)
    assert read == replace(job, command=command)
    assert read.arguments == [
        *(sys.executable, "-m", "vit_keras", command),
        *("train.epochs=3", f"run.dir={job.place}"),
    ]


def test_a_read_only_folder_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"run.root=.*file cannot be written to"):
        Jobs(tmp_path / "file").add("train", (), "digits")


def test_a_log_is_shown_without_the_colours_of_a_terminal(tmp_path):
    (tmp_path / "output.txt").write_text("\x1b[32m[I 2026]\x1b[0m A new study")
    assert live_run.tail(tmp_path / "output.txt") == "[I 2026] A new study"


def test_studio_does_not_import_keras():
    code = (
        "import sys; import vit_keras.studio.pages.training, vit_keras.studio.jobs.runner;"
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
