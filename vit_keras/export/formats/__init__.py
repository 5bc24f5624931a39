"""The formats that a model is exported to, a room each: how it is written, and how it is opened.

A room has `write(model, folder, class_names)`, which puts its file into the folder, and
`reader(folder)`, which opens it with the format's own runtime and gives a function of images
(B, X, Y, C) uint8 -> probabilities (B, classes). Nothing here imports Keras before that.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Reader = Callable[[Any], Any]
ONNX = {"onnx": "onnx", "onnxruntime": "onnxruntime", "tf2onnx": "tf2onnx"}
TENSORFLOW = {"tensorflow": "tensorflow"}


@dataclass(frozen=True)
class Format:
    """What is known of a format before it is written.

    Attributes:
        file: what the user opens, in the export's folder.
        packages: name for pip -> name to import, of each library that it needs.
        tolerance: the largest difference of probabilities that is no loss; None where there is one
            by design.
        needs_tensorflow: it is written from TensorFlow's graph of the model.
    """

    file: str
    packages: Mapping[str, str] = field(default_factory=dict)
    tolerance: float | None = 1e-4
    needs_tensorflow: bool = True


FORMATS = {
    "tf_saved_model": Format("1", TENSORFLOW),  # the version, a folder, as TensorFlow Serving asks
    "onnx": Format("model.onnx", {**ONNX, **TENSORFLOW}),
    "onnx_int8": Format("model.onnx", {**ONNX, **TENSORFLOW}, tolerance=None),
    "litert": Format("model.tflite", {"ai-edge-litert": "ai_edge_litert", **TENSORFLOW}),
    "openvino": Format("model.xml", {"openvino": "openvino", **TENSORFLOW}),
    "keras_int8": Format("model.keras", tolerance=None, needs_tensorflow=False),
}


def format_module(name: str) -> Any:
    """The module of the format `name`."""
    return importlib.import_module(f"vit_keras.export.formats.{name}")
