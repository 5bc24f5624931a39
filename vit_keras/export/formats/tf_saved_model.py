"""A TensorFlow SavedModel, as TensorFlow Serving takes it: `<folder>/1/saved_model.pb`."""

from pathlib import Path
from typing import Any

import keras

from vit_keras.export.formats import Reader


def write(model: keras.Model, folder: Path, class_names: list[str]) -> None:
    """A SavedModel with the signatures `serve` and `serving_default`, and the labels inside."""
    import tensorflow as tf

    # Not by Keras' ExportArchive, which keeps each weight twice.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve = tf.function(function(model), input_signature=[signature(model)])
    signatures = dict.fromkeys(("serve", "serving_default"), module.serve)
    tf.saved_model.save(module, str(folder / "1"), signatures=signatures)
    # A SavedModel's own place for what its graph does not read.
    extra = folder / "1" / "assets.extra"
    extra.mkdir()
    (extra / "labels.txt").write_text("\n".join(class_names) + "\n", encoding="utf-8")


def reader(folder: Path) -> Reader:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder / "1"))
    serve = loaded.signatures["serving_default"]

    def predict(images: Any) -> Any:
        # Naming `loaded` keeps it: its variables go with it, and its functions with them.
        assert loaded is not None
        return serve(pixels=tf.constant(images))["probabilities"].numpy()

    return predict


def function(model: keras.Model) -> Any:
    """{"probabilities": (B, classes)} of (B, X, Y, C) uint8, by name for whoever calls it."""
    return lambda pixels: {"probabilities": model(pixels, training=False)}


def signature(model: keras.Model) -> Any:
    import tensorflow as tf

    return tf.TensorSpec(model.input_shape, tf.uint8, name="pixels")
