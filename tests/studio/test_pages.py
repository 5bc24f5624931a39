"""The Inference, Runs and Data pages in a real browser, on a run that is committed."""

import csv
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="needs the extra `studio`")
pytest.importorskip("playwright.sync_api", reason="needs playwright")

ROOT = Path(__file__).parents[2]
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
    """The studio's folder of runs with the committed run of digits in it, twice."""
    studio.runs.mkdir(exist_ok=True)
    for name in ("digits", "other"):
        shutil.copytree(ROOT / "saved_models" / "digits", studio.runs / name)
    file = studio.runs / "other" / "metrics.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "best_val_accuracy": 0.5}))
    return studio.runs


def opened(page, studio, name):
    page.goto(f"{studio.url}/{name.lower()}")
    page.get_by_role("heading", name=name, exact=True).wait_for()


def give(page, files):
    upload = page.locator("input[type=file]").first
    upload.wait_for(state="attached")
    upload.set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files]
    )


def no_traceback(page):
    assert re.search("Traceback|unforeseen", page.locator("body").inner_text()) is None


def test_an_image_is_predicted_and_explained(page, studio, runs, shot, serious_barriers):
    opened(page, studio, "Inference")
    content, label = digit(0)
    give(page, [("zero.png", content)])
    page.get_by_role("heading", name=re.compile(rf"^{label}: 9\d\.\d%$")).wait_for()
    page.get_by_test_id("stVegaLiteChart").wait_for()
    page.get_by_role("img", name="where attention flows").wait_for()
    shot(page, "inference")
    assert serious_barriers(page) == {}
    no_traceback(page)


def test_many_images_the_bad_ones_named_and_all_as_csv(page, studio, runs, shot):
    opened(page, studio, "Inference")
    digits = [digit(index) for index in range(1, 11)]
    files = [(f"{index}.png", content) for index, (content, _) in enumerate(digits)]
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    bad = [("text.png", b"this is text"), ("bomb.png", bomb.getvalue()), ("cut.png", digits[0][0][:60])]
    give(page, [*files, *bad, (EVIL, digits[0][0])])
    page.get_by_text("text.png is no image that can be read: no JPEG").wait_for()
    page.get_by_text("bomb.png is no image that can be read: far too large").wait_for()
    page.get_by_text("cut.png is no image that can be read: damaged").wait_for()
    assert page.locator("img[src*=evil], img[src=x]").count() == 0
    page.locator("summary").get_by_text("Predicted in this sitting").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Predictions as CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).open()))
    assert [row["class"] for row in rows[:10]] == [label for _, label in digits]
    assert len(rows) == 11
    assert set(rows[0]) >= {"file", "confidence", "class_10"}
    shot(page, "many")
    no_traceback(page)


def test_the_studio_goes_on_when_its_models_process_is_killed(page, studio, runs):
    def workers():
        found = psutil.Process(studio.process.pid).children(recursive=True)
        return [p for p in found if "vit_keras.studio.worker" in " ".join(p.cmdline())]

    opened(page, studio, "Inference")
    give(page, [("a.png", digit(11)[0])])
    page.get_by_role("heading", name=re.compile("%$")).wait_for()
    (process,) = workers()
    process.kill()
    process.wait()
    give(page, [("b.png", digit(12)[0])])
    page.get_by_text("2: b.png").or_(page.get_by_text("ended while it was at this")).first.wait_for()
    page.get_by_role("cell", name="b.png", exact=True).wait_for()
    assert workers() != [process]
    no_traceback(page)


def test_a_run_that_is_damaged_or_deleted_while_it_is_open(page, studio, runs):
    shutil.copytree(runs / "other", runs / "spoilt")
    page.wait_for_timeout(5500)  # the list of runs is kept for so long
    page.goto(f"{studio.url}/inference?run=spoilt")
    page.get_by_text("spoilt (validation accuracy 0.5000)").wait_for()
    model = runs / "spoilt" / "best.keras"
    model.write_bytes(model.read_bytes()[:5000])
    give(page, [("a.png", digit(0)[0])])
    page.get_by_text("best.keras is damaged").wait_for()
    shutil.rmtree(runs / "spoilt")
    give(page, [("b.png", digit(1)[0])])
    page.get_by_text(re.compile("spoilt is not (a run|here)")).wait_for()
    no_traceback(page)
