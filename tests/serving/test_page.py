"""The page of a service, in a browser: images in, classes out, and nothing of theirs is run."""

import threading
import time

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from sklearn.datasets import load_digits

from helpers.exported_runs import skip_without_onnx
from vit_keras.serving.app import create_app
from vit_keras.serving.options import ServiceOptions
from vit_keras.serving.served_model import ServedModel

skip_without_onnx()
pytestmark = pytest.mark.browser
TOKEN = "secret"


@pytest.fixture(scope="module")
def address(served_run):
    """Of a service that asks for a token."""
    model = ServedModel(served_run, coverage=0.9)
    app = create_app(model, ServiceOptions(), TOKEN)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_images_are_chosen_and_classified(browser, address, tmp_path, width, scheme):
    files = [tmp_path / "3.png", tmp_path / "<img src=x onerror=alert(1)>.png"]
    for file, image in zip(files, load_digits().images[3:], strict=False):
        Image.fromarray((image * 255 / 16).round().astype("uint8")).resize((64, 64)).save(file)
    (tmp_path / "text.png").write_text("no image")
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said = []
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: said.append(dialog.message))
    tab.goto(address)
    tab.get_by_label("Drop images here, or choose them").set_input_files(files[0])
    tab.get_by_text("the token is missing or wrong").wait_for()
    tab.get_by_text("Token", exact=True).click()
    tab.get_by_label("Only if this service asks for one").fill(TOKEN)
    chosen = [*files, tmp_path / "text.png"]
    tab.get_by_label("Drop images here, or choose them").set_input_files(chosen)
    tab.locator("figure").nth(2).wait_for()
    assert tab.locator("figure strong").all_inner_texts()[:2] == ["3", "4"]
    assert "no image" in tab.locator("figure strong").nth(2).inner_text()
    assert tab.locator("figure img").nth(1).get_attribute("alt") == files[1].name
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(tab).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    assert said == []
    tab.screenshot(path=str(tmp_path / "page.png"))
    tab.close()
