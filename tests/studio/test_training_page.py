"""The training page in a real browser: from the settings to a finished run."""

import csv
import json
import re
import shlex
import subprocess
import sys

import psutil
import pytest

from helpers.paths import ROOT
from helpers.waiting import PATIENCE, until

pytest.importorskip("streamlit", reason="needs the extra `studio`")
pytest.importorskip("playwright.sync_api", reason="needs playwright")

from playwright import sync_api

from helpers.browsing import (
    choose,
    choose_advanced,
    click,
    command,
    enter,
    listed_runs,
    no_traceback,
    quick,
    settled,
    start,
    state,
)

pytestmark = pytest.mark.browser


def rows(run):
    with open(run / "history.csv") as file:
        return list(csv.DictReader(file))


def metrics(run):
    return json.loads((run / "metrics.json").read_text())


def test_a_training_from_the_first_choice_to_the_test_accuracy(
    page, studio, shot, serious_barriers
):
    choose(page, epochs="30", learning_rate="0.001", batch_size="30")
    quick(page)
    page.get_by_text("The settings are valid.").wait_for()
    shot(page, "chosen")
    shown = command(page)
    start(page)
    state(page, "running")
    page.get_by_text(re.compile("After epoch [2-9]")).wait_for()
    curve = page.get_by_test_id("stVegaLiteChart").first
    first = curve.screenshot()
    until(lambda: curve.screenshot() != first)  # the curve moves
    page.get_by_text(re.compile("After epoch ([5-9]|[12].)")).wait_for()
    page.get_by_role("button", name="Stop", exact=True).click()
    state(page, "stopped")
    shot(page, "stopped")
    (run,) = studio.runs.glob("digits-*")
    assert 5 <= len(rows(run)) < 30

    page.get_by_role("button", name="Resume").click()
    state(page, "running")
    page.reload()
    state(page, "running")
    studio.kill()
    alive = [p for p in psutil.process_iter(["cmdline"]) if str(run) in str(p.info["cmdline"])]
    assert alive  # the training outlives the studio
    studio.start()
    page.goto(studio.url)
    state(page, "running")
    page.get_by_text(re.compile("Finished: test accuracy")).wait_for()
    state(page, "finished")
    page.get_by_role("combobox", name="Trainings").wait_for()
    assert page.get_by_role("combobox", name="Trainings").input_value() == f"{run.name}: finished"
    shot(page, "finished")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(500)
        assert serious_barriers(page) == {}
    assert len(rows(run)) == 30
    samples = page.get_by_role("img", name="an image of")
    sync_api.expect(samples).to_have_count(8)  # old ones are redrawn
    no_traceback(page)

    # The command that was shown, typed into a shell, ends where the run does, stopped or not.
    typed_command = [sys.executable, "-m", "vit_keras", *shlex.split(shown)[1:]]
    subprocess.run(typed_command, cwd=ROOT, check=True, timeout=PATIENCE)
    (typed,) = set(studio.runs.glob("digits-*")) - {run}
    assert metrics(typed)["test_accuracy"] == metrics(run)["test_accuracy"]
    assert metrics(typed)["test_loss"] == metrics(run)["test_loss"]


def test_folds_are_trained_and_their_mean_is_shown(page, studio, shot, serious_barriers):
    click(page.get_by_role("tab", name="New training"))
    choose(page, epochs="1", batch_size="30")
    quick(page)
    choose_advanced(page, folds="2")
    page.get_by_text("The settings are valid.").wait_for()
    start(page)
    state(page, "running")
    state(page, "finished")
    mean = page.get_by_role("paragraph").filter(has_text=re.compile(r"2 folds: .* [\d.]+% ± "))
    mean.wait_for()
    page.get_by_role("cell", name="fold 2", exact=True).wait_for()
    settled(page)  # what said that the training is finishing fades until then
    shot(page, "folds")
    assert serious_barriers(page) == {}
    (run,) = [file.parent.parent for file in studio.runs.glob("*/folds/1")]
    page.goto(f"{studio.url}/runs?run={run.name}")
    mean.wait_for()
    settled(page)
    assert f"{run.name}/folds/2" in listed_runs(page)
    no_traceback(page)


def test_what_a_training_needs_is_estimated_or_not(page):
    click(page.get_by_role("tab", name="New training"))
    choose_advanced(page, jit_compile="false")
    estimate = page.get_by_role("button", name="Estimate memory and time")
    click(estimate)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Measuring a few real steps").wait_for(state="detached")
    click(estimate)
    params = metrics(ROOT / "saved_models" / "digits")["params"]  # the same recipe's
    page.get_by_role("cell", name=f"{params:,}", exact=True).wait_for()
    for name in ("memory", "time", "speed"):
        page.get_by_role("cell", name=name, exact=True).wait_for()
    no_traceback(page)


def test_a_sweep_of_two(page, shot):
    click(page.get_by_role("tab", name="New training"))
    choose(page, epochs="1", batch_size="30")
    quick(page)
    click(page.get_by_role("radiogroup", name="Runs to train").get_by_text("Grid search: every"))
    click(page.get_by_role("combobox", name="Settings to vary"))
    page.keyboard.type("optim.learning_rate")  # the list shows the first of many settings
    click(page.get_by_role("option", name="Learning rate (optim.learning_rate)", exact=True))
    page.keyboard.press("Escape")
    page.get_by_text("3 runs", exact=True).wait_for()  # around the rate of the recipe
    click(page.get_by_role("radiogroup", name="How Learning rate varies").get_by_text("Values"))
    values = page.get_by_role("textbox", name="Values of Learning rate")
    enter(values, "0,001; 0")
    page.get_by_text("Learning rate: 0 is out of range; use above 0").first.wait_for()
    assert page.get_by_role("button", name="Start training").is_disabled()
    enter(values, "0,001; 0.0003")
    page.get_by_text("2 runs", exact=True).wait_for()
    page.get_by_text("The settings are valid.").wait_for()
    shot(page, "sweep-chosen")
    assert "--multirun" in command(page)
    start(page)
    state(page, "running")
    state(page, "finished")
    for cell in ("0.001", "0.0003"):
        page.get_by_role("cell", name=cell, exact=True).wait_for()
    best = page.get_by_role("cell", name=re.compile(r"^[01] \(best\)$"))
    best.wait_for()
    page.get_by_text("Settings and results").wait_for()
    opened = page.get_by_role("combobox", name="Run of the sweep").input_value()
    assert best.inner_text() == f"{opened} (best)"
    rate = page.get_by_role("row", name=re.compile("best")).get_by_role("cell").nth(1).inner_text()
    shot(page, "sweep")

    click(page.get_by_role("button", name="Train again with changes"))
    page.get_by_text("The settings are valid.").wait_for()
    settled(page)
    assert page.get_by_label("Learning rate", exact=True).input_value() == rate
    assert page.get_by_label("Epochs", exact=True).input_value() == "1"
    assert "model.depth=1" in command(page)
    assert "--multirun" not in command(page)
    click(page.get_by_role("link", name="Data"))
    page.get_by_role("heading", name="Data", exact=True).wait_for()
    click(page.get_by_role("link", name="Training"))
    page.get_by_text("The settings are valid.").wait_for()
    settled(page)
    assert page.get_by_label("Learning rate", exact=True).input_value() == rate  # it is kept

    click(page.get_by_role("tab", name="Trainings"))
    click(page.get_by_role("button", name="Try it"))
    page.get_by_role("heading", name="Inference", exact=True).wait_for()
    page.get_by_role("combobox", name="Run", exact=True).wait_for()
    assert page.get_by_role("combobox", name="Run", exact=True).input_value().startswith("digits-")
    no_traceback(page)
