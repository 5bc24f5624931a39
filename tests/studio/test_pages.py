"""The Inference, Runs and Data pages in a real browser, on a committed run."""

import csv
import io
import json
import re
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from helpers.paths import ROOT

pytest.importorskip("streamlit", reason="needs the extra `studio`")
pytest.importorskip("playwright.sync_api", reason="needs playwright")

from playwright import sync_api

from helpers.browsing import (
    chosen_command,
    click,
    downloaded,
    enter,
    give,
    listed_runs,
    no_traceback,
    pick,
    settled,
    tick,
)
from vit_keras.runs.run_dir import Run
from vit_keras.studio.components import run_list
from vit_keras.studio.jobs.queue import Jobs

pytestmark = pytest.mark.browser

EVIL = "../<img src=x onerror=alert(1)>![x](http:evil.png)$a$.png"


def digit(index):
    """scikit-learn's digit as a PNG file, and which one it is."""
    from sklearn.datasets import load_digits

    digits, stream = load_digits(), io.BytesIO()
    pixels = np.round(digits.images[index] * 255 / 16).astype("uint8")
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue(), str(digits.target[index])


@pytest.fixture(scope="module")
def runs(studio):
    """The studio's folder of runs: the committed one of digits, and copies with lower accuracy."""
    studio.runs.mkdir(exist_ok=True)
    for name, accuracy in {
        "digits": 0.99,
        "other": 0.5,
        "spoilt": 0.4,
        "gone": 0.4,
        "old": 0.3,
    }.items():
        shutil.copytree(ROOT / "saved_models" / "digits", studio.runs / name)
        file = studio.runs / name / "metrics.json"
        kept = json.loads(file.read_text())
        file.write_text(json.dumps({**kept, "best_val_accuracy": accuracy}))
    return studio.runs


def add_run(runs, name, files):
    """A copy of "other" with other files, which no list of runs finds half written."""
    run = shutil.copytree(runs / "other", runs.parent / name)
    for file, text in files.items():
        (run / file).write_text(text)
    return run.rename(runs / name)


def opened(page, studio, name):
    page.goto(f"{studio.url}/{name.lower()}")
    page.get_by_role("heading", name=name, exact=True).wait_for()


def test_an_image_is_predicted_and_explained(page, studio, runs, shot, serious_barriers):
    opened(page, studio, "Inference")
    content, label = digit(0)
    give(page, [("zero.png", content)])
    page.get_by_role("heading", name=re.compile(rf"^{label}: 9\d\.\d%$")).wait_for()
    page.get_by_test_id("stVegaLiteChart").wait_for()
    page.get_by_role("img", name="Attention rollout").wait_for()
    shot(page, "inference")
    assert serious_barriers(page) == {}
    no_traceback(page)


def test_many_images_the_bad_ones_named_and_all_as_csv(page, studio, runs, shot):
    opened(page, studio, "Inference")
    digits = [digit(index) for index in range(1, 11)]
    files = [(f"{index}.png", content) for index, (content, _) in enumerate(digits)]
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    bad = [
        ("text.png", b"this is text"),
        ("bomb.png", bomb.getvalue()),
        ("cut.png", digits[0][0][:60]),
    ]
    give(page, [*files, *bad, (EVIL, digits[0][0])])
    page.get_by_text("text.png cannot be read as an image: no image").wait_for()
    page.get_by_text("bomb.png cannot be read as an image: far too large").wait_for()
    page.get_by_text("cut.png cannot be read as an image: damaged").wait_for()
    settled(page)
    assert page.locator("img[src*=evil], img[src=x]").count() == 0
    text = downloaded(page, "Predictions as CSV").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["class"] for row in rows[:10]] == [label for _, label in digits]
    assert len(rows) == 11
    assert set(rows[0]) >= {"file", "confidence", "class_10"}
    shot(page, "many")
    no_traceback(page)


def test_a_large_image_is_predicted_by_tiles(page, studio, runs, shot, serious_barriers):
    opened(page, studio, "Inference")
    sheet = Image.new("L", (48, 32))
    for place, index in enumerate(range(6)):
        tile = Image.open(io.BytesIO(digit(index)[0])).resize((16, 16))
        sheet.paste(tile, (place % 3 * 16, place // 3 * 16))
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    click(page.get_by_text("Cut into tiles"))
    enter(page.get_by_role("spinbutton", name="Tile height in pixels"), "16")
    enter(page.get_by_role("spinbutton", name="Overlap"), "0")
    give(page, [("sheet.png", stream.getvalue())])
    page.get_by_role("img", name="2 x 3 tiles of 16 x 16 pixels").wait_for()
    shot(page, "tiles")
    assert serious_barriers(page) == {}
    enter(page.get_by_role("spinbutton", name="Tile height in pixels"), "40")
    page.get_by_text("sheet.png cannot be predicted by tiles: an image 32 pixels high").wait_for()
    no_traceback(page)


def test_a_run_that_is_damaged_or_deleted_while_it_is_open(page, studio, runs):
    for name, harm, said in (
        ("spoilt", lambda run: (run / "best.keras").write_bytes(b"PK"), "best.keras is damaged"),
        ("gone", shutil.rmtree, "is not a run"),
    ):
        page.goto(f"{studio.url}/inference?run={name}")
        run = page.get_by_role("combobox", name="Run")
        run.wait_for()
        assert run.input_value() == f"{name} (validation accuracy 40%)"
        harm(runs / name)
        give(page, [("a.png", digit(0)[0])])
        # When the list of runs is read again, the page says that it is not there.
        page.get_by_text(re.compile(f"{said}|{name} does not exist")).first.wait_for()
        no_traceback(page)
    shutil.rmtree(runs / "spoilt")
    page.wait_for_timeout(1000 * run_list.CACHE_SECONDS)  # until then the list may still have it
    opened(page, studio, "Runs")
    assert not {"spoilt", "gone"} & {*listed_runs(page)}


def test_runs_are_found_described_and_noted_on(page, studio, runs, shot, serious_barriers):
    opened(page, studio, "Runs")
    assert listed_runs(page)[0] == "old"  # the newest first
    assert {"digits", "other"} <= {*listed_runs(page)}
    page.get_by_text("Tick a run to see it").wait_for()
    shot(page, "runs-list")
    settled(page)
    assert serious_barriers(page) == {}
    tick(page, "digits")
    page.get_by_role("heading", name="digits", exact=True).wait_for()
    page.get_by_text("Finished: test accuracy 97.77%").wait_for()
    page.get_by_text("The dotted line marks the best epoch, 52").wait_for()
    click(page.locator("summary").get_by_text("Tags and note"))
    enter(page.get_by_label("Tags, separated by commas"), "keeper, <b>a</b>")
    page.get_by_text("not saved yet").wait_for()
    enter(page.get_by_label("Note", exact=True), "the one for the paper")
    page.get_by_label("Note", exact=True).blur()
    click(page.get_by_role("button", name="Save", exact=True))
    page.get_by_text("not saved yet").wait_for(state="detached")
    assert json.loads((runs / "digits" / "notes.json").read_text()) == {
        "tags": ["<b>a</b>", "keeper"],
        "note": "the one for the paper",
    }
    field = page.get_by_role("textbox", name="Search")
    enter(field, "paper")
    page.get_by_text(re.compile("^1 of .* 1 selected")).wait_for()
    assert listed_runs(page) == ["digits"]
    enter(field, "")
    page.get_by_text(re.compile(r"^(\d+) of \1 runs, 1 selected")).wait_for()
    shot(page, "runs")
    settled(page)
    assert serious_barriers(page) == {}
    no_traceback(page)


def test_several_runs_are_compared_and_tagged(page, studio, runs, shot, serious_barriers):
    opened(page, studio, "Runs")
    tick(page, "digits", "other")
    page.get_by_role("heading", name="2 runs").wait_for()
    page.get_by_text("Training dashed, validation solid").wait_for()
    cells = page.locator("[aria-label=Metrics] td")
    cells.first.wait_for(state="attached")
    metrics = cells.all_text_contents()
    assert "99% ★" in metrics
    assert "50%" in metrics
    shot(page, "compared")
    settled(page)
    assert serious_barriers(page) == {}
    columns = page.get_by_role("columnheader").all_text_contents()
    click(page.get_by_role("button", name="Columns and ranking"))  # to look changes nothing
    ranked_by = page.get_by_role("combobox", name="Rank by")
    ranked_by.wait_for()
    settled(page)
    assert ranked_by.input_value() == "Validation accuracy"
    page.keyboard.press("Escape")
    ranked_by.wait_for(state="detached")
    click(page.get_by_role("link", name="Data"))
    page.get_by_role("heading", name="Data", exact=True).wait_for()
    click(page.get_by_role("link", name="Runs"))
    page.get_by_role("heading", name="2 runs").wait_for()
    page.get_by_text("2 selected; ranked by validation accuracy").wait_for()
    settled(page)
    assert page.get_by_role("columnheader").all_text_contents() == columns
    enter(page.get_by_role("textbox", name="Tags"), "twins")
    click(page.get_by_role("button", name="Add tags"))
    page.wait_for_timeout(500)
    settled(page)
    for name in ("digits", "other"):
        assert "twins" in json.loads((runs / name / "notes.json").read_text())["tags"]
    click(page.get_by_role("button", name="Archive", exact=True))
    page.get_by_text("Show 2 archived runs").wait_for()
    assert not {"digits", "other"} & {*listed_runs(page)}
    click(page.get_by_text("Show 2 archived runs"))
    page.get_by_text(re.compile(r"^(\d+) of \1 runs")).wait_for()
    tick(page, "digits", "other")
    click(page.get_by_role("button", name="Unarchive"))
    page.get_by_text("Show 2 archived runs").wait_for(state="detached")
    assert {"digits", "other"} <= {*listed_runs(page)}
    no_traceback(page)


def test_a_run_is_downloaded_renamed_and_deleted_after_a_second_click(page, studio, runs):
    page.goto(f"{studio.url}/runs?run=old")
    page.get_by_role("button", name="Download as zip").wait_for()
    with zipfile.ZipFile(downloaded(page, "Download as zip")) as archive:
        assert archive.testzip() is None
        names = {path.name for path in (runs / "old").iterdir() if path.is_file()}
        assert set(archive.namelist()) == {f"old/{name}" for name in names}
    click(page.get_by_role("button", name="Rename", exact=True))
    enter(page.get_by_role("textbox", name="New name"), "other")
    page.get_by_text("other exists already; choose another name").wait_for()
    enter(page.get_by_role("textbox", name="New name"), "older")
    page.get_by_role("heading", name="older", exact=True).wait_for()
    assert "older" in listed_runs(page)
    assert "old" not in listed_runs(page)
    click(page.get_by_role("button", name="Delete", exact=True))
    page.get_by_role("button", name="Delete older permanently").wait_for()
    assert (runs / "older" / "best.keras").exists()
    click(page.get_by_role("button", name="Delete older permanently"))
    page.get_by_role("heading", name="older", exact=True).wait_for(state="detached")
    settled(page)
    assert "older" not in listed_runs(page)
    assert not (runs / "older").exists()
    assert (runs / "other" / "best.keras").exists()
    no_traceback(page)


def test_from_a_run_on_in_the_same_tab(page, studio, runs):
    """Try it, and train it again with its settings."""
    page.goto(f"{studio.url}/runs?run=other")
    click(page.get_by_role("button", name="Try it"))
    page.get_by_role("heading", name="Inference", exact=True).wait_for()
    run = page.get_by_role("combobox", name="Run")
    run.wait_for()
    assert run.input_value() == "other (validation accuracy 50%)"
    page.get_by_text("Trained on digits, 10 classes: 0, 1, 2").wait_for()
    page.go_back()
    page.get_by_role("heading", name="other", exact=True).wait_for()
    click(page.get_by_role("button", name="Train again with changes"))
    page.get_by_role("heading", name="Training", exact=True).wait_for()
    page.get_by_test_id("stCode").filter(has_text="vit-keras train recipe=digits").wait_for()
    assert len(page.context.pages) == 1
    no_traceback(page)


def test_a_run_that_is_trained_leads_to_its_training(page, studio, runs):
    """Also where the runs were listed shortly before the training began."""
    page.goto(f"{studio.url}/runs?run=other")
    page.get_by_text("State: finished").wait_for()
    jobs = Jobs(studio.runs)
    job = jobs.add("train", ("recipe=digits",), "other", place=str(runs / "other"))
    held = Run(runs / "other")
    try:
        page.goto(f"{studio.url}/runs?run=other")
        page.get_by_text("State: running").wait_for()
        click(page.get_by_role("button", name="Delete", exact=True))
        page.get_by_text("stop it first, on the Training page of the studio").wait_for()
        click(page.get_by_role("button", name="Follow the training"))
        page.get_by_role("heading", name="Training", exact=True).wait_for()
        assert f"job={job.id}" in page.url
        no_traceback(page)
    finally:
        held.close()
        jobs.stop(job)
        jobs.remove(jobs.get(job.id))


def test_data_are_inspected_and_augmented(page, studio, runs, shot, serious_barriers, tmp_path):
    for label in "01":
        for index, place in enumerate([*["train"] * 6, *["val"] * 3, *["test"] * 3]):
            file = tmp_path / "photos" / place / f"c{label}" / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng([int(label), index]).integers(
                0, 256, (20, 24, 3), "uint8"
            )
            Image.fromarray(pixels).save(file)
    photos = tmp_path / "photos"
    (photos / "train" / "c0" / "broken_[x](http:evil).png").write_bytes(b"no image")
    shutil.copy(photos / "train" / "c1" / "0.png", photos / "test" / "c1" / "copy.png")
    opened(page, studio, "Data")
    page.get_by_text(re.compile("1,797 images of 10 classes: .* test 359")).wait_for()
    page.get_by_text("No problems were found").wait_for()
    page.get_by_role("img", name="Training images above").wait_for()
    page.get_by_text("vit-keras show-augment recipe=digits data=digits").wait_for()
    shot(page, "data")
    assert serious_barriers(page) == {}

    click(page.get_by_text("A folder on this computer"))
    field = page.get_by_role("textbox", name="Path of the folder")
    enter(field, str(tmp_path / "nothing"))
    page.get_by_text("is no folder; name the one with the classes").wait_for()
    enter(field, str(photos))
    page.get_by_text(
        "25 images of 2 classes: train 12, validation 6, test 7; not read: 1"
    ).wait_for()
    page.get_by_role("cell", name="20 x 24", exact=True).wait_for()
    page.get_by_text("1 file cannot be used and was skipped").wait_for()
    page.get_by_text("1 file is in two splits").wait_for()
    (photos / "raw").mkdir()
    shutil.copy(photos / "train" / "c1" / "0.png", photos / "raw" / "0.png")
    click(page.get_by_role("button", name="Read the data again"))
    page.get_by_text("raw beside train").first.wait_for()
    click(page.get_by_text("How the folder is read"))
    enter(page.get_by_role("textbox", name="layout"), "{train: train, test: test}")
    page.get_by_text("19 images of 2 classes: train 11, validation 1, test 7").wait_for()
    shutil.rmtree(photos / "raw")
    enter(page.get_by_role("textbox", name="layout"), "auto")
    page.get_by_text("train 12, validation 6, test 7; not read: 1").wait_for()
    assert page.locator("a[href*=evil]").count() == 0
    before = page.get_by_role("img", name="Training images above")
    before.wait_for()
    settled(page)
    first = before.get_attribute("src")
    chosen = page.get_by_text("augment=heavy").first
    pick(page.get_by_role("combobox", name="augment"), "heavy", then=chosen)
    page.wait_for_function(
        "src => { const shown = document.querySelector('img[alt^=Training]');"
        " return shown && shown.getAttribute('src') !== src }",
        arg=first,
    )
    shot(page, "augmented")
    no_traceback(page)


def test_several_labels_are_predicted_counted_and_trained_on(page, studio, runs, shot, tmp_path):
    """By the digits' model, whose logits are taken as those of labels."""
    settings = (runs / "other" / "config.yaml").read_text()
    kept = json.loads((runs / "other" / "metrics.json").read_text())
    run = add_run(
        runs,
        "labels",
        {
            "config.yaml": f"task: multilabel\n{settings}",
            "metrics.json": json.dumps({**kept, "best_val_map": 0.9, "test_map": 0.9}),
        },
    )
    for index in range(60):
        (tmp_path / f"{index}.png").write_bytes(digit(index)[0])
    rows = [f"{index}.png,{('ant', 'ant;bee', '[]')[index % 3]}" for index in range(60)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,labels", *rows]))

    page.goto(f"{studio.url}/inference?run=labels")
    content, label = digit(0)
    give(page, [("zero.png", content), ("one.png", digit(1)[0])])
    page.get_by_role("heading", name=re.compile(rf"^{label}: \d+\.\d%, ")).wait_for()
    run = page.get_by_role("combobox", name="Run")
    assert run.input_value() == "labels (validation mAP 90%)"
    assert page.get_by_role("button", name="Details").count() == 2
    page.get_by_text("labels are those above their thresholds, 1/2 each").wait_for()
    click(page.get_by_role("combobox", name="Explanation"))
    click(page.get_by_role("option", name=f"Class relevance: {label}"))
    page.get_by_role("img", name=f"Class relevance: {label}").wait_for()
    shot(page, "labels")
    text = downloaded(page, "Predictions as CSV").read_text(encoding="utf-8")
    (first, _) = csv.DictReader(io.StringIO(text))
    assert label in json.loads(first["labels"])
    no_traceback(page)

    opened(page, studio, "Data")
    click(page.get_by_text("A table of images and labels"))
    enter(page.get_by_role("textbox", name="Path of the table"), str(tmp_path / "labels.csv"))
    click(page.get_by_text("An image can have several labels"))
    page.get_by_text("60 images of 2 labels: train").wait_for()
    code = page.get_by_test_id("stCode")
    code.filter(has_text=re.compile("show-augment .*task=multilabel")).wait_for()
    click(page.locator("summary").get_by_text("Why this is recommended"))
    code.filter(has_text=re.compile("finetune .*task=multilabel")).wait_for()
    click(page.locator("summary").get_by_text("Images of each class"))
    page.get_by_role("row", name=re.compile("^bee ")).wait_for()
    shot(page, "labels-data")
    no_traceback(page)

    # The form of a training has the same images, and the task with them.
    click(page.get_by_role("link", name="Training"))
    page.get_by_role("heading", name="Training", exact=True).wait_for()
    click(page.get_by_role("tab", name="New training"))
    table = page.get_by_role("textbox", name="Path of the table")
    table.wait_for()
    assert table.input_value() == str(tmp_path / "labels.csv")
    assert page.get_by_role("checkbox", name="An image can have several labels").is_checked()
    page.get_by_text("settings are valid").wait_for()
    chosen_command(page).filter(has_text="task=multilabel").wait_for()
    shot(page, "labels-training")
    no_traceback(page)


def test_a_run_is_evaluated_and_described(page, studio, runs, shot, serious_barriers):
    page.goto(f"{studio.url}/inference?run=other")
    click(page.get_by_role("tab", name="Evaluate"))
    click(page.get_by_text("Other data"))
    click(page.get_by_text("A folder on this computer"))
    enter(page.get_by_role("textbox", name="Path of the folder"), "photos")
    page.get_by_text("data.path=photos --split all").wait_for()  # every image of somebody's own
    click(page.get_by_text("Test split of the training data"))
    click(page.get_by_role("button", name="Evaluate"))
    click(page.get_by_role("tab", name="Run details"))
    click(page.locator("summary").get_by_text("Diagram of the layers"))
    page.locator(".graphviz svg, [data-testid=stGraphVizChart] svg").first.wait_for()
    click(page.locator("summary").get_by_text("Table of layers"))
    page.get_by_text("Total params").wait_for()
    click(page.get_by_role("tab", name="Evaluate"))
    page.get_by_text("digits, test split, 359 images").wait_for()
    page.get_by_text("Reliability diagram (calibration)").wait_for()
    # Every error with its image, in the table's order.
    text = (runs / "other" / "evaluation" / "mistakes.csv").read_text()
    errors = list(csv.DictReader(io.StringIO(text)))
    first = errors[0]
    shown = page.get_by_role("img", name=re.compile("✗"))
    shown.first.wait_for()
    assert shown.count() == len(errors)
    settled(page)
    shot(page, "measured")
    assert serious_barriers(page) == {}
    report = downloaded(page, "Download the report").read_text()
    assert "<h1>Evaluation of other on digits</h1>" in report
    # The cell of the most confident error, in the chart and in the list beside it.
    click(page.get_by_role("combobox", name="Errors"))
    click(page.get_by_role("option", name=f"{first['class']} predicted as {first['predicted']}"))
    same = [
        e for e in errors if (e["class"], e["predicted"]) == (first["class"], first["predicted"])
    ]
    page.wait_for_function(
        "count => document.querySelectorAll('img[alt*=\"✗\"]').length === count", arg=len(same)
    )
    # Nothing of it is shown below the choice of other data.
    click(page.get_by_text("Other data"))
    page.get_by_text("Not evaluated on these images yet.").wait_for()
    sync_api.expect(page.get_by_text("Reliability diagram")).to_have_count(0)  # it fades out
    no_traceback(page)


def test_confidences_are_calibrated_unless_switched_off(page, studio, runs):
    """The digits' model with a temperature of 4: the same class, far less sure of it."""
    fitted = {"temperature": 4.0, "fitted_on": {"split": "validation", "images": 144}}
    run = add_run(runs, "soft", {"temperature.json": json.dumps(fitted)})
    page.wait_for_timeout(1000 * run_list.CACHE_SECONDS)  # until then the list may be the old one
    page.goto(f"{studio.url}/inference?run=soft")
    content, label = digit(0)
    give(page, [("zero.png", content)])
    page.get_by_role("heading", name=re.compile(rf"^{label}: [1-8]\d\.\d%$")).wait_for()
    page.get_by_text(re.compile("^confidences are calibrated by temperature 4.000")).wait_for()
    click(page.get_by_text("Calibrated confidences (temperature 4.000)"))
    page.get_by_role("heading", name=re.compile(rf"^{label}: 9\d\.\d%$")).wait_for()
    page.get_by_text("confidences are not calibrated, as asked for").wait_for()
    shutil.rmtree(run)
    no_traceback(page)


def test_inference_opens_the_training_that_was_followed_last(page, studio, runs):
    jobs = Jobs(studio.runs)
    job = jobs.add("train", ("recipe=digits",), "digits", place=str(runs / "digits"))
    with jobs.changing():
        jobs.save(replace(job, state="finished"))
    newest = json.loads((runs / "other" / "metrics.json").read_text())
    (runs / "other" / "metrics.json").write_text(json.dumps(newest))
    page.wait_for_timeout(1000 * run_list.CACHE_SECONDS)  # until then the list may be the old one
    opened(page, studio, "Inference")
    run = page.get_by_role("combobox", name="Run")
    run.wait_for()
    assert run.input_value().startswith("other ")  # the newest
    click(page.get_by_role("link", name="Training"))
    page.get_by_role("heading", name="Training", exact=True).wait_for()
    settled(page)
    click(page.get_by_role("link", name="Inference"))
    page.get_by_role("heading", name="Inference", exact=True).wait_for()
    run.wait_for()
    assert run.input_value().startswith("digits ")
    assert "run=" not in page.url  # Back leads to the page before, not to this one again
    jobs.remove(jobs.get(job.id))
    no_traceback(page)


def test_pages_are_accessible(page, studio, runs, shot, serious_barriers):
    ready = {
        "Inference": "Use the webcam",
        "Runs": "Tick a run to see it",
        "Data": "Training images ab",
    }
    for width, scheme in ((390, "light"), (1280, "dark")):  # 1280 in the light: the tests above
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        for name, text in ready.items():
            opened(page, studio, name)
            page.get_by_text(text).first.wait_for()
            settled(page)
            assert serious_barriers(page) == {}
            assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth") <= width
            shot(page, f"{name.lower()}-{width}-{scheme}")
