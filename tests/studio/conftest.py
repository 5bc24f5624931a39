"""A studio on a free port, and Debian's chromium to open it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from helpers.paths import ROOT
from helpers.waiting import PATIENCE, answers, until

SHOTS = ROOT / "build" / "studio"  # screenshots, kept when the tests are over


def pytest_collection_modifyitems(items):
    """The file that takes longest begins, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.path.name != "test_training_page.py")


class Studio:
    """`python -m vit_keras.studio` in an empty folder, started and killed as a person might."""

    def __init__(self, home: Path) -> None:
        self.home, self.runs = home, home / "runs"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with open(self.home / "studio.txt", "ab") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "vit_keras.studio",
                    "--root",
                    "runs",
                    "--port",
                    str(self.port),
                ],
                cwd=self.home,
                env=environment,
                stdout=output,
                stderr=output,
            )
        until(self._is_ready)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, (self.home / "studio.txt").read_text()
        return answers(f"{self.url}/_stcore/health")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end_trainings(self) -> None:
        """Whatever works under the test's folder: the runner and its trainings."""
        for process in psutil.process_iter(["cmdline"]):
            if str(self.home) in " ".join(process.info["cmdline"] or []):
                process.kill()


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    home = tmp_path_factory.mktemp("studio")
    (home / "saved_models").symlink_to(ROOT / "saved_models")
    found = Studio(home)
    found.start()
    yield found
    found.kill()
    found.end_trainings()


@pytest.fixture
def page(browser, studio):
    """A page of 1280 pixels with the studio open on it, and nothing chosen by an earlier test."""
    (studio.runs / ".studio" / "choices.json").unlink(missing_ok=True)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(1000 * PATIENCE)
    opened = context.new_page()
    opened.goto(f"{studio.url}/training")
    opened.get_by_role("heading", name="Training", exact=True).wait_for()
    yield opened
    SHOTS.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=SHOTS / "last.png")  # where a test that failed got stuck
    context.close()


@pytest.fixture
def shot():
    """Keeps a screenshot of a page under build/studio/."""
    SHOTS.mkdir(parents=True, exist_ok=True)

    def take(page, name):
        size = page.viewport_size
        # The page scrolls within itself: what is to be in the picture has to fit the window.
        main = page.get_by_test_id("stMain")
        height = main.evaluate("element => element.scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": height})
        page.wait_for_timeout(300)
        page.screenshot(path=SHOTS / f"{name}.png")
        page.set_viewport_size(size)

    return take


@pytest.fixture
def serious_barriers():
    """What axe-core finds on a page that keeps people out: rule -> the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe").Axe()
    from helpers.browsing import TRIES, settled

    def look(page):
        return {
            item["id"]: [f"{node['html'][:200]} {node['any'][:1]}" for node in item["nodes"]]
            for item in axe.run(page).response["violations"]
            if item["impact"] in ("serious", "critical")
        }

    def found(page):
        for _ in range(TRIES):  # what is about to be drawn again is pale
            settled(page)
            if not (barriers := look(page)):
                break
        return barriers

    return found
