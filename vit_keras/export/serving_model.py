"""The model of a run for serving: (B, X, Y, C) uint8 -> calibrated probabilities (B, classes).

Of a run with a `data.value_range` pixels are float32 of 0 to 255.

B batch, K classes, D width of the features, which are what the classification head reads.
"""

from typing import Any

import keras
from keras import ops

from vit_keras.export.onnx_session import OOD_SCORE, PROBABILITIES
from vit_keras.model.vit import with_head_input
from vit_keras.runs.abstention import SMALLEST, Abstention
from vit_keras.runs.saved_run import SavedRun


def serving_model(saved: SavedRun, with_ood_score: bool = False) -> keras.Model:
    """The run's model in float32, followed by temperature scaling and a softmax.

    Of several labels each has a probability of its own, by a sigmoid.

    Args:
        saved: the run.
        with_ood_score: output a dictionary with the OOD scores (B,) beside the probabilities, if
            the run has what they take.
    """
    vit = in_float32(saved.model)
    pixels = keras.Input(vit.input_shape[1:], dtype=saved.image_input.dtype, name="pixels")
    if saved.is_multilabel:
        sigmoid = keras.layers.Activation("sigmoid", dtype="float32", name=PROBABILITIES)
        return keras.Model(pixels, sigmoid(vit(pixels)), name="serving")
    abstention = saved.abstention if with_ood_score else None
    logits, features = (vit(pixels), None) if abstention is None else with_head_input(vit)(pixels)
    # Guo et al. 2017: softmax(logits / T), with T fitted on the validation split.
    calibrated = keras.layers.Rescaling(1 / saved.temperature, dtype="float32")(logits)
    probabilities = keras.layers.Softmax(dtype="float32", name=PROBABILITIES)(calibrated)
    if abstention is None:
        return keras.Model(pixels, probabilities, name="serving")
    outputs = {PROBABILITIES: probabilities, OOD_SCORE: _ood_score(features, abstention)}
    return keras.Model(pixels, outputs, name="serving")


def _ood_score(features: Any, abstention: Abstention) -> Any:
    """(B, D) -> (B,), as `Abstention.distances`."""
    compare = keras.layers.Dense(len(abstention.bank), use_bias=False, name="training_images")
    squares = ops.sum(ops.square(features), axis=-1, keepdims=True)
    cosines = compare(features / ops.maximum(ops.sqrt(squares), SMALLEST))  # (B, M)
    compare.set_weights([abstention.bank.T])
    return 1 - ops.top_k(cosines, abstention.rank)[0][:, -1]


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
