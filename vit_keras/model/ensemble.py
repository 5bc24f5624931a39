"""An ensemble as one model: the mean of its members' probabilities.

B batch, K classes, M members.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("vit_keras")
class LogMeanProbability(keras.layers.Layer):
    """M logits (B, K) -> the logarithm of their mean probability (B, K).

    log (1/M Σ softmax(z_m)): logits again, whose softmax is the mean of the members' softmax.
    """

    def call(self, logits: list[Any]) -> Any:
        logs = ops.log_softmax(ops.stack(logits), axis=-1)  # (M, B, K)
        largest = ops.max(logs, axis=0)
        total = ops.sum(ops.exp(logs - largest), axis=0)
        return largest + ops.log(total) - math.log(len(logits))


def members_of(model: keras.Model) -> list[keras.Model]:
    """The members of an ensemble; none of any other model."""
    if not any(isinstance(layer, LogMeanProbability) for layer in model.layers):
        return []
    return [layer for layer in model.layers if isinstance(layer, keras.Model)]


def build_ensemble(members: Mapping[str, keras.Model]) -> keras.Model:
    """One model of several: (B, X, Y, C) pixels -> (B, K) logits.

    Args:
        members: by their names in the ensemble, which they get; all of one input and of the same
            classes in order.
    """
    models = list(members.values())
    for name, model in members.items():
        model.name = name
    pixels = keras.Input(models[0].input_shape[1:], dtype=models[0].input.dtype, name="pixels")
    logits = LogMeanProbability(dtype="float32", name="mean")([model(pixels) for model in models])
    return keras.Model(pixels, logits, name="ensemble")
