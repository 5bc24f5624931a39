"""Actions on a page of the studio, as a user performs them."""

import contextlib
import re
from pathlib import Path

from playwright import sync_api

from vit_keras.config.fields import options

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


TRIES = 3
RETRY = 60_000  # milliseconds after which an action whose effect is not seen is done again


def settled(page):
    """What is clicked while a page is still drawn, or moves, may be gone before it is heard."""
    page.evaluate("() => { window.quietSince = null }")
    with contextlib.suppress(sync_api.TimeoutError):  # a page that shows a training is never quiet
        page.wait_for_function(QUIET, timeout=15_000)


def click(what):
    """On a page that comes to rest; one that shows a training does not."""
    settled(what.page)
    what.click(trial=True)  # scrolls to it
    what.page.wait_for_timeout(100)  # a scroll that ends after the click closes the list it opened
    what.click()


def enter(field, text):
    settled(field.page)
    field.fill(text)
    field.press("Enter")


def repeat(act, then):
    """Call `act` until `then` is seen, three times at most; whether it was.

    A page that is drawn again may forget what is being typed, and which element has the focus.
    """
    for _ in range(TRIES):
        with contextlib.suppress(sync_api.TimeoutError):
            act()
            then.wait_for(timeout=RETRY)
            return True
    return False


def pick(field, option, then):
    """Choose an option from a list; `then` is seen when it is chosen."""

    def act():
        settled(field.page)
        field.fill("")
        field.press_sequentially(option)  # opens the list, which a text that is filled in does not
        field.page.get_by_role("option", name=option).wait_for(timeout=RETRY)
        field.press("Enter")

    assert repeat(act, then), f"{option} is not chosen"


def choose(page, **settings):
    """Set the controls of settings by their names, and wait until the command has them."""
    shown = chosen_command(page)
    for name, value in settings.items():
        said = shown.filter(has_text=f"{name}={value}")
        field = control(page, name)
        text = {"true": "on", "false": "off"}.get(value, value)

        def act(field=field, text=text):
            settled(page)
            field.fill(text)
            page.wait_for_timeout(200)
            field.press("Enter")
            field.press("Tab")

        assert repeat(act, said), f"{name}={value} is not in {shown.inner_text()}"


def control(page, name):
    """The control of the first setting with this name: `epochs` for train.epochs."""
    option = next(one for key, one in options().items() if key.rpartition(".")[2] == name)
    label = f"{option.label} ({option.unit})" if option.unit else option.label
    role = "combobox" if option.choices or option.words else None
    return page.get_by_role(role, name=label) if role else page.get_by_label(label, exact=True)


def choose_advanced(page, **settings):
    """Find each setting by the search of the advanced settings, and set it."""
    search = page.get_by_role("textbox", name="Search the settings")
    if not search.is_visible():
        click(page.locator("summary").get_by_text("Advanced settings", exact=True))
    for name, value in settings.items():
        enter(search, name)
        choose(page, **{name: value})


def quick(page):
    """No compiling, few images, a small model: an epoch takes a blink."""
    choose_advanced(page, jit_compile="false", limit="300", depth="1")


def start(page):
    click(page.get_by_role("button", name="Start training"))


def state(page, word):
    page.get_by_text(f"State: {word}", exact=True).wait_for()


def command(page):
    return chosen_command(page).inner_text()


def chosen_command(page):
    """The command beside the form; that of a training that is followed is another one."""
    return page.locator(".st-key-start_panel").get_by_test_id("stCode")


def give(page, files, kind="image/png"):
    """Hands files, names and contents, to the first place for them."""
    upload = page.locator("input[type=file]").first
    upload.wait_for(state="attached")
    settled(page)
    upload.set_input_files(
        [{"name": name, "mimeType": kind, "buffer": content} for name, content in files]
    )


def downloaded(page, name):
    """The file that a button with this name hands over."""
    with page.expect_download() as download:
        click(page.get_by_role("button", name=name))
    return Path(download.value.path())


ROW = 35  # pixels of a row of a table, and of its head


def listed_runs(page):
    """The names in the table of runs, from the top; the canvas has them for screen readers."""
    page.locator("[data-testid=data-grid-canvas] tbody tr").first.wait_for(state="attached")
    cells = "[data-testid=data-grid-canvas] >> nth=0 >> tbody td[aria-colindex='1']"
    return page.locator(cells).all_text_contents()


def tick(page, *names):
    """Selects the rows of runs, or takes them out of the selection."""
    for name in names:
        settled(page)
        row = listed_runs(page).index(name)
        canvas = page.get_by_test_id("data-grid-canvas").first
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        page.mouse.click(box["x"] + 15, box["y"] + ROW * (row + 1.5))


def no_traceback(page):
    assert re.search("Traceback|unexpected error", page.locator("body").inner_text()) is None
