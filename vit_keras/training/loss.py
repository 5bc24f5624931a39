"""The loss that a configuration names: one of Keras' own."""

from collections.abc import Callable

import keras

from vit_keras.config.schema import LossConfig

# Each takes targets and logits, both (B, K), and is linear in the targets.
LOSSES: dict[str, Callable[[LossConfig], keras.losses.Loss]] = {
    "cross_entropy": lambda _: keras.losses.CategoricalCrossentropy(from_logits=True),
    # Lin et al. 2017, eq. 4: without their alpha, which is the same for every class here.
    "focal": lambda loss: keras.losses.CategoricalFocalCrossentropy(
        alpha=1.0, gamma=loss.gamma, from_logits=True
    ),
}


def build_loss(config: LossConfig) -> keras.losses.Loss:
    """The mean over a batch of the loss of (B, K) targets and (B, K) logits."""
    return LOSSES[config.name](config)
