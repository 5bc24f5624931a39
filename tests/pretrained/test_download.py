"""Downloaded handles: a failure is reported in one line and leaves no partial file."""

import http.server
import io
import tarfile
import threading

import pytest

import jax2tf_saved_model
from helpers.weight_files import google_tree
from vit_keras import SettingError, load_pretrained
from vit_keras.pretrained import download

WAYS = ["a local path", "kaggle.com/models/<owner>", "tfhub.dev"]
HANDLES = {
    "empty": ("", ["handle='' is no handle", *WAYS]),
    "blank": ("  ", ["is no handle", *WAYS]),
    "nothing": (None, ["handle=None is no handle", *WAYS]),
    "not there": ("/no/such/folder", ["handle=/no/such/folder does not exist", *WAYS]),
    "no file": ("./weights.npz", ["handle=./weights.npz does not exist", *WAYS]),
    "nobody's home": ("~nobody-of-that-name/x", ["does not exist", *WAYS]),
    "a page": ("https://example.org/model", ["does not exist", *WAYS]),
    "too long": ("x" * 5000, ["does not exist", *WAYS]),
}


@pytest.mark.parametrize("case", HANDLES)
def test_a_handle_that_is_none_is_refused_with_the_forms_there_are(case):
    handle, phrases = HANDLES[case]
    with pytest.raises(SettingError) as caught:
        load_pretrained(handle)
    for phrase in phrases:
        assert phrase in str(caught.value)


@pytest.mark.parametrize("content", ["nothing", "text", "folder"])
def test_a_path_without_weights_is_refused_with_the_forms_there_are(content, tmp_path):
    handle = tmp_path / "there"
    if content == "text":
        handle.write_text("hello")
    else:
        handle.mkdir()
        if content == "folder":
            (handle / "README.md").write_text("hello")
    with pytest.raises(SettingError, match=r"has no weights that can be read; use a Saved"):
        load_pretrained(str(handle))


ADDRESSES = {
    "kaggle": "https://www.kaggle.com/models/spayne/no-vit/TensorFlow2/b16/1",
    "tfhub": "https://tfhub.dev/nobody/no-vit/1",
    "archive": "http://127.0.0.1:9/model.tar.gz",
    "hugging_face": "nobody-of-that-name/no-vit",
    "hugging_face_address": "https://huggingface.co/nobody-of-that-name/no-vit",
}


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("case", ADDRESSES)
def test_without_a_network_the_message_says_so(case):
    handle = ADDRESSES[case]
    if not handle.startswith("http") or "huggingface" in handle:
        pytest.importorskip("huggingface_hub")
    elif "kaggle" in handle:
        pytest.importorskip("kagglehub")
    with pytest.raises(SettingError) as caught:
        load_pretrained(handle)
    message = str(caught.value)
    assert message.startswith(f"handle={handle} cannot be fetched")
    for phrase in ("the network", "log in", "local path"):
        assert phrase in message
    assert "\n" not in message


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A packed SavedModel, not compressed, so that it can be cut off just where a file ends."""
    folder = tmp_path_factory.mktemp("saved_model")
    jax2tf_saved_model.save(google_tree(), folder, side=16)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.add(folder, arcname=".")
    return content.getvalue()


def start_of(archive, name):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getmember(name).offset


@pytest.fixture
def server():
    """An address that gives the first `sent` bytes of `content`, and then hangs up."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(server.content)))
            self.end_headers()
            self.wfile.write(server.content[: server.sent])

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


CUTS = {
    "nothing": lambda archive: 0,
    "in a file": lambda archive: len(archive) // 2,
    "before the program": lambda archive: start_of(archive, "./saved_model.pb"),
    "before the variables": lambda a: start_of(a, "./variables/variables.data-00000-of-00001"),
    "before the index": lambda archive: start_of(archive, "./variables/variables.index"),
}


@pytest.mark.usefixtures("own_caches")
@pytest.mark.parametrize("cut", CUTS)
def test_a_failed_download_leaves_no_half_a_model_in_the_cache(cut, server, archive, tmp_path):
    pytest.importorskip("tensorflow_hub")
    address = f"http://127.0.0.1:{server.server_port}/model.tar.gz"
    server.content, server.sent = archive, CUTS[cut](archive)
    with pytest.raises(SettingError, match=f"handle={address} cannot be fetched"):
        download.fetch(address)
    assert not [path for path in (tmp_path / "TFHUB_CACHE_DIR").iterdir() if path.is_dir()]

    server.sent = len(archive)
    whole = download.fetch(address)
    assert tmp_path in whole.parents
    assert load_pretrained(str(whole)).output_shape == (None, 5)
    server.sent = 0
    assert download.fetch(address) == whole  # fetched once
