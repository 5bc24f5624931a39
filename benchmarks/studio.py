"""Load times of the studio's pages, and the time of a prediction with a warm model.

    python benchmarks/studio.py [--rounds 3] [--runs 2000]

Needs Debian's chromium. Each round restarts the studio and opens every page in a browser with an
empty cache; measured are the times until its heading and until its last element is visible. The
peer is the heading of an empty Streamlit page. A prediction is measured from the upload to the
class on the page, for the second image; the first one loads the model. Last, the Runs page of a
studio with many runs, whose list an earlier opening has kept: until its rows are there, and from a
click or a search until the page has changed.
"""

import contextlib
import io
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
from list_runs import make_runs
from PIL import Image

RELEASED = Path(__file__).parents[1] / "saved_models"
EMPTY = 'import streamlit as st\nst.title("empty")\n'
ROW = 35  # pixels of a row of a table, and of its head
ROWS = "[data-testid=data-grid-canvas] tbody td[aria-colindex='1']"  # names; the first row is first
HEADING = "h1, h2, h3, h4"
ANY = "button, label, p, span, summary"
DETAILS_OF_TWO = """() => [...document.querySelectorAll("button p")].filter(
    one => one.textContent.trim() === "Details").length > 1"""
# page -> its last element that is visible without a click
CONTENT = {
    "training": "Start training",
    "inference": "Use the webcam",
    "runs": "Add a run from a zip file",
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


def wait_for(page, selector, pattern="", state="visible"):
    """Until an element's whole text matches; asked at each frame, locators only every 500 ms."""
    page.wait_for_function(
        """([selector, pattern, state]) => [...document.querySelectorAll(selector)].some(
            one => (state === "attached" || one.checkVisibility())
                && new RegExp(pattern).test(one.textContent.trim()))""",
        arg=[selector, pattern and f"^(?:{pattern})$", state],
    )


def seconds(browser, url, heading, text=None):
    """Open a page; return it and the seconds until its heading and `text` were visible."""
    page = browser.new_context().new_page()
    started, found = time.perf_counter(), []
    page.goto(url)
    wait_for(page, HEADING, heading)
    found.append(time.perf_counter() - started)
    if text:
        wait_for(page, ANY, text)
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
            page.wait_for_function(DETAILS_OF_TWO)
        wait_for(page, HEADING, r"\d: \d+\.\d%")
        found = time.perf_counter() - started
        page.get_by_role("img", name="Attention rollout").wait_for()
        page.wait_for_timeout(1000)
    return found


def many_runs(browser, url, count, times):
    """Seconds until the rows of the Runs page, and of a sort, a selection and a search in it."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    found, started = defaultdict(list), time.perf_counter()

    def lap(name):
        nonlocal started
        found[name].append(time.perf_counter() - started)
        page.wait_for_timeout(1500)  # until the page is at rest
        started = time.perf_counter()

    rows = page.locator(ROWS)
    for name in ("rows, first page of a new studio", *["rows"] * times):
        page.goto(f"{url}/runs")
        wait_for(page, ROWS, state="attached")
        lap(name)
    box = page.get_by_test_id("data-grid-canvas").first.bounding_box()
    before = rows.first.text_content()
    started = time.perf_counter()
    page.mouse.click(box["x"] + 60, box["y"] + ROW / 2)  # the head of the column of names
    page.wait_for_function(
        """([rows, before]) => document.querySelector(rows).textContent !== before""",
        arg=[ROWS, before],
    )
    lap("sort")
    once = [("selection", 1.5, 1), ("selection taken back", 1.5, 0)]
    for name, row, selected in [("first selection of a new studio", *once[0][1:]), once[1]] + (
        once * times
    ):
        page.mouse.click(box["x"] + 15, box["y"] + ROW * row)
        wait_for(page, "p", f"{count:,} of {count:,} runs, {selected} selected.*")
        lap(name)
    search = page.get_by_role("textbox", name="Search")
    search.fill("seed=7")
    search.press("Enter")
    wait_for(page, "p", rf"\d+ of {count:,} runs, \d selected.*")
    lap("search")
    return found


def measure_many_runs(browser, folder, count, times):
    make_runs(folder / "saved_models", count)
    time.sleep(2.5)  # a file that was written just now is read again
    studio = [sys.executable, "-m", "vit_keras.studio", "--port"]
    with served(studio, folder) as url:  # reads every run, and keeps the list
        page = browser.new_page()
        page.goto(f"{url}/runs")
        page.locator("[data-testid=data-grid-canvas] tbody td").first.wait_for(
            state="attached", timeout=120_000
        )
    with served(studio, folder) as url:
        found = many_runs(browser, url, count, times)
    for name, values in found.items():
        print(f"{count:,} runs, {name}: {statistics.median(values):.2f} s, of {len(values)}")


def main():
    options = argument_parser(__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--runs", type=int, default=2000)
    settings = parse_arguments(options, rounds=1, runs=20)
    rounds = settings.rounds
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
        (folder / "many").mkdir()
        measure_many_runs(browser, folder / "many", settings.runs, 1 if settings.smoke else 5)
        browser.close()
    for name, values in taken.items():
        ratio = median_ratio(values, taken["empty"])
        print(f"{name}: {statistics.median(values):.2f} s, {ratio:.2f} x an empty page")


if __name__ == "__main__":
    main()
