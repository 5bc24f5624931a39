"""The model of a run for serving: (B, X, Y, C) uint8 -> calibrated probabilities (B, classes).

Of a run with a `data.value_range` pixels are float32 of 0 to 255.
"""

from typing import Any

import keras

from vit_keras.runs.saved_run import SavedRun


def serving_model(saved: SavedRun) -> keras.Model:
    """The run's model in float32, followed by temperature scaling and a softmax."""
    vit = in_float32(saved.model)
    pixels = keras.Input(vit.input_shape[1:], dtype=saved.image_input.dtype, name="pixels")
    logits = vit(pixels)
    # Guo et al. 2017: softmax(logits / T), with T fitted on the validation split.
    calibrated = keras.layers.Rescaling(1 / saved.temperature, dtype="float32")(logits)
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(calibrated)
    return keras.Model(pixels, probabilities, name="serving")


def in_float32(model: keras.Model) -> keras.Model:
    """The model itself if it computes in float32, otherwise a float32 copy with its weights.

    Half precision is for training on devices that support it; exported files run anywhere.
    """
    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model

    def clone(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy
