"""An ONNX file opened by ONNX Runtime: pixels in, probabilities and OOD scores out.

Imports no Keras.
"""

import importlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vit_keras.errors import SettingError
from vit_keras.io import parallel
from vit_keras.text import first_line

# Names of the input and of the outputs; the OOD score is there if the run has been evaluated.
PIXELS, PROBABILITIES, OOD_SCORE = "pixels", "probabilities", "ood_score"
ERRORS_ONLY = 3  # of ONNX Runtime's severities


def import_onnxruntime() -> Any:
    """Import ONNX Runtime without its telemetry.

    From 1.31 on it keeps an identifier of the machine and a record of its use in ~/.cache/Microsoft
    and sends them to Microsoft, unless the environment forbids it before the library is loaded.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")


class Outputs(NamedTuple):
    """Of B images: probabilities (B, classes), and OOD scores (B,) or None, both float32."""

    probabilities: np.ndarray
    ood_scores: np.ndarray | None


class OnnxSession:
    """The model in an ONNX file of ours.

    Attributes:
        input_shape: (X, Y, C) of its input.
        classes: length of its output.
    """

    def __init__(self, file: Path, threads: int | None = None) -> None:
        """Open a file.

        Args:
            file: the ONNX file.
            threads: those that compute; by default as many as this process has CPU cores, which
                may be fewer than those of the machine.

        Raises:
            SettingError: it cannot be opened, or is of another program.
        """
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or parallel.available_cores()
        # Waiting threads would take the cores of those that decode images.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Files of version 0.1 have weights of 8 bits, whose sums overflow without VNNI otherwise.
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.log_severity_level = ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
            shapes = {
                value.name: value.shape
                for value in (*self._session.get_inputs(), *self._session.get_outputs())
            }
            rows, columns, channels = map(int, shapes[PIXELS][1:])
            self.classes = int(shapes[PROBABILITIES][-1])
            self._names = [name for name in (PROBABILITIES, OOD_SCORE) if name in shapes]
        except Exception as error:  # those of ONNX Runtime share no base class
            raise SettingError(
                f"{file} cannot be opened ({_reason(error)}); export again"
            ) from None
        self.input_shape = (rows, columns, channels)

    def outputs(self, images: np.ndarray) -> Outputs:
        """Pixels (B, X, Y, C) of the dtype of the run, any B -> probabilities and OOD scores."""
        found = self._session.run(self._names, {PIXELS: images})
        return Outputs(found[0], found[1] if len(found) > 1 else None)


def _reason(error: Exception) -> str:
    """`[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from x failed` -> its last part."""
    if isinstance(error, KeyError | TypeError | ValueError | IndexError):
        return "it is no export of a run"
    return first_line(error).rpartition(" : ")[2]
