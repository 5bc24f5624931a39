"""The losses that a configuration names: Keras' own, the asymmetric loss, those of a teacher."""

from collections.abc import Callable

import keras
from keras import ops

from vit_keras.config.schema import LossConfig, TrainConfig
from vit_keras.training.teacher_checks import teacher_labels

# Each takes targets and logits, both (B, K), and is linear in the targets.
LOSSES: dict[str, Callable[[LossConfig], keras.losses.Loss]] = {
    "cross_entropy": lambda _: keras.losses.CategoricalCrossentropy(from_logits=True),
    # Lin et al. 2017, eq. 4: without their alpha, which is the same for every class here.
    "focal": lambda loss: keras.losses.CategoricalFocalCrossentropy(
        alpha=1.0, gamma=loss.gamma, from_logits=True
    ),
}


class AsymmetricLoss(keras.losses.Loss):
    """Asymmetric loss of several labels (Ridnik et al. 2021, eq. 5-7), their mean as in Keras' own.

    Of a label with probability p, -y log p - (1 - y) q^gamma log(1 - q), where q = max(p - m, 0):
    labels that are absent and predicted well count less, and not at all below the margin m. Labels
    that are present all count alike, as in the paper's experiments.

    Args:
        gamma: the focusing parameter of absent labels.
        margin: m.
    """

    def __init__(self, gamma: float, margin: float, name: str = "asymmetric", **kwargs) -> None:
        super().__init__(name=name, **kwargs)
        self.gamma, self.margin = gamma, margin

    def call(self, y_true, y_pred):
        """(B, K) targets and logits -> (B,)."""
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        shifted = ops.maximum(ops.sigmoid(y_pred) - self.margin, 0.0)
        absent = ops.power(shifted, self.gamma) * ops.log(ops.maximum(1 - shifted, 1e-7))
        return -ops.mean(y_true * ops.log_sigmoid(y_pred) + (1 - y_true) * absent, axis=-1)


# The same of several labels, each of which is there or not.
MULTILABEL_LOSSES: dict[str, Callable[[LossConfig], keras.losses.Loss]] = {
    "cross_entropy": lambda _: keras.losses.BinaryCrossentropy(from_logits=True),
    "focal": lambda loss: keras.losses.BinaryFocalCrossentropy(gamma=loss.gamma, from_logits=True),
    "asymmetric": lambda loss: AsymmetricLoss(loss.gamma, loss.margin),
}


def build_loss(config: LossConfig, is_multilabel: bool = False) -> keras.losses.Loss:
    """The mean over a batch of the loss of (B, K) targets and (B, K) logits.

    Args:
        config: of the loss.
        is_multilabel: whether an image has several labels; then also the mean over labels.
    """
    return (MULTILABEL_LOSSES if is_multilabel else LOSSES)[config.name](config)


class DistillationLoss(keras.losses.Loss):
    """Knowledge distillation (Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531).

    T^2 KL(softmax(t / T) || softmax(z / T)) of the logits t of a teacher and z of the model that it
    teaches, in the mean over the batch. T^2 makes up for gradients that are 1 / T^2 as large
    (section 2), so that T can be changed without changing the share of this loss.

    Args:
        temperature: T.
    """

    def __init__(self, temperature: float, name: str = "distillation", **kwargs) -> None:
        super().__init__(name=name, **kwargs)
        self.temperature = temperature

    def call(self, y_true, y_pred):
        """(B, K) logits of the teacher, and (B, K) logits -> (B,)."""
        teacher, student = (
            ops.log_softmax(ops.cast(logits, "float32") / self.temperature, axis=-1)
            for logits in (y_true, y_pred)
        )
        divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
        return self.temperature**2 * divergence


class HardDistillationLoss(keras.losses.Loss):
    """Hard-label distillation (Touvron et al. 2021, https://arxiv.org/abs/2012.12877, eq. 3).

    The cross-entropy with the most probable class of the teacher, in the mean over the batch. The
    paper does not smooth these labels.
    """

    def __init__(self, name: str = "hard_distillation", **kwargs) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """(B, K) logits of the teacher, and (B, K) logits -> (B,)."""
        labels = ops.argmax(y_true, axis=-1)
        return keras.losses.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)


# By `train.teacher_labels`; each takes the teacher's logits and those of the model, both (B, K).
TEACHER_LOSSES: dict[str, Callable[[TrainConfig], keras.losses.Loss]] = {
    "soft": lambda train: DistillationLoss(train.teacher_temperature),
    "hard": lambda _: HardDistillationLoss(),
}


def teacher_loss(train: TrainConfig, is_distilled: bool) -> keras.losses.Loss:
    """What a model loses by other logits than its teacher's.

    Args:
        train: of the run.
        is_distilled: whether the model has a distillation token, of which `auto` depends.
    """
    return TEACHER_LOSSES[teacher_labels(train, is_distilled)](train)


def weighted_images(weighted, targets, logits):
    """The arguments of a loss of images that have weights: (targets, logits, weights (B,)).

    Args:
        weighted: w t, (B, K), of weights w and targets t that sum to 1, mixed or not.
        targets, logits: (B, K).
    """
    # As distributions and weights: TensorFlow's gradient of the cross-entropy is wrong for targets
    # of another sum than 1. Keras divides by the images, not by their weights, so that accumulated
    # batches make up one large batch.
    weights = ops.sum(weighted, axis=-1)
    return weighted / ops.maximum(weights, 1e-12)[:, None], logits, weights


def weighted_labels(weighted, targets, logits):
    """The same of several labels, each as an image of its own: (B K, 1), (B K, 1), (B K,).

    Args:
        weighted: w t, (B, K), of weights w of the labels that are there and targets t of 0 to 1.
        targets, logits: (B, K).
    """
    weights = weighted + 1 - targets  # w t + 1 - t
    targets = ops.reshape(weighted / weights, (-1, 1))
    return targets, ops.reshape(logits, (-1, 1)), ops.reshape(weights, (-1,))
