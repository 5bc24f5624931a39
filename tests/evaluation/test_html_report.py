"""The HTML report: self-contained, safe with any name, readable in a browser."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from helpers.paths import SAVED_MODELS
from vit_keras import evaluate_run
from vit_keras.evaluation import plots
from vit_keras.evaluation.html_report import render_report

NASTY = '<script>document.title="owned"</script>'


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A copy of the released digits run, evaluated."""
    run = shutil.copytree(SAVED_MODELS / "digits", tmp_path_factory.mktemp("runs") / "digits")
    return evaluate_run(run, sizes=[16], images=20, map=True)


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def nasty(evaluated):
    """The page of a report whose every name is an attack."""
    report = {**evaluated.report, "run": NASTY}
    report["data"] = {**report["data"], "name": NASTY, "note": NASTY}
    report["per_class"] = [{**row, "class": NASTY} for row in report["per_class"]]
    report["mistakes"] = [{**row, "image": NASTY, "class": NASTY} for row in report["mistakes"]]
    report["confused_pairs"] = [
        {**row, "class": NASTY, "predicted": NASTY} for row in report["confused_pairs"]
    ]
    return render_report(report, evaluated.path)


def test_nothing_is_loaded_from_elsewhere(evaluated):
    text = (evaluated.path / "report.html").read_text(encoding="utf-8")
    elements = Elements(text).found
    assert {tag for tag, _ in elements} & {"script", "link", "iframe", "object", "base"} == set()
    addresses = [
        value
        for _, attributes in elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert len(addresses) == 6
    for address in addresses:
        kind, _, content = address.partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            image.load()
    assert not re.search(r"https?:|file:|url\(|@import", re.sub(r"base64,[^\"]+", "", text))


def test_every_picture_has_a_text_and_every_table_heads(evaluated):
    elements = Elements((evaluated.path / "report.html").read_text(encoding="utf-8")).found
    assert all(attributes["alt"] for tag, attributes in elements if tag == "img")
    assert all(attributes["scope"] for tag, attributes in elements if tag == "th")


def test_class_names_are_escaped_in_the_report(evaluated):
    text = nasty(evaluated)
    assert "<script" not in text
    assert text.count("&lt;script&gt;document") > 10


def test_the_map_is_of_the_test_images_and_only_where_it_was_asked_for(evaluated):
    wrong = round((1 - evaluated.report["accuracy"]) * evaluated.report["images"])
    text = render_report(evaluated.report, evaluated.path)
    assert "359 images by" in text
    assert f"wrong predictions, of which there are {wrong}," in text
    plain = {**evaluated.report, "map": None}
    assert "Map of the images" not in render_report(plain, evaluated.path)


@pytest.mark.parametrize("name", ["run", "calibration", "per_class", "versions"])
def test_a_report_that_lacks_a_value_is_refused(name, evaluated):
    report = {key: value for key, value in evaluated.report.items() if key != name}
    with pytest.raises((KeyError, TypeError)):
        render_report(report, evaluated.path)


def test_unequal_classes_and_few_images_are_in_the_report(evaluated):
    assert "Balanced accuracy" not in render_report(evaluated.report, evaluated.path)
    unequal = {
        **evaluated.report,
        "images": 12,
        "class_imbalance": 19,
        "balanced_accuracy": 0.5,
        "worst_class": NASTY,
        "worst_class_images": 25,
        "worst_class_recall": 0.0,
    }
    text = render_report(unequal, evaluated.path)
    for words in ("Balanced accuracy", "50.00%", "Worst class", "25 images", "19 times"):
        assert words in text
    assert "12 images are too few to tell how good the model is" in text
    assert "<script" not in text


def test_a_temperature_of_1_is_reported_with_its_reason(evaluated):
    report = {**evaluated.report}
    reason = "left at 1, as 6 validation images are too few to fit it, which takes 100"
    report["calibration"] = {
        **report["calibration"], "temperature": 1.0, "temperature_from": reason
    }  # fmt: skip
    text = render_report(report, evaluated.path)
    assert f"Confidences are not calibrated: the temperature was {reason}." in text
    assert "after temperature scaling" not in text


def test_the_report_of_an_earlier_version_is_shown():
    folder = SAVED_MODELS / "cifar10_small" / "evaluation"
    report = json.loads((folder / "evaluation.json").read_text())
    report["mistakes"] = []  # whose picture is not committed
    assert "temperature scaling by 1.41%" in render_report(report, folder)


def test_pictures_take_any_name(tmp_path):
    """Dollars are mathematics to Matplotlib, and some scripts are in no font of its."""
    names = ["$x^$", "a$_{b$", "two\nlines", "猫", "n" * 300]
    matrix = np.eye(5, dtype=int)
    plots.confusion_matrix(tmp_path / "confusion.png", matrix, names)
    titles = [plots.error_title(name, name, 0.5) for name in names]
    images = np.zeros((5, 8, 8, 3), "uint8")
    plots.contact_sheet(tmp_path / "mistakes.png", images, titles)
    for file in tmp_path.iterdir():
        with Image.open(file) as image:
            image.load()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_report_renders_in_a_browser(browser, evaluated, width, scheme, tmp_path):
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked, said = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    address = (evaluated.path / "report.html").as_uri()
    tab.goto(address)
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert said == []
    shown = tab.evaluate("Array.from(document.images, image => image.naturalWidth)")
    assert len(shown) == 6
    assert min(shown) > 300
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    ink, ground = (
        tab.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("color", "backgroundColor")
    )
    (light, dark) = (ground, ink) if scheme == "light" else (ink, ground)
    assert sum(map(int, re.findall(r"\d+", light))) > 600
    assert sum(map(int, re.findall(r"\d+", dark))) < 150
    tab.close()


@pytest.mark.browser
def test_a_browser_runs_nothing_that_a_name_says(browser, evaluated, tmp_path):
    (tmp_path / "nasty.html").write_text(nasty(evaluated), encoding="utf-8")
    tab = browser.new_page()
    tab.goto((tmp_path / "nasty.html").as_uri())
    assert tab.title() == f"Evaluation of {NASTY} on {NASTY}"
    assert tab.locator("script").count() == 0
    tab.close()
