"""OpenVINO IR for Intel processors: `model.xml`, and `model.bin` with the weights."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras

from vit_keras.export.formats import Reader, tf_saved_model


def write(
    model: keras.Model, folder: Path, class_names: list[str], metadata: dict[str, Any]
) -> None:
    """The IR in float32, with labels and metadata in JSON in its runtime information."""
    openvino = _imported()
    with tempfile.TemporaryDirectory() as place:
        tf_saved_model.write(model, Path(place), class_names, metadata)
        converted = openvino.convert_model(str(Path(place, "1")))
        converted.set_rt_info(json.dumps(class_names), ["vit_keras", "labels"])
        for key, value in metadata.items():
            converted.set_rt_info(json.dumps(value), ["vit_keras", key])
        openvino.save_model(converted, str(folder / "model.xml"), compress_to_fp16=False)


def _imported() -> Any:
    """Import OpenVINO without its telemetry package, which it can do without.

    The telemetry reports every conversion to Google Analytics, from a fork, which may deadlock with
    the threads of JAX.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def reader(folder: Path) -> Reader:
    openvino = _imported()
    # On processors with bfloat16 OpenVINO computes in bfloat16 by default: twice as fast, but the
    # comparison with Keras would then measure the arithmetic and not the file.
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(folder / "model.xml"), "CPU", precise)

    def predict(images: Any) -> Any:
        return compiled(images)["probabilities"]

    return predict
