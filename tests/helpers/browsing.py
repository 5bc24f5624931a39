"""Actions on a page of the studio, as a user performs them."""

import contextlib
import re
from pathlib import Path

from playwright import sync_api

# Nothing is drawn, loaded or moved; for a while, as a page may be drawn again at once.
QUIET = """() => {
    const moves = animation => animation.playState === "running"
        && animation.effect?.getComputedTiming().iterations !== Infinity;  // as a spinner's are
    const isQuiet = document.querySelector("[data-test-script-state=notRunning]")
        && [...document.images].every(image => image.complete)
        && !document.getAnimations().some(moves);
    window.quietSince = isQuiet ? window.quietSince ?? performance.now() : null;
    return isQuiet && performance.now() - window.quietSince > 300;
}"""


def settled(page):
    """What is clicked while a page is still drawn, or moves, may be gone before it is heard."""
    page.evaluate("() => { window.quietSince = null }")
    with contextlib.suppress(sync_api.TimeoutError):  # a page that shows a training is never quiet
        page.wait_for_function(QUIET, timeout=15_000)


def click(what):
    """On a page that comes to rest; one that shows a training does not."""
    settled(what.page)
    what.click()


def enter(field, text):
    settled(field.page)
    field.fill(text)
    field.press("Enter")


def choose(page, **settings):
    """Sets text fields by their labels, and waits until the command says so."""
    shown = page.get_by_test_id("stCode").filter(has_text="vit-keras ")
    for name, value in settings.items():
        field = page.get_by_label(name.replace("_", " "), exact=True)
        said = shown.filter(has_text=f"{name}={value}")
        for _ in range(3):  # the page may be drawn again while one types
            field.fill(value)
            page.wait_for_timeout(200)
            field.press("Enter")
            field.press("Tab")
            try:
                said.wait_for(timeout=15_000)
                break
            except sync_api.TimeoutError:
                continue
        assert said.count(), f"{name}={value} is not in {shown.inner_text()}"


def quick(page):
    """No compiling, few images, a small model: an epoch takes a blink."""
    for group, settings in {
        "Training": {"jit_compile": "false"},
        "Data": {"limit": "300"},
        "Model": {"depth": "1"},
    }.items():
        click(page.locator("summary").get_by_text(group, exact=True))
        choose(page, **settings)


def start(page):
    click(page.get_by_role("button", name="Start training"))


def state(page, word):
    page.get_by_text(f"State: {word}", exact=True).wait_for()


def command(page):
    return page.get_by_test_id("stCode").filter(has_text="vit-keras ").inner_text()


def give(page, files, kind="image/png"):
    """Hands files, names and contents, to the first place for them."""
    upload = page.locator("input[type=file]").first
    upload.wait_for(state="attached")
    upload.set_input_files(
        [{"name": name, "mimeType": kind, "buffer": content} for name, content in files]
    )


def downloaded(page, name):
    """The file that a button with this name hands over."""
    with page.expect_download() as download:
        click(page.get_by_role("button", name=name))
    return Path(download.value.path())


def no_traceback(page):
    assert re.search("Traceback|unexpected error", page.locator("body").inner_text()) is None
