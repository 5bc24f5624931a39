"""Load times of the studio's pages, and the time of a prediction with a warm model.

    python benchmarks/studio.py [--rounds 3]

Needs Debian's chromium. Each round restarts the studio and opens every page in a browser with an
empty cache; measured are the times until its heading and until its last element is visible. The
peer is the heading of an empty Streamlit page. A prediction is measured from the upload to the
class on the page, for the second image; the first one loads the model.
"""

import contextlib
import io
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

from figures import argument_parser, is_installed, median_ratio, parse_arguments
from PIL import Image

RELEASED = Path(__file__).parents[1] / "saved_models"
EMPTY = 'import streamlit as st\nst.title("empty")\n'
# page -> its last element that is visible without a click
CONTENT = {
    "training": "Start training",
    "inference": "Use the webcam",
    "runs": "Download as zip",
}


@contextlib.contextmanager
def served(command, folder):
    """Start a server on a free port, yield its address once it is healthy, and kill it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = subprocess.Popen(
        [*command, port], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health").close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def seconds(browser, url, heading, text=None):
    """Open a page; return it and the seconds until its heading and `text` were visible."""
    page = browser.new_context().new_page()
    started, found = time.perf_counter(), []
    page.goto(url)
    page.get_by_role("heading", name=heading, exact=True).wait_for()
    found.append(time.perf_counter() - started)
    if text:
        page.get_by_text(text, exact=True).first.wait_for()
        found.append(time.perf_counter() - started)
    return page, found


def has_tensorflow():
    """Whether any process of the studio's pages has loaded TensorFlow."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            command = maps.with_name("cmdline").read_bytes()
            if b"vit_keras/studio/pages/app.py" in command and "tensorflow" in maps.read_text():
                return True
    return False


def prediction(page):
    """Seconds from the upload of a second image to its class."""
    predicted = page.get_by_role("heading", name=re.compile(r"^\d: \d+\.\d%$"))
    found = 0.0
    for colour in (0, 255):
        stream = io.BytesIO()
        Image.new("L", (8, 8), colour).save(stream, "PNG")
        upload = page.locator("input[type=file]").first
        started = time.perf_counter()
        upload.set_input_files(
            {"name": f"{colour}.png", "mimeType": "image/png", "buffer": stream.getvalue()}
        )
        if colour:
            page.get_by_role("cell", name=f"{colour}.png").wait_for()
        predicted.wait_for()
        found = time.perf_counter() - started
        page.get_by_role("img", name="Attention rollout").wait_for()
        page.wait_for_timeout(1000)
    return found


def main():
    options = argument_parser(__doc__)
    options.add_argument("--rounds", type=int, default=3)
    rounds = parse_arguments(options, rounds=1).rounds
    if not is_installed("playwright"):
        return
    if shutil.which("chromium") is None:
        print("chromium is not installed: not measured")
        return
    from playwright.sync_api import sync_playwright

    taken = defaultdict(list)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        (folder / "empty.py").write_text(EMPTY)
        shutil.copytree(RELEASED / "digits", folder / "saved_models" / "digits")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        streamlit = [sys.executable, "-m", "streamlit", "run", "empty.py", "--server.headless=true"]
        studio = [sys.executable, "-m", "vit_keras.studio"]
        for _ in range(rounds):
            with served([*streamlit, "--server.port"], folder) as url:
                taken["empty"] += seconds(browser, url, "empty")[1]
            for name, text in CONTENT.items():
                with served([*studio, "--port"], folder) as url:
                    page, (first, last) = seconds(browser, f"{url}/{name}", name.capitalize(), text)
                    taken[name].append(first)
                    taken[f"{name}, complete"].append(last)
                    assert not has_tensorflow()
                    if name == "inference":
                        taken["prediction"].append(prediction(page))
            print({name: f"{values[-1]:.2f} s" for name, values in taken.items()}, flush=True)
        browser.close()
    for name, values in taken.items():
        ratio = median_ratio(values, taken["empty"])
        print(f"{name}: {statistics.median(values):.2f} s, {ratio:.2f} x an empty page")


if __name__ == "__main__":
    main()
