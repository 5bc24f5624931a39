"""The model that `fit` trains: a ViT, and before it what happens to a batch on the device."""

from typing import Any

import keras
from keras import ops

from vit_keras import checks, optim, variants
from vit_keras.augment import augment, resize
from vit_keras.config import Config
from vit_keras.data import Splits
from vit_keras.vit import build_vit


class TrainingModel(keras.Model):
    """A ViT with what happens to a batch on the way to it, on the device.

    Takes (images, labels), (B, x, y, C) and (B,), and gives `logits` and `targets`, both
    (B, classes) float32. In training, images are augmented and targets smoothed (Szegedy et al.
    2016, section 7); images of another size than the ViT's are resized, always.
    """

    def __init__(self, vit: keras.Model, config: Config, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vit = vit
        self.augment_config = config.augment
        self.label_smoothing = config.optim.label_smoothing
        self.seed = keras.random.SeedGenerator(config.train.seed)

    def call(self, inputs, training=None):
        images, labels = inputs
        targets = ops.one_hot(labels, self.vit.output_shape[-1], dtype="float32")
        images = ops.cast(images, "float32")
        if training:
            images = augment(images, self.augment_config, self.seed)
            uniform = self.label_smoothing / targets.shape[-1]
            targets = targets * (1 - self.label_smoothing) + uniform
        size = self.vit.input_shape[1:3]
        if images.shape[1:3] != size:
            images = resize(images, size)
        return {"logits": self.vit(images, training=training), "targets": targets}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(
            x, y_pred["targets"], y_pred["logits"], sample_weight, training=training
        )

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y_pred["targets"], y_pred["logits"], sample_weight)


def training_model(config: Config, splits: Splits, policy: str) -> TrainingModel:
    """The compiled model that `fit` trains, its optimizer built.

    Args:
        config: a checked configuration.
        splits: gives the channels, the classes and the number of steps.
        policy: the Keras dtype policy that it computes in.
    """
    arch = checks.architecture(config.model)
    vit = build_vit(
        None,
        image_size=checks.image_size(config.data),
        num_classes=len(splits.class_names),
        channels=splits.train.images.shape[-1],
        dtype=policy,
        name=f"vit_{config.model.variant or config.name}",
        **variants.as_overrides(arch),
    )
    model = TrainingModel(vit, config, dtype=policy, name="training")
    steps = checks.steps(config, len(splits.train.labels))
    rate = optim.learning_rate(config.optim, config.train.epochs, steps)
    model.compile(
        optimizer=optim.optimizer(config.optim, vit, rate),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        # Keras' own "auto" leaves XLA off on a CPU, where it makes a step about 8% faster.
        jit_compile=str(config.train.jit).lower() != "false",
    )
    model.optimizer.build(vit.trainable_variables)
    return model
