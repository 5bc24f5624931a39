"""LiteRT (formerly TensorFlow Lite), for phones and embedded boards."""

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras

from vit_keras.export import formats
from vit_keras.export.formats import Reader, tf_saved_model


def write(
    model: keras.Model, folder: Path, class_names: list[str], metadata: dict[str, Any]
) -> None:
    """`model.tflite`, of built-in LiteRT operations only: none needs TensorFlow on the device.

    The labels and the image input are files in it, as TensorFlow Lite's metadata has them: a zip
    behind the model, which any zip program opens.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as place:
        tf_saved_model.write(model, Path(place), class_names, metadata)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(Path(place, "1")))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        (folder / "model.tflite").write_bytes(converter.convert())
    with zipfile.ZipFile(folder / "model.tflite", "a") as archive:
        for name, text in formats.metadata_files(class_names, metadata).items():
            archive.writestr(name, text)


def reader(folder: Path) -> Reader:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(folder / "model.tflite")).get_signature_runner()

    def predict(images: Any) -> Any:
        return run(pixels=images)["probabilities"]

    return predict
