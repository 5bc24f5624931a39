"""Paths as people copy them are understood, in Python and on the command line."""

import pytest

from vit_keras.config.compose import compose
from vit_keras.config.quoting import local_path

COPIED = {
    '"/a b/photos"': "/a b/photos",
    "'/a/photos'": "/a/photos",
    " /a/photos\n": "/a/photos",
    "file:///a%20b/photos": "/a b/photos",
    '"file://localhost/a/photos"': "/a/photos",
    "photos": "photos",
    "it's": "it's",
    '"': '"',
    "file://server/share": "file://server/share",
}


@pytest.mark.parametrize(("copied", "path"), COPIED.items())
def test_quotes_and_addresses_of_files_are_understood(copied, path):
    assert local_path(copied) == path


def test_a_path_that_is_there_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / '"odd"').mkdir()
    assert local_path('"odd"') == '"odd"'


WORDS = (
    "data.path=file:///a%20b/photos",
    r'data.path="\"/a b/photos\""',
    "data.path='/a b/photos'",
)


@pytest.mark.parametrize("word", WORDS)
def test_the_command_line_understands_them_too(word):
    assert compose("data=folder", word).data.path == "/a b/photos"
