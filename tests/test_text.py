"""Names and messages as text."""

import pytest

from vit_keras.text import label_lines, last_error

LINE_BREAKS = ("\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028")


@pytest.mark.parametrize("line_break", LINE_BREAKS, ids=ascii)
def test_labels_have_a_line_for_each_class(line_break):
    names = [f"a{line_break}b", "c", "größer d"]
    lines = label_lines(names).splitlines()
    assert lines[1:] == names[1:]
    assert len(lines) == 3
    assert label_lines(names).split("\n")[1:] == [*names[1:], ""]


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
