"""A run's model as others are to call it: (B, X, Y, C) uint8 -> probabilities (B, classes)."""

from typing import Any

import keras

from vit_keras.runs.saved_run import SavedRun


def serving_model(saved: SavedRun) -> keras.Model:
    """The run's model in float32, with its temperature and a softmax behind it."""
    vit = in_float32(saved.model)
    pixels = keras.Input(vit.input_shape[1:], dtype="uint8", name="pixels")
    logits = vit(pixels)
    # Guo et al. 2017: logits divided by the temperature that fits the validation split best.
    calibrated = keras.layers.Rescaling(1 / saved.temperature, dtype="float32")(logits)
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(calibrated)
    return keras.Model(pixels, probabilities, name="serving")


def in_float32(model: keras.Model) -> keras.Model:
    """The model itself, or one of the same weights if it computes in half precision.

    Half precision is for training on devices that have it; exported files run anywhere.
    """
    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model

    def whole(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=whole)
    copy.set_weights(model.get_weights())
    return copy
