"""The distillation token, and the head of it and of the class token (DeiT).

Touvron et al. 2021, "Training data-efficient image transformers & distillation through attention"
(https://arxiv.org/abs/2012.12877), section 4. Letters: B batch, N tokens, D width, K classes.
"""

import keras
from keras import ops

from vit_keras.model.tokens import ClassToken

serializable = keras.saving.register_keras_serializable("vit_keras")


@serializable
class DistillationToken(ClassToken):
    """Prepend a learned distillation token: (B, N, D) -> (B, N + 1, D).

    The class token is prepended to it, so that it stands between that and the patches.
    """

    def build(self, input_shape):
        # Not zeros, with which the class token begins: alike, they would learn alike.
        self.token = self.add_weight(
            shape=(1, 1, input_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="distillation_token",
        )


@serializable
class DistilledPooling(keras.layers.Layer):
    """Class token and distillation token, side by side: (B, N, D) -> (B, 2 D)."""

    pool = "token"
    tokens = 2

    def call(self, tokens):
        return ops.concatenate([tokens[:, 0], tokens[:, 1]], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 2 * input_shape[-1])


@serializable
class DistilledHead(keras.layers.Layer):
    """The mean of two heads' logits, one of each token: (B, 2 D) -> (B, K).

    The paper adds the two softmaxes ("joint classifiers"); its code, timm and Hugging Face take the
    mean of the logits, which is what published weights are evaluated with.

    Args:
        units: K.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        width = input_shape[-1] // 2
        # Zeros, as of the head of one token: the initial loss is exactly log K.
        for name in ("", "distillation_"):
            shapes = {"kernel": (width, self.units), "bias": (self.units,)}
            for part, shape in shapes.items():
                weight = self.add_weight(shape=shape, initializer="zeros", name=name + part)
                setattr(self, name + part, weight)

    def call(self, features):
        of_class_token, of_distillation_token = self.logits_of_each(features)
        return (of_class_token + of_distillation_token) / 2

    def logits_of_each(self, features):
        """(B, 2 D) -> the logits of the class token's head and of the other's, (B, K) each."""
        features = ops.cast(features, self.compute_dtype)  # also where training calls this alone
        class_token, distillation_token = ops.split(features, 2, axis=-1)
        return (
            ops.matmul(class_token, self.kernel) + self.bias,
            ops.matmul(distillation_token, self.distillation_kernel) + self.distillation_bias,
        )

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}
