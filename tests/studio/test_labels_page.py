"""The Labels page in a real browser: from a folder with wrong labels to a table without them."""

import hashlib
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers.paths import ROOT

pytest.importorskip("streamlit", reason="needs the extra `studio`")
pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("cleanlab.datalab.datalab", reason="the extra audit is not installed")

from helpers.browsing import click, enter, no_traceback, settled
from vit_keras.evaluation import audit, audit_files, audit_map
from vit_keras.evaluation.audit_source import Source
from vit_keras.predict.embedding_files import Embeddings, MadeBy

pytestmark = pytest.mark.browser

# Files whose digit is not that of their folder: an audit with this model finds each of them.
WRONG = {"0/wrong ä.png": 1, "1/wrong.png": 2, "2/wrong, too.png": 0}


@pytest.fixture(scope="module")
def photos(studio):
    """A folder of three digits, of which three have a wrong label; and a run to find them by."""
    from sklearn.datasets import load_digits

    shutil.copytree(ROOT / "saved_models" / "digits", studio.runs / "digits")
    digits, folder = load_digits(), studio.home / "photos"
    for label in range(3):
        (folder / str(label)).mkdir(parents=True)
        for place, index in enumerate(np.flatnonzero(digits.target == label)[:30]):
            save(digits.images[index], folder / str(label) / f"{place}.png")
    for name, digit in WRONG.items():
        save(digits.images[np.flatnonzero(digits.target == digit)[40]], folder / name)
    return folder


@pytest.fixture(scope="module")
def audited(studio, photos):
    """An audit of the folder by its pixels, in the studio's list."""
    files = sorted(photos.rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(path).resize((8, 8))).ravel() for path in files])
    labels = [path.parent.name for path in files]
    by = MadeBy("pixels", "", 64)
    found = Embeddings([str(path) for path in files], labels, pixels / np.float32(255), by)
    source = Source(["data=folder", f"data.path={photos}"], "pixels")
    folder = studio.runs / ".studio" / "audits" / "by_pixels"
    audit_files.write(folder, audit.audit(found), source, audit_map.draw(found))
    return folder


def save(image, file):
    Image.fromarray(np.round(image * 255 / 16).astype("uint8")).resize((32, 32), 0).save(file)


def hashes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def opened(page, studio, audit=""):
    page.goto(f"{studio.url}/labels?audit={audit}")
    page.get_by_role("heading", name="Labels", exact=True).wait_for()


def card(page, name):
    """The card of an image on the page."""
    named = page.get_by_role("img", name=name, exact=True)
    return page.locator(".st-key-gallery > div").filter(has=named)


def decided(page, text):
    page.get_by_text(re.compile(text)).first.wait_for()
    settled(page)


def test_wrong_labels_are_found_corrected_and_trained_on(
    page, studio, photos, shot, serious_barriers
):
    before = hashes(photos)
    opened(page, studio)
    enter(page.get_by_role("textbox", name="Path of the folder"), "nowhere")
    click(page.get_by_role("button", name="Find label errors"))
    page.get_by_text("data.path=nowhere is no folder").wait_for()
    enter(page.get_by_role("textbox", name="Path of the folder"), "photos")
    shot(page, "labels-new")
    click(page.get_by_role("button", name="Find label errors"))
    for name in WRONG:
        card(page, name).wait_for()
    settled(page)
    shot(page, "labels-found")
    assert serious_barriers(page) == {}

    click(card(page, "0/wrong ä.png").get_by_role("button", name="Accept"))
    decided(page, "^1 decided: 1 with another label, 0 kept, 0 left out")
    click(card(page, "1/wrong.png").get_by_role("combobox"))
    click(page.get_by_role("option", name="0", exact=True))
    decided(page, "^2 decided: 2 with another label")
    click(page.get_by_role("button", name="Undo"))
    decided(page, "^1 decided: 1 with another label")
    click(card(page, "1/wrong.png").get_by_role("combobox"))
    click(page.get_by_role("option", name="0", exact=True))
    decided(page, "^2 decided: 2 with another label")
    click(card(page, "2/wrong, too.png").get_by_role("button", name="Drop"))
    decided(page, "^3 decided: 2 with another label, 0 kept, 1 left out")
    click(page.get_by_role("button", name="Undo"))
    decided(page, "^2 decided: 2 with another label, 0 kept, 0 left out")
    click(page.get_by_role("button", name=re.compile("Accept all in view")))
    card(page, "2/wrong, too.png").get_by_text("Now 0").wait_for()
    click(card(page, "2/wrong, too.png").get_by_role("button", name="Drop"))
    card(page, "2/wrong, too.png").get_by_text("Left out").wait_for()
    settled(page)
    said = page.get_by_text(re.compile("decided: ")).inner_text()

    page.reload()
    card(page, "0/wrong ä.png").get_by_text("Now 1").wait_for()
    card(page, "1/wrong.png").get_by_text("Now 0").wait_for()
    click(page.get_by_role("link", name="Data", exact=True))
    page.get_by_role("heading", name="Data", exact=True).wait_for()
    click(page.get_by_role("link", name="Labels", exact=True))
    card(page, "2/wrong, too.png").get_by_text("Left out").wait_for()
    assert page.get_by_text(re.compile("decided: ")).inner_text() == said
    shot(page, "labels-decided")

    click(page.get_by_role("tab", name="New table"))
    table = photos.parent / "photos_corrected.csv"
    click(page.get_by_role("button", name="Write the new table"))
    page.get_by_text(re.compile(r"photos_corrected.csv: \d+ images, .* left out")).wait_for()
    lines = table.read_text(encoding="utf-8").splitlines()
    found = dict(line.rsplit(",", 2)[:2] for line in lines[1:])
    assert lines[0] == "image,label,group"
    assert found["photos/0/wrong ä.png"] == "1"
    assert found["photos/1/wrong.png"] == "0"
    assert not [path for path in found if "too" in path]
    assert hashes(photos) == before
    page.get_by_role("textbox", name="Path of the new table").wait_for()
    shot(page, "labels-table")
    assert serious_barriers(page) == {}
    enter(page.get_by_role("textbox", name="Path of the new table"), str(table))
    click(page.get_by_role("button", name="Write the new table"))
    page.get_by_text("photos_corrected.csv is there already").wait_for()

    click(page.get_by_role("button", name="Use it on the Training page"))
    page.get_by_role("heading", name="Training", exact=True).wait_for()
    page.get_by_text("The settings are valid.").wait_for()
    shown = page.get_by_test_id("stCode").filter(has_text="vit-keras train").first.inner_text()
    assert f"data=csv data.path={table} data.group_column=group" in shown
    no_traceback(page)


def test_a_table_keeps_its_columns_and_goes_to_the_training_page(page, studio, photos):
    files = [path for path in sorted(photos.rglob("*.png")) if "too" not in path.name]
    rows = [
        f"{path.relative_to(photos)},{path.parent.name},{'val' if index % 5 == 0 else 'train'}"
        for index, path in enumerate(files)
    ]
    old = photos / "digits.csv"
    old.write_text("\n".join(["file,digit,split", *rows, ""]), encoding="utf-8")
    opened(page, studio)
    if not page.get_by_text("Which images").is_visible():  # another test has audited before
        click(page.locator("summary").get_by_text("New audit"))
    click(page.get_by_text("A table of images and labels"))
    enter(page.get_by_role("textbox", name="Path of the table"), "photos/digits.csv")
    click(page.locator("summary").get_by_text("How the table is read"))
    enter(page.get_by_role("textbox", name="label column"), "digit")
    click(page.get_by_role("button", name="Find label errors"))
    page.wait_for_url(re.compile("audit=digits"))
    click(page.get_by_role("button", name="Accept all in view (2)"))
    decided(page, "^2 decided: 2 with another label")
    click(page.get_by_role("tab", name="New table"))
    click(page.get_by_role("button", name="Write the new table"))
    page.get_by_text(re.compile("2 labels changed, 0 left out")).wait_for()
    new = (photos / "digits_corrected.csv").read_text(encoding="utf-8")
    old_lines = old.read_text(encoding="utf-8").splitlines()
    changed = {*new.splitlines()} - {*old_lines}
    assert {line.rsplit(",", 1)[0] for line in changed} == {"0/wrong ä.png,1", "1/wrong.png,2"}
    assert len(new.splitlines()) == len(old_lines)
    click(page.get_by_role("button", name="Use it on the Training page"))
    page.get_by_role("heading", name="Training", exact=True).wait_for()
    page.get_by_text("The settings are valid.").wait_for()
    shown = page.get_by_test_id("stCode").filter(has_text="vit-keras train").first.inner_text()
    assert f"data.path={photos}/digits_corrected.csv data.label_column=digit" in shown
    no_traceback(page)


def test_the_map_shows_an_image_under_the_mouse(page, studio, audited, shot):
    opened(page, studio, audited.name)
    click(page.get_by_role("tab", name="Map"))
    chart = page.get_by_test_id("stVegaLiteChart")
    chart.wait_for()
    page.get_by_text(re.compile("93 of 93 images by (t-SNE|UMAP)")).wait_for()
    settled(page)
    box = chart.bounding_box()
    tooltip = page.locator("#vg-tooltip-element.visible img")
    steps = [(x, y) for y in range(40, 500, 8) for x in range(20, int(box["width"]), 8)]
    for x, y in steps:  # until the mouse is on a point
        page.mouse.move(box["x"] + x, box["y"] + y)
        if tooltip.count():
            break
    assert tooltip.evaluate("image => image.naturalWidth") == 64
    shot(page, "labels-map")
    no_traceback(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_accessible(page, studio, audited, shot, serious_barriers, width, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, studio, audited.name)
    for tab in ("Images", "Map", "New table"):
        click(page.get_by_role("tab", name=tab))
        settled(page)
        assert serious_barriers(page) == {}
        assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth") <= width
        shot(page, f"labels-{tab.replace(' ', '-').lower()}-{width}-{scheme}")
