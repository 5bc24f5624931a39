"""Names and messages as text."""

import pytest

from vit_keras.text import counted, last_error

PRINTED = {
    "epoch 1\nerror: too large\n": "too large",
    "error: one\nerror: two\n2026 cleanup\n": "two",
    "Traceback (most recent call last):\n  File\nOSError: full\n\n": "OSError: full",
    "epoch 1\n": "",
    "": "",
}


@pytest.mark.parametrize("printed", PRINTED)
def test_the_error_of_a_command_is_found(printed):
    assert last_error(printed) == PRINTED[printed]


def test_a_count_and_what_it_counts_agree():
    odd = "file[s] [is|are] odd, and [its image is|their images are] read"
    assert counted(1, odd) == "1 file is odd, and its image is read"
    assert counted(2, odd) == "2 files are odd, and their images are read"
    assert counted(0, "class[es]") == "0 classes"
    assert counted(1200, "cop[y|ies]") == "1,200 copies"
