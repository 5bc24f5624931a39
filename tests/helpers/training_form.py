"""The Training page of the studio without a browser, by Streamlit's `AppTest`."""

import shlex

from streamlit.testing.v1 import AppTest

from helpers.waiting import PATIENCE
from vit_keras.studio.__main__ import APP


def open_form(tmp_path, monkeypatch):
    """The page, whose runs are in `tmp_path`."""
    monkeypatch.setattr("sys.argv", [str(APP), str(tmp_path / "runs")])
    return AppTest.from_file(str(APP), default_timeout=PATIENCE).run()


def field(app, kind, label):
    (found,) = (one for one in getattr(app, kind) if one.label == label)
    return found


def shown_words(app):
    """Those of the command that the page shows, after `vit-keras`."""
    (shown,) = (code.value for code in app.code if code.value.startswith("vit-keras "))
    return shlex.split(shown)[1:]
