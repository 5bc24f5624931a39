"""From images to a training in a real browser: choose, see, go on; and uploads."""

import io
import re
import zipfile

import pytest
from PIL import Image

from helpers.image_files import write

pytest.importorskip("streamlit", reason="needs the extra `studio`")
pytest.importorskip("playwright.sync_api", reason="needs playwright")

from helpers.browsing import click, command, enter, no_traceback, pick, settled

pytestmark = pytest.mark.browser


@pytest.fixture
def photos(tmp_path):
    for name in ("ant", "bee", "cat"):
        write(tmp_path / "my photos" / name, 25)
    return tmp_path / "my photos"


def opened(page, studio, name):
    page.goto(f"{studio.url}/{name.lower()}")
    page.get_by_role("heading", name=name, exact=True).wait_for()


def choose_folder(page, studio, path):
    opened(page, studio, "Data")
    page.get_by_text("Recommended: 1,797 images").wait_for()  # the worker has started
    click(page.get_by_text("A folder on this computer"))
    enter(page.get_by_role("textbox", name="Path of the folder"), path)
    page.get_by_text("Recommended: 75 images of 3 classes: start from pretrained").wait_for()


def path_on(page, name):
    """What stands in the field for the folder, on another page."""
    click(page.get_by_role("link", name=name))
    page.get_by_role("heading", name=name, exact=True).wait_for()
    field = page.get_by_role("textbox", name="Path of the folder")
    field.wait_for()
    return field.input_value()


def test_a_folder_is_chosen_once_for_all_pages(page, studio, photos, shot, serious_barriers):
    choose_folder(page, studio, f'"{photos}"')  # as "Copy as path" gives it
    page.get_by_text("the validation split has 6 images").wait_for()
    click(page.get_by_text("Why this is recommended"))
    page.get_by_text("vit-keras finetune recipe=finetune_photos").wait_for()
    settled(page)
    shot(page, "recommended")
    assert serious_barriers(page) == {}
    assert path_on(page, "Training") == f'"{photos}"'
    assert path_on(page, "Data") == f'"{photos}"'
    page.reload()
    page.get_by_text("Recommended: 75 images of 3 classes").wait_for()
    click(page.get_by_role("button", name="Find label errors"))
    page.get_by_role("heading", name="Labels", exact=True).wait_for()
    field = page.get_by_role("textbox", name="Path of the folder")
    field.wait_for()
    assert field.input_value() == f'"{photos}"'
    no_traceback(page)


def test_the_recommendation_is_taken_by_one_click(page, studio, photos):
    choose_folder(page, studio, f"file://{photos}".replace(" ", "%20"))
    click(page.get_by_role("button", name="Take the recommendation"))
    page.get_by_role("heading", name="Training", exact=True).wait_for()
    page.get_by_text("recipe=finetune_photos").first.wait_for()
    shown = command(page)
    assert shown.startswith("vit-keras finetune recipe=finetune_photos")
    assert str(photos) in shown
    page.get_by_role("button", name="Start training").wait_for()
    no_traceback(page)


def test_images_and_augmentation_go_on_to_the_training(page, studio, photos):
    choose_folder(page, studio, str(photos))
    augment = page.get_by_role("combobox", name=re.compile("^augment", re.IGNORECASE))
    pick(augment, "heavy", then=page.get_by_text("augment=heavy").first)
    click(page.get_by_role("button", name="Train on these"))
    page.get_by_role("heading", name="Training", exact=True).wait_for()
    page.get_by_text("recipe=folder").first.wait_for()
    assert "augment=heavy" in command(page)
    no_traceback(page)


def test_a_folder_is_chosen_in_a_dialog(page, studio, shot, serious_barriers):
    write(studio.home / "zoo" / "ant", 5)
    write(studio.home / "zoo" / "bee", 5)
    opened(page, studio, "Data")
    click(page.get_by_text("A folder on this computer"))
    click(page.get_by_role("button", name="Browse"))
    folders = page.get_by_role("dialog").get_by_role("combobox", name="Open a folder")
    pick(folders, "zoo", then=page.get_by_text("2 sub-folders, 0 files"))
    settled(page)
    shot(page, "browse")
    assert serious_barriers(page) == {}
    click(page.get_by_role("button", name="Choose this folder"))
    page.get_by_text("10 images of 2 classes").first.wait_for()
    no_traceback(page)


def png(shade):
    stream = io.BytesIO()
    Image.effect_noise((16, 16), 10 + shade).convert("RGB").save(stream, "PNG")
    return stream.getvalue()


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def test_uploads_are_named_as_given_listed_and_deleted(page, studio, shot):
    opened(page, studio, "Data")
    click(page.get_by_text("Files from this browser"))
    upload = page.locator("input[type=file]")
    upload.wait_for(state="attached")
    members = [(f"{name}/{name} {i}.png", png(i)) for name in ("ant", "bee") for i in range(10)]
    members += [("ant/broken one.png", b"no image"), ("ant/notes.txt", b"a text")]
    pack = {"name": "zoo.zip", "mimeType": "application/zip", "buffer": zipped(members)}
    upload.set_input_files(pack)
    page.get_by_text("20 images of 2 classes").first.wait_for()
    page.get_by_text("1 file of the zip was not unpacked").wait_for()
    page.get_by_text("ant/broken one.png").first.wait_for()  # the name that it had
    chosen = page.get_by_role("combobox", name="Upload")
    assert re.match(r"zoo-\w+ \(21 files, \d+ kB\)", chosen.input_value())
    shot(page, "uploaded")
    click(page.get_by_role("button", name="Delete this upload"))
    assert list(studio.runs.glob(".studio/uploads/zoo-*/ant/*.png"))
    click(page.get_by_role("button", name="Delete it permanently"))
    page.get_by_text("Choose the images.").wait_for()
    assert not list(studio.runs.glob(".studio/uploads/zoo-*"))
    no_traceback(page)


def test_photos_are_dropped_class_by_class(page, studio):
    opened(page, studio, "Data")
    click(page.get_by_text("Files from this browser"))
    click(page.get_by_text("Photos of one class"))
    enter(page.get_by_role("textbox", name="Name of the data set"), "zoo")
    for name in ("ant", "bee"):
        enter(page.get_by_role("textbox", name="Class"), name)
        upload = page.locator("input[type=file]")
        upload.wait_for(state="attached")
        settled(page)
        files = [{"name": f"{i}.png", "mimeType": "image/png", "buffer": png(i)} for i in range(10)]
        upload.set_input_files(files)
        click(page.get_by_role("button", name="Add the photos"))
        page.get_by_text("10 files added").wait_for()
        if name == "ant":
            page.get_by_role("combobox", name="Upload").wait_for()
            settled(page)
    page.get_by_text("20 images of 2 classes").first.wait_for()
    no_traceback(page)


def test_a_data_set_that_is_not_there_is_marked_and_offered(page, studio):
    opened(page, studio, "Data")
    field = page.get_by_role("combobox", name="Data set")
    name = page.get_by_role("textbox", name="Name in TFDS")
    pick(field, "another set", then=name)
    enter(name, "kmnist")
    page.get_by_text("kmnist is not on this computer").wait_for()
    page.get_by_role("button", name="Download").wait_for()
    page.get_by_text("vit-keras get-data kmnist").wait_for()
    no_traceback(page)
