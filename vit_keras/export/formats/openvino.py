"""OpenVINO's IR, for Intel's processors: `model.xml`, and `model.bin` with the weights."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras

from vit_keras.export.formats import Reader, tf_saved_model


def write(model: keras.Model, folder: Path, class_names: list[str]) -> None:
    """The IR in float32; the labels are in its runtime information, as a JSON list."""
    openvino = _imported()
    with tempfile.TemporaryDirectory() as place:
        tf_saved_model.write(model, Path(place), class_names)
        converted = openvino.convert_model(str(Path(place, "1")))
        converted.set_rt_info(json.dumps(class_names), ["vit_keras", "labels"])
        openvino.save_model(converted, str(folder / "model.xml"), compress_to_fp16=False)


def _imported() -> Any:
    """OpenVINO, which reports nothing: else every conversion is told to Google Analytics.

    It does that from a fork, with which JAX's threads may deadlock; and does without the package
    that does it where there is none.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def reader(folder: Path) -> Reader:
    openvino = _imported()
    # Where a processor has bfloat16, OpenVINO computes in that unless told otherwise: twice as
    # fast, but then what differs is the arithmetic and not the file.
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(folder / "model.xml"), "CPU", precise)

    def predict(images: Any) -> Any:
        return compiled(images)["probabilities"]

    return predict
