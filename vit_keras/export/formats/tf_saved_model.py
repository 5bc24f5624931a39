"""A TensorFlow SavedModel in the layout of TensorFlow Serving: `<folder>/1/saved_model.pb`."""

from pathlib import Path
from typing import Any

import keras

from vit_keras.export import formats
from vit_keras.export.formats import Reader


def write(
    model: keras.Model, folder: Path, class_names: list[str], metadata: dict[str, Any]
) -> None:
    """A SavedModel with the signatures `serve` and `serving_default`.

    The labels and the image input are files inside, in `assets.extra`.
    """
    import tensorflow as tf

    # Not by Keras' ExportArchive, which stores each weight twice.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve = tf.function(function(model), input_signature=[signature(model)])
    signatures = dict.fromkeys(("serve", "serving_default"), module.serve)
    tf.saved_model.save(module, str(folder / "1"), signatures=signatures)
    # The folder of a SavedModel for files that its graph does not read.
    extra = folder / "1" / "assets.extra"
    extra.mkdir()
    for name, text in formats.metadata_files(class_names, metadata).items():
        (extra / name).write_text(text, encoding="utf-8")


def reader(folder: Path) -> Reader:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder / "1"))
    serve = loaded.signatures["serving_default"]

    def predict(images: Any) -> Any:
        # The name `loaded` keeps the model alive, without which its variables are deleted.
        assert loaded is not None
        return serve(pixels=tf.constant(images))["probabilities"].numpy()

    return predict


def function(model: keras.Model) -> Any:
    """Pixels (B, X, Y, C) -> {"probabilities": (B, classes)}, an output with a name."""
    return lambda pixels: {"probabilities": model(pixels, training=False)}


def signature(model: keras.Model) -> Any:
    import tensorflow as tf

    return tf.TensorSpec(model.input_shape, model.inputs[0].dtype, name="pixels")
