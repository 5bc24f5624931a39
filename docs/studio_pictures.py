"""Take the pictures of the studio in the docs: from a folder of photos to an exported model.

    python docs/studio_pictures.py --photos <folder of sign language digits>

Copies 25 photos of each of three classes into a new folder, opens the studio there in Debian's
chromium, and does what a person would who reads nothing but the pages. Prints the number of
clicks, and writes `docs/images/*.png`. Takes some minutes: the model is trained as recommended.
"""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
CLASSES = {"3": "three", "4": "four", "5": "five"}  # folder of the photos -> that of the copies
COUNT = 25  # photos of each class
SIZE = {"width": 1280, "height": 900}
MINUTES = 30  # that a step may take
MAX_BYTES = 200_000  # of a picture; a larger one gets fewer colours
COLOURS = 255


def copy_photos(source, target):
    """Copy photos of each class; return one that is not among them."""
    for name, label in CLASSES.items():
        files = sorted((source / name).iterdir())
        (target / label).mkdir(parents=True)
        for file in files[:COUNT]:
            shutil.copy(file, target / label)
    return sorted((source / "4").iterdir())[COUNT]


@contextlib.contextmanager
def studio(folder):
    """Start a studio in a folder, and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "vit_keras.studio", "--root", "runs", "--port", port]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health").close()
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


class Person:
    """Somebody at the browser, whose clicks and keystrokes are counted."""

    def __init__(self, page, images):
        self.page, self.images = page, images
        self.clicks = self.keystrokes = 0

    def click(self, role, name):
        self.page.get_by_role(role, name=name, exact=True).click()
        self.clicks += 1

    def choose(self, label):
        self.page.get_by_text(label, exact=True).click()
        self.clicks += 1

    def type(self, name, text):
        field = self.page.get_by_role("textbox", name=name)
        field.click()
        self.clicks += 1
        self.page.keyboard.type(text)
        field.press("Enter")
        self.keystrokes += len(text) + 1

    def give(self, file):
        """A file dropped on the page; by the dialog it is one click more."""
        self.page.locator("input[type=file]").first.set_input_files(file)
        self.clicks += 1

    def wait(self, text):
        self.page.get_by_text(text).first.wait_for()

    def picture(self, name, top=None):
        """Write a picture of the window, from the element with the text `top` on."""
        self.page.wait_for_timeout(3000)  # charts and images are drawn
        self.page.mouse.move(SIZE["width"] - 1, SIZE["height"] - 1)
        if top:
            self.page.get_by_text(top).first.evaluate("element => element.scrollIntoView()")
        self.page.wait_for_timeout(1000)
        file = self.images / f"{name}.png"
        self.page.screenshot(path=file)
        shown = Image.open(file).convert("RGB")
        shown.save(file, optimize=True)
        if file.stat().st_size > MAX_BYTES:
            shown.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB", flush=True)


def go(person, url, photo):
    """From the first page to the download of an exported model."""
    person.page.goto(url)
    person.choose("A folder on this computer")
    person.type("Path of the folder", "photos")
    person.wait("75 images of 3 classes: train")
    person.page.get_by_role("img", name="Training images above").wait_for()
    person.picture("data", "75 images of 3 classes: train")
    person.click("button", "Take the recommendation")
    person.wait("The settings are valid.")
    person.picture("settings")
    person.click("button", "Start training")
    person.wait("State: finished")
    person.picture("training", "Data: photos")
    person.click("button", "Try it")
    person.wait("Trained on folder")
    person.give(photo)
    person.page.get_by_role("img", name="Attention rollout").wait_for()
    person.picture("inference", "four: ")
    person.click("button", "Next: evaluate it")
    person.click("button", "Evaluate")
    person.wait("Reliability diagram")
    person.picture("evaluation", "folder photos, test split")
    person.click("button", "Next: export it")
    person.click("button", "Export")
    person.wait("Same class as Keras")
    person.picture("export")
    with person.page.expect_download():
        person.click("button", "Download")


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--photos", type=Path, required=True)
    options.add_argument("--folder", type=Path, help="to work in; its path is in a picture")
    options.add_argument("--images", type=Path, default=ROOT / "docs" / "images")
    arguments = options.parse_args()
    if arguments.folder:
        arguments.folder.mkdir(parents=True)
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder) as place,
        sync_playwright() as playwright,
    ):
        folder = arguments.folder or Path(place)
        photo = copy_photos(arguments.photos, folder / "photos")
        (folder / "saved_models").symlink_to(ROOT / "saved_models")  # the pretrained model
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        with studio(folder) as url:
            context = browser.new_context(viewport=SIZE)
            context.set_default_timeout(MINUTES * 60_000)
            person = Person(context.new_page(), arguments.images)
            go(person, url, photo)
            print(f"{person.clicks} clicks, {person.keystrokes} keystrokes")
        browser.close()


if __name__ == "__main__":
    main()
