"""Names and messages as text."""

import pytest

from vit_keras.text import last_error

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
