"""Failures while the studio is used are reported on the page, and the studio keeps running."""

import io
import os
import re
import shutil
import signal
import zipfile
from pathlib import Path

import psutil
import pytest
from PIL import Image

from helpers.paths import SAVED_MODELS
from helpers.waiting import PATIENCE

pytest.importorskip("streamlit", reason="needs the extra `studio`")
pytest.importorskip("playwright.sync_api", reason="needs playwright")

from helpers.browsing import (
    choose,
    choose_advanced,
    click,
    give,
    no_traceback,
    quick,
    settled,
    start,
    state,
)
from vit_keras.runs import archive as runs_archive
from vit_keras.studio.__main__ import APP
from vit_keras.studio.jobs import runner
from vit_keras.studio.jobs.queue import Jobs

pytestmark = pytest.mark.browser

DIGITS = SAVED_MODELS / "digits"


def processes(*words):
    """Those with these words on their command line."""
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if all(str(word) in line for word in words):
            yield process


def picture(colour):
    stream = io.BytesIO()
    Image.new("L", (8, 8), colour).save(stream, "PNG")
    return stream.getvalue()


def test_two_tabs_and_a_training_that_is_killed_from_outside(page, studio):
    mine = studio.home / "mine"
    second = page.context.new_page()
    second.goto(f"{studio.url}/training")
    for tab in (page, second):
        choose(tab, epochs="500", batch_size="30")
        quick(tab)
        choose_advanced(tab, dir=str(mine))
    start(page)
    state(page, "running")
    start(second)
    second.get_by_text("belongs to a training that is already running").wait_for()
    no_traceback(second)
    second.close()

    page.get_by_text(re.compile("After epoch [2-9]")).wait_for()
    (training,) = processes("vit_keras train", mine)
    training.kill()
    state(page, "killed")
    page.get_by_text("was killed from outside").wait_for()
    page.get_by_role("button", name="Resume").click()
    state(page, "running")
    page.get_by_text(re.compile("epoch [0-9]+ of 500")).wait_for()  # it goes on
    page.get_by_role("button", name="Stop at once", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Stop it at once").wait_for(state="detached")
    page.get_by_role("button", name="Stop at once", exact=True).click()
    page.get_by_role("button", name="Stop it at once").click()
    state(page, "stopped")
    page.get_by_text("Stopped at once, without the steps since").wait_for()
    no_traceback(page)


def test_a_killed_worker_is_restarted(page, studio):
    shutil.copytree(DIGITS, studio.runs / "digits", dirs_exist_ok=True)
    page.goto(f"{studio.url}/inference?run=digits")
    confidence = page.get_by_role("heading", name=re.compile(r"^\d: \d+\.\d%$"))
    give(page, [("a.png", picture(0))])
    confidence.wait_for()
    settled(page)
    (studio_itself,) = processes("streamlit", studio.port)
    (worker,) = (
        p for p in studio_itself.children() if "vit_keras.studio.worker.server" in p.cmdline()
    )
    os.kill(worker.pid, signal.SIGKILL)
    give(page, [("b.png", picture(255))])
    confidence.wait_for()
    page.get_by_role("button", name="Details").nth(1).wait_for()
    no_traceback(page)


def test_a_run_is_added_from_a_zip_file(page, studio, tmp_path):
    content = runs_archive.zip_bytes(shutil.copytree(DIGITS, tmp_path / "from afar"))
    evil = io.BytesIO()
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("../out/config.yaml", "")
    page.goto(f"{studio.url}/runs")
    click(page.locator("summary").get_by_text("Add a run from a zip file"))
    give(page, [("evil.zip", evil.getvalue())], "application/zip")
    click(page.get_by_role("button", name="Add run"))
    page.get_by_text("in the zip leads out of it").wait_for()
    give(page, [("../../run.zip", content)], "application/zip")
    click(page.get_by_role("button", name="Add run"))
    page.get_by_role("heading", name="from afar", exact=True).wait_for()
    assert (studio.runs / "from afar" / "best.keras").read_bytes() == (
        DIGITS / "best.keras"
    ).read_bytes()
    assert not (studio.home / "out").exists()
    no_traceback(page)


def test_a_full_disk_is_reported_and_a_training_starts_when_there_is_space(tmp_path, monkeypatch):
    from streamlit.testing.v1 import AppTest

    write, is_full = Path.write_text, True

    def full(self, *given, **named):
        if is_full:
            raise OSError(28, "No space left on device", str(self))
        return write(self, *given, **named)

    (tmp_path / "runs" / "mine").mkdir(parents=True)  # so that it opens the Training page
    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(runner, "ensure", lambda jobs: None)  # nothing is to be trained
    monkeypatch.setattr("sys.argv", [str(APP), str(tmp_path / "runs")])
    app = AppTest.from_file(str(APP), default_timeout=PATIENCE).run()
    app.button(key="start").click().run()
    assert not app.exception
    said = app.error[0].value.replace("\\", "")
    assert "runs cannot be written to (No space left on device); free some space" in said
    assert Jobs(tmp_path / "runs").all() == []
    is_full = False
    app.button(key="start").click().run()
    assert not app.error
    (job,) = Jobs(tmp_path / "runs").all()
    assert job.state == "waiting"
