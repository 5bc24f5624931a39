"""OpenVINO's IR, for Intel's processors: `model.xml`, and `model.bin` with the weights."""

import json
import tempfile
from pathlib import Path
from typing import Any

import keras

from vit_keras.formats import Reader, tf_saved_model


def write(model: keras.Model, folder: Path, class_names: list[str]) -> None:
    """The IR in float32; the labels are in its runtime information, as a JSON list."""
    import openvino

    with tempfile.TemporaryDirectory() as place:
        tf_saved_model.write(model, Path(place), class_names)
        converted = openvino.convert_model(str(Path(place, "1")))
        converted.set_rt_info(json.dumps(class_names), ["vit_keras", "labels"])
        openvino.save_model(converted, str(folder / "model.xml"), compress_to_fp16=False)


def reader(folder: Path) -> Reader:
    import openvino

    # Where a processor has bfloat16, OpenVINO computes in that unless told otherwise: twice as
    # fast, but then what differs is the arithmetic and not the file.
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(folder / "model.xml"), "CPU", precise)

    def predict(images: Any) -> Any:
        return compiled(images)["probabilities"]

    return predict
