"""Export formats, one module each: how a model is written, and how the file is opened again.

Each module has `write(model, folder, class_names, metadata)`, which writes its file into the
folder, and `reader(folder)`, which opens it with the format's own runtime and returns a function of
images (B, X, Y, C) uint8 -> probabilities (B, classes). The file itself holds the labels and the
metadata: the description of its image input (`vit_keras.data.image_input`) and, of several labels,
the task and the thresholds. This module imports no Keras.

`keras.Model.export` was tried for the same formats and not taken: it writes no labels and does not
name the output. ViT-S/16 (Keras 3.15.1, TensorFlow 2.21, two shared CPU cores), ours and Keras':

    tf_saved_model    89 MB in 1.8 s, 178 MB in 8.4 s: it stores each weight twice
    litert            88 MB in 29 s, 88 MB in 22 s; 1.7 and 1.8 GB of memory
    openvino          88 MB in 9 s, 88 MB in 25 s; 1.3 and 1.2 GB; it leaves the telemetry on
    onnx              see `onnx.py`
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

LABELS = "labels.txt"
Reader = Callable[[Any], Any]
ONNX = {"onnx": "onnx", "onnxruntime": "onnxruntime", "tf2onnx": "tf2onnx"}
TENSORFLOW = {"tensorflow": "tensorflow"}


@dataclass(frozen=True)
class Format:
    """Properties of a format that are needed before it is written.

    Attributes:
        file: the file that the user opens, in the export's folder.
        purpose: what it is for, in a few words.
        packages: name for pip -> name to import, of each library that the format needs.
        tolerance: the largest difference of probabilities that counts as rounding; None for formats
            that lose precision by design.
        needs_tensorflow: whether it is written from TensorFlow's graph of the model.
        has_ood_score: whether the file has an output for it, and `write` takes the thresholds of
            abstention as its last argument.
    """

    file: str
    purpose: str
    packages: Mapping[str, str] = field(default_factory=dict)
    tolerance: float | None = 1e-4
    needs_tensorflow: bool = True
    has_ood_score: bool = False


FORMATS = {
    # TensorFlow Serving expects a folder per version.
    "tf_saved_model": Format("1", "TensorFlow Serving, and other TensorFlow programs", TENSORFLOW),
    "onnx": Format(
        "model.onnx",
        "most runtimes, on servers, desktops and in browsers; the fastest on a CPU",
        {**ONNX, **TENSORFLOW},
        has_ood_score=True,
    ),
    "onnx_int8": Format(
        "model.onnx",
        "the same with 8-bit integers: a quarter of the size, a little less accurate",
        {**ONNX, **TENSORFLOW},
        tolerance=None,
    ),
    "litert": Format(
        "model.tflite",
        "apps on phones and small devices (formerly TensorFlow Lite)",
        {"ai-edge-litert": "ai_edge_litert", **TENSORFLOW},
    ),
    "openvino": Format(
        "model.xml", "Intel CPUs, graphics and NPUs", {"openvino": "openvino", **TENSORFLOW}
    ),
    "keras_int8": Format(
        "model.keras",
        "Keras with 8-bit weights: a quarter of the size, a little less accurate",
        tolerance=None,
        needs_tensorflow=False,
    ),
}


def metadata_files(class_names: list[str], metadata: dict[str, Any]) -> dict[str, str]:
    """Name -> text of the files that a format with files inside holds."""
    lines = [" ".join(name.splitlines()) for name in class_names]  # a line for each class
    return {
        LABELS: "\n".join(lines) + "\n",
        **{
            f"{key}.json": json.dumps(value, indent=2, ensure_ascii=False) + "\n"
            for key, value in metadata.items()
        },
    }


def format_module(name: str) -> Any:
    """The module of the format `name`."""
    return importlib.import_module(f"vit_keras.export.formats.{name}")
