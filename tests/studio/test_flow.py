"""From a folder of photos to an exported model, by the buttons of the pages alone."""

import re

import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="needs the extra `studio`")
pytest.importorskip("playwright.sync_api", reason="needs playwright")

from playwright import sync_api

from helpers.browsing import (
    choose,
    chosen_command,
    enter,
    give,
    no_traceback,
    quick,
    repeat,
    settled,
    state,
)
from helpers.waiting import PATIENCE

pytestmark = pytest.mark.browser

MAX_CLICKS = 12  # beside those that make the training of this test a short one


@pytest.fixture
def photos(studio):
    """75 photos of three classes, each of a colour of its own."""
    for number, label in enumerate(("red", "green", "blue")):
        (studio.home / "photos" / label).mkdir(parents=True)
        for index in range(25):
            colour = [0, index, 2 * index]
            colour[number] = 255 - index
            file = studio.home / "photos" / label / f"{index}.png"
            Image.new("RGB", (16, 16), tuple(colour)).save(file)
    return studio.home / "photos"


@pytest.fixture
def first_page(browser, studio):
    """What somebody sees who opens the studio where nothing was trained yet."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    page.goto(studio.url)
    page.get_by_role("heading", name="Data", exact=True).wait_for()
    yield page
    context.close()


def test_from_photos_to_an_exported_model_without_the_sidebar(first_page, studio, photos, shot):
    page, clicks = first_page, []

    def click(what):
        settled(page)
        what.click()
        clicks.append(what)

    click(page.get_by_text("A folder on this computer"))
    enter(page.get_by_role("textbox", name="Path of the folder"), "photos")
    page.get_by_text("75 images of 3 classes: start from pretrained weights").wait_for()
    click(page.get_by_role("button", name="Take the recommendation"))
    page.get_by_text("The settings are valid.").wait_for()
    # The recommended training takes minutes; a small model from scratch goes the same way.
    page.get_by_text("From scratch", exact=True).click()
    choose(page, epochs="1", image_size="16", batch_size="8")
    quick(page)
    click(page.get_by_role("button", name="Start training"))
    state(page, "finished")
    # Also seen from another tab.
    sync_api.expect(page).to_have_title(re.compile("^finished: folder-"))
    click(page.get_by_role("button", name="Try it"))
    page.get_by_text("Trained on folder photos, 3 classes: blue, green, red").wait_for()
    give(page, [("new.png", (photos / "red" / "0.png").read_bytes())])
    page.get_by_role("heading", name=re.compile(r"^(red|green|blue): \d+\.\d%$")).wait_for()
    sync_api.expect(page).to_have_title("vit_keras studio")
    click(page.get_by_role("button", name="Next: evaluate it"))
    click(page.get_by_role("button", name="Evaluate", exact=True))
    page.get_by_text("folder photos, test split, 15 images").wait_for()
    click(page.get_by_role("button", name="Next: export it"))
    click(page.get_by_role("button", name="Export", exact=True))
    page.get_by_text("Same class as Keras").wait_for()
    page.get_by_text("vit-keras serve runs/folder-").wait_for()
    shot(page, "exported")
    with page.expect_download() as download:
        click(page.get_by_role("button", name="Download", exact=True))
    assert download.value.suggested_filename.endswith("-onnx.zip")
    assert len(clicks) + 2 <= MAX_CLICKS  # with those into the field and on the photo
    no_traceback(page)


FOCUSED = """() => {
    const one = document.activeElement;
    const said = one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.innerText;
    return (said || "").trim().split("\\n").pop();  // the name of an icon comes before it
}"""


def tab_to(page, name):
    """Press Tab until what has this name, or its beginning, has the focus."""
    settled(page)
    seen = []
    for _ in range(150):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
        if seen[-1].startswith(name):
            return
    raise AssertionError(f"{name} is not reached by Tab: {sorted(set(seen))}")


def press(page, name, then, *before):
    """Tab to what has this name, press the keys `before`, and Enter; `then` is what comes of it."""

    def act():
        tab_to(page, name)
        for key in (*before, "Enter"):
            page.keyboard.press(key)

    assert repeat(act, then), f"nothing comes of Enter on {name}"


def test_a_training_and_a_prediction_by_the_keyboard_alone(page, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "black.png")
    chosen = chosen_command(page).filter(has_text="train.epochs=1")
    press(page, "Epochs", chosen, "Control+A", "1")
    press(page, "Start training", page.get_by_text("State: ").first)
    state(page, "finished")
    press(page, "Try it", page.get_by_text("Trained on digits"))
    page.on("filechooser", lambda chooser: chooser.set_files(tmp_path / "black.png"))
    predicted = page.get_by_role("heading", name=re.compile(r"^\d: \d+\.\d%$")).first
    press(page, "Upload", predicted)
    no_traceback(page)
