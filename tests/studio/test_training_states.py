"""What the pages say of trainings: running, taken back, deleted, finished; without a browser."""

import os
import shutil
from dataclasses import replace

import pytest

from helpers.fake_runs import finished, stopped
from helpers.waiting import PATIENCE

pytest.importorskip("streamlit", reason="needs the extra `studio`")
pytest.importorskip("psutil", reason="needs the extra `studio`")

from streamlit.testing.v1 import AppTest

from helpers.training_form import open_form
from vit_keras.runs import run_end
from vit_keras.runs.run_dir import Run
from vit_keras.studio.components import run_list
from vit_keras.studio.jobs import runner
from vit_keras.studio.jobs.queue import Jobs, start_of


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """A queue that nothing is trained of."""
    monkeypatch.setattr(runner, "ensure", lambda jobs: None)
    return Jobs(tmp_path / "runs")


def drawn(call, jobs, **query):
    """What a component draws; `root` and `jobs` are those of the queue."""
    run_list.forget()
    script = (
        "from pathlib import Path\n"
        "from vit_keras.studio.components import job_monitor, run_table\n"
        "from vit_keras.studio.jobs.queue import Jobs\n"
        "from vit_keras.studio.pages import runs\n"
        f"root = Path({str(jobs.root)!r})\n"
        f"{call}\n"
    )
    app = AppTest.from_string(script, default_timeout=PATIENCE)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def labels(app):
    return [button.label for button in app.button]


def texts(app):
    """Everything that is said, without the escapes of Markdown."""
    said = (*app.markdown, *app.info, *app.success, *app.warning, *app.error)
    return "\n".join(one.value.replace("\\", "") for one in said)


def saved(jobs, job, **changes):
    with jobs.changing():
        jobs.save(replace(job, **changes))
    return jobs.get(job.id)


def test_a_run_that_is_still_training_is_marked_and_not_chosen(jobs):
    for age, name in enumerate(("running", "stopped", "older", "oldest")):
        path = jobs.root / name
        stopped(path, 3) if name in ("running", "stopped") else finished(path)
        for file in path.iterdir():
            os.utime(file, (10_000 - age, 10_000 - age))
    held = Run(jobs.root / "running")
    try:
        (box,) = drawn("run_table.select_run(root)", jobs).selectbox
        assert box.value == "older"
        assert [one.partition(" (")[0] for one in box.options] == [
            *("running", "stopped", "older", "oldest")
        ]
        assert "(still training, epoch 4 of 80, validation accuracy 3" in box.options[0]
        assert "(stopped, validation accuracy 3" in box.options[1]
        assert "(validation accuracy 9" in box.options[2]
        asked = drawn("run_table.select_run(root)", jobs, run="running")
        assert asked.selectbox[0].value == "running"
        assert "still training: its model is that of its best epoch so far" in texts(asked)
    finally:
        held.close()


def test_a_deleted_run_leaves_both_lists_and_the_page_says_so(jobs):
    for name in ("mine", "other"):
        job = jobs.add("train", (), name, place=str(finished(jobs.root / name)))
        saved(jobs, job, state="finished", pid=1)
    app = drawn("runs.show(root)", jobs, run="mine")
    app.button(key="delete").click().run()
    app.button(key="delete_permanently").click().run()
    assert not app.exception
    assert "Deleted mine (" in app.success[0].value.replace("\\", "")
    assert [job.name for job in jobs.all()] == ["other"]
    assert "run" not in app.query_params
    assert "Deleted" not in texts(app.run())


def test_a_run_that_waits_to_be_resumed_is_not_deleted(jobs):
    path = stopped(jobs.root / "mine", 3)
    jobs.add("train", (f"run.resume={path}",), "mine", place=str(path))
    app = drawn("runs.show(root)", jobs, run="mine")
    app.button(key="delete").click().run()
    assert "the training of mine is waiting; stop it first, on the Training page" in texts(app)
    assert "delete_permanently" not in [button.key for button in app.button]


def test_the_folder_of_a_training_in_the_queue_is_no_ghost_among_the_runs(jobs):
    finished(jobs.root / "mine")
    (jobs.root / "odd").mkdir()
    waiting, taken_back = (jobs.add("train", (), name) for name in ("waiting", "back"))
    jobs.stop(taken_back)
    said = texts(drawn("runs.show(root)", jobs))
    assert "not runs, without settings or a model of a training: odd" in said
    assert waiting.name not in said
    assert taken_back.name not in said


def test_a_training_that_was_taken_back_before_it_began_is_not_resumed(jobs):
    job = jobs.add("train", ("recipe=digits",), "mine")
    jobs.stop(job)
    app = drawn("job_monitor.show(Jobs(root))", jobs)
    assert "Taken out of the queue before it began" in texts(app)
    assert "Resume" not in labels(app)
    assert app.button(key="remove").help == "with its folder, which is empty"
    app.button(key="resume").click().run()
    assert [one.state for one in jobs.all()] == ["waiting", "stopped"]
    assert jobs.all()[0].words == ("recipe=digits",)


def test_a_training_whose_folder_was_deleted_elsewhere_is_not_resumed(jobs):
    path = stopped(jobs.root / "mine", 3)
    job = jobs.add("train", (), "mine", place=str(path))
    saved(jobs, job, state="stopped", pid=1)
    assert "Resume" in labels(drawn("job_monitor.show(Jobs(root))", jobs))
    shutil.rmtree(path)
    app = drawn("job_monitor.show(Jobs(root))", jobs)
    assert "does not exist any more: it was deleted or moved" in texts(app)
    assert not app.error
    assert labels(app) == ["Remove from the list"]


def test_a_training_whose_result_is_written_is_not_stopped(jobs):
    path = finished(jobs.root / "mine")
    (path / run_end.END).unlink(missing_ok=True)
    job = jobs.mark_running(jobs.add("train", (), "mine", place=str(path)), os.getpid())
    assert {"Stop", "Stop at once"} <= {*labels(drawn("job_monitor.show(Jobs(root))", jobs))}
    run_end.write_end(path, run_end.FINISHED, "")
    app = drawn("job_monitor.show(Jobs(root))", jobs)
    assert "State: **finishing**" in texts(app)
    assert not {"Stop", "Stop at once"} & {*labels(app)}
    assert jobs.get(job.id).state == "running"


def blocks(block, path=()):
    """The containers of a page by their places, with the labels of the buttons in each."""
    children = block.children.items()
    yield path, {one.label for _, one in children if getattr(one, "type", "") == "button"}
    for place, one in children:
        if hasattr(one, "children"):
            yield from blocks(one, (*path, place))


def test_no_button_of_another_state_is_left_while_the_page_is_drawn(jobs):
    """Streamlit keeps a button that another replaces; none is left of a container that is gone."""
    job = jobs.add("train", (), "mine", place=str(stopped(jobs.root / "mine", 3)))
    running = {"state": "running", "pid": os.getpid(), "started": start_of(os.getpid())}
    of_places, seen = {}, []
    for changes in ({"state": "waiting"}, running, {"state": "stopped"}):
        job = saved(jobs, job, **changes)
        seen.append(dict(blocks(drawn("job_monitor.show(Jobs(root))", jobs).main)))
        of_places |= {place: labels for place, labels in seen[-1].items() if labels}
    for place, labels in of_places.items():
        assert all(one.get(place, labels) == labels for one in seen)
    assert {label for labels in of_places.values() for label in labels} >= {
        *("Stop", "Stop at once", "Resume", "Remove from the list", "Train again with changes")
    }


def test_the_sidebar_offers_to_follow_another_training_than_the_one_that_is_shown(
    jobs, tmp_path, monkeypatch
):
    place = stopped(jobs.root / "mine", 3)
    jobs.mark_running(jobs.add("train", (), "mine", place=str(place)), os.getpid())
    app = open_form(tmp_path, monkeypatch)  # its tab is that of the trainings
    assert not app.exception
    assert "State: **running**" in texts(app)
    assert "Follow it" not in labels(app)
