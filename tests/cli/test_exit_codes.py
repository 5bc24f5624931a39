"""How a command ends when something is wrong: one line, and a status that a script can tell."""

import numpy as np
import pytest

from vit_keras.cli.exit_codes import exit_codes


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((10**9, 10**9), np.dtype("uint8")),
        # ONNX Runtime's own exceptions are those of no other class.
        type("RuntimeException", (Exception,), {"__module__": "onnxruntime.capi"})(
            "Failed to allocate memory for requested buffer of size 4294967296"
        ),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4294967296 bytes."),
    ],
)
def test_missing_memory_is_one_line(error, capsys):
    with pytest.raises(SystemExit) as ended, exit_codes():
        raise error
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: memory ran out; ")


def test_an_error_of_the_program_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="unexpected"), exit_codes():
        raise RuntimeError("unexpected")
