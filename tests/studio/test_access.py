"""Access control of the studio, uploads, and accessibility."""

import io
import re
import shutil
import socket
import stat
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import psutil
import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="needs the extra `studio`")

from helpers.browsing import click, settled
from helpers.waiting import PATIENCE
from vit_keras.studio.jobs.queue import Jobs

pytestmark = pytest.mark.browser

EVIL = "http://evil.example"


def test_nothing_listens_on_another_address(studio):
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(studio.process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_another_site_cannot_hand_files_over(studio, method):
    request = urllib.request.Request(
        f"{studio.url}/_stcore/upload_file/session/file",
        data=b"content",
        method=method,
        headers={"Origin": EVIL, "Content-Type": "application/octet-stream"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=PATIENCE)
    with refused.value as response:
        assert response.code in (400, 403, 404, 405)


def test_another_site_cannot_open_a_session(studio):
    handshake = (
        "GET /_stcore/stream HTTP/1.1\r\n"
        "Host: {}\r\nOrigin: {}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    own, local = f"127.0.0.1:{studio.port}", f"localhost:{studio.port}"
    asked = {
        (own, EVIL): b"403",
        (own, studio.url): b"101",
        (local, f"http://{local}"): b"101",
        # Its name leads here now, and its page is of one origin with what it asks.
        (f"evil.example:{studio.port}", f"{EVIL}:{studio.port}"): b"403",
    }
    status = {}
    for host, origin in asked:
        with socket.create_connection(("127.0.0.1", studio.port), timeout=PATIENCE) as connection:
            connection.sendall(handshake.format(host, origin).encode())
            status[host, origin] = connection.recv(4096).split(b"\r\n")[0].split()[1]
    assert status == asked


def test_another_address_needs_a_word_that_names_the_risk(studio):
    from vit_keras import SettingError
    from vit_keras.studio.__main__ import OLD_RISK, RISK, check, parse_arguments

    with pytest.raises(SettingError, match=r"--address=0.0.0.0 allows .* add --allow-remote"):
        check(parse_arguments(["--address", "0.0.0.0", "--port", "0"]))
    check(parse_arguments(["--address", "0.0.0.0", "--port", "0", RISK]))
    check(parse_arguments(["--address", "0.0.0.0", "--port", "0", OLD_RISK]))
    with pytest.raises(SettingError, match="cannot be listened on"):
        check(parse_arguments(["--port", str(studio.port)]))


def test_a_password_that_can_be_guessed_is_refused(monkeypatch):
    from vit_keras import SettingError
    from vit_keras.studio.__main__ import PASSWORD, RISK, check, parse_arguments

    monkeypatch.setenv(PASSWORD, "sesame")
    with pytest.raises(SettingError, match=r"fewer than 12 characters"):
        check(parse_arguments(["--address", "0.0.0.0", "--port", "0", RISK]))
    check(parse_arguments(["--port", "0"]))


def picture():
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "PNG")
    return stream.getvalue()


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def link():
    info = zipfile.ZipInfo("photos/a/link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


PHOTOS = [(f"photos/{name}/{i}.png", picture()) for name in ("a", "b") for i in range(30)]
BAD = {
    "leads out": [*PHOTOS, ("../../out.png", picture())],
    "as no image or model does": [*PHOTOS, ("photos/a/bomb.png", bytes(30_000_000))],
    "is a link": [*PHOTOS, (link(), "/etc/passwd")],
}


def test_uploads_are_held_to_what_a_zip_of_photos_is(page, studio, shot):
    click(page.get_by_text("Files from this browser"))
    upload = page.locator("input[type=file]")
    upload.wait_for(state="attached")

    def give(name, content):
        upload.set_input_files({"name": name, "mimeType": "application/zip", "buffer": content})

    for message, members in BAD.items():
        give("photos.zip", zipped(members))
        page.get_by_text(message).first.wait_for()
    give("no.zip", b"this is text")
    page.get_by_text("cannot be read").first.wait_for()
    assert not list(studio.home.rglob("*.png"))
    shot(page, "refused")

    name = "![x](http:evil.png) <b>bold<b> *a* :red[b] $c$"
    give(
        "../../etc <b>.zip",
        zipped(
            [
                *PHOTOS,
                *((f"photos/{name}/{i}.png", picture()) for i in "12"),
                ("photos/notes.txt", b"a text"),
            ]
        ),
    )
    page.get_by_text("1 file of the zip was not unpacked").wait_for()
    page.get_by_text("The settings are valid.").wait_for()
    assert not page.locator("img[src*=evil]").count()
    assert page.locator("b", has_text="bold").count() == 0
    found = {path.name for path in studio.runs.glob(".studio/uploads/*/*") if path.is_dir()}
    assert found == {"a", "b", "__x__http_evil.png_ _b_bold_b_ _a_ _red_b_ _c_"}
    (folder,) = (studio.runs / ".studio" / "uploads").glob("[!.]*")
    assert re.fullmatch("etc _b_-[0-9a-f]{16}", folder.name)
    assert re.search("Traceback|unexpected error", page.locator("body").inner_text()) is None


def test_a_file_that_is_too_large_is_refused(page, tmp_path):
    click(page.get_by_text("Files from this browser"))
    large = tmp_path / "large.zip"
    with open(large, "wb") as file:
        file.truncate(2001 * 2**20)
    upload = page.locator("input[type=file]")
    upload.wait_for(state="attached")
    upload.set_input_files(large)
    page.get_by_text(re.compile("must be .* or smaller")).wait_for()


def test_failed_runs_are_reported(page, studio):
    jobs = Jobs(studio.runs)
    gone = jobs.add("train", (), "gone")
    Path(gone.place).rmdir()
    jobs.mark_finished(gone, 0)
    said = {
        "error: the loss became nan at step 7; lower optim.learning_rate=9": "lower optim.",
        "Traceback (most recent call last):\nOSError: No space left on device": "free disk space",
    }
    for number, (output, _) in enumerate(said.items()):
        job = jobs.add("train", (), f"wrong-{number}")
        jobs.output(job).write_text(output)
        jobs.mark_finished(job, 1)
    page.goto(f"{studio.url}/?job={gone.id}")
    page.get_by_text("does not exist any more").wait_for()
    jobs.remove(gone)
    for job, message in zip(jobs.all()[::-1], said.values(), strict=True):
        page.goto(f"{studio.url}/?job={job.id}")
        page.get_by_text("State: failed").wait_for()
        page.get_by_text(message).first.wait_for()
        assert "Traceback" not in page.locator("body").inner_text()
        shutil.rmtree(job.place)
        jobs.remove(job)
    page.goto(f"{studio.url}/?job=../../nothing")
    page.get_by_text("No training yet").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_are_accessible(page, shot, serious_barriers, scheme, width):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.reload()
    page.get_by_role("button", name="Start training").wait_for()
    click(page.locator("summary").get_by_text("Advanced settings", exact=True))
    click(page.get_by_role("tab", name="Model", exact=True))
    page.get_by_role("slider").first.wait_for()  # it is loaded later than the rest
    settled(page)
    shot(page, f"new-{width}-{scheme}")
    assert serious_barriers(page) == {}
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth") <= width


def test_any_page_can_be_the_first_to_be_opened():
    """Beside a folder `pages` Streamlit would take the files in it for pages of their own."""
    from vit_keras.studio.__main__ import APP

    assert APP.is_file()
    assert not (APP.parent / "pages").exists()


def test_a_password_is_asked_for_where_one_is_set(monkeypatch, tmp_path):
    from streamlit.testing.v1 import AppTest

    from vit_keras.studio.__main__ import APP, PASSWORD

    (tmp_path / "runs" / "mine").mkdir(parents=True)  # so that it opens the Training page
    monkeypatch.setenv(PASSWORD, "open sesame")
    monkeypatch.setattr("sys.argv", [str(APP), str(tmp_path / "runs")])
    app = AppTest.from_file(str(APP), default_timeout=PATIENCE).run()
    assert [field.label for field in app.text_input] == ["Password"]
    app.text_input[0].set_value("open barley").run()
    assert "not the password" in app.error[0].value
    assert [field.label for field in app.text_input] == ["Password"]
    app.text_input[0].set_value("open sesame").run()
    assert "Name" in [field.label for field in app.text_input]
