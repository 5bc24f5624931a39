"""The model that `fit` trains: a ViT, and before it what happens to a batch on the device."""

from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.augment.pipeline import augment
from vit_keras.config import stages
from vit_keras.config.schema import AugmentConfig, Config
from vit_keras.config.stages import Stage
from vit_keras.data import input_pipeline
from vit_keras.data.dataset import Split
from vit_keras.model.preprocessing import OnBatches, to_model_input
from vit_keras.training import freezing
from vit_keras.training import optimizer as training_optimizer


class TrainingModel(keras.Model):
    """A ViT with what happens to a batch on the way to it, on the device.

    Takes (images, labels), (B, x, y, C) and (B,), and gives `logits` and `targets`, both
    (B, classes) float32. In training, targets are smoothed (Szegedy et al. 2016, section 7) and
    images augmented, which may mix both; images of another size than the ViT's are resized, and
    grey ones repeated over its three channels, always.

    Attributes:
        vit: from pixels to logits.
        augment_config: of the stage that is trained.
        on_features: the first input is what the head reads, (B, D), and not images.
    """

    def __init__(self, vit: keras.Model, config: Config, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vit = vit
        self.augment_config = config.augment
        self.on_features = False
        self.label_smoothing = config.optim.label_smoothing
        self.seed = keras.random.SeedGenerator(config.train.seed)

    def call(self, inputs, training=None):
        images, labels = inputs
        targets = ops.one_hot(labels, self.vit.output_shape[-1], dtype="float32")
        if training:
            uniform = self.label_smoothing / targets.shape[-1]
            targets = targets * (1 - self.label_smoothing) + uniform
        if self.on_features:
            logits = self.vit.get_layer("head")(images)
        else:
            images = ops.cast(images, "float32")
            if training:
                size = self.vit.input_shape[1:3]
                images, targets = augment(images, targets, self.augment_config, self.seed, size)
            logits = self.vit(to_model_input(images, self.vit.input_shape[1:]), training=training)
        return {"logits": logits, "targets": targets}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(
            x, y_pred["targets"], y_pred["logits"], sample_weight, training=training
        )

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y_pred["targets"], y_pred["logits"], sample_weight)

    def configure_stage(
        self, stage: Stage, config: Config, steps: int, first_steps: dict[str, int]
    ) -> None:
        """Compile for `stage`: freeze, and give what trains an optimizer.

        The optimizer goes on with the step count and the averages of the one before, for the
        variables that both train.

        Args:
            stage: whose layers, rate and augmentation hold from now on.
            config: the run's.
            steps: batches an epoch.
            first_steps: the steps of the run before each stage, up to this one, in order.
        """
        before = getattr(self, "optimizer", None)
        freezing.freeze(self.vit, stage)
        self.augment_config = config.augment if stage.augment else AugmentConfig()
        self.on_features = self.can_cache_features(stage)
        rate = training_optimizer.learning_rate_schedule(
            stage.optim, stage.epochs, steps, first_steps[stage.name]
        )
        paths = [variable.path for variable in self.vit.trainable_variables]
        is_joined = freezing.has_newly_trainable(self.vit, stages.plan(config), stage.name)
        shares = None
        if stage.layer_decay != 1:
            of_layer = freezing.layer_multipliers(self.vit, stage)
            shares = {path: of_layer[path.partition("/")[0]] for path in paths}
        optimizer = training_optimizer.build_optimizer(
            stage.optim, self.vit, rate, shares, is_joined
        )
        # Keras' own "auto" leaves XLA off on a CPU, where it makes a step about 8% faster; a head
        # alone would be compiled for longer than it is trained.
        jit_compile = str(config.train.jit_compile).lower() != "false" and not self.on_features
        self._compile(optimizer, jit_compile)
        self.optimizer.build(self.vit.trainable_variables)
        if before is not None:
            training_optimizer.transfer_optimizer_state(before, self.optimizer)

    def on_images(self) -> None:
        """Take images from now on, whatever the last stage took."""
        if self.on_features:
            self.on_features = False
            self._compile(self.optimizer, jit_compile=self.jit_compile)

    def _compile(self, optimizer: Any, jit_compile: bool) -> None:
        self.compile(
            optimizer=optimizer,
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile=jit_compile,
        )

    def can_cache_features(self, stage: Stage) -> bool:
        """Whether an image gives the head of this stage the same features each time."""
        dropouts = [part for part in self.vit._flatten_layers() if hasattr(part, "rate")]
        is_plain = self.augment_config == AugmentConfig()
        return stage.kind == "head" and is_plain and not any(part.rate for part in dropouts)

    def features(self, split: Split, batch_size: int) -> Split:
        """What the head reads of each image, (n, D), in the place of the images."""
        vit = self.vit
        backbone = keras.Model(vit.input, vit.get_layer("head").input)
        extract = OnBatches(backbone, dtype=self.dtype_policy, name="features")
        # In batches: the images of a large folder are decoded as they are read.
        values = extract.predict(
            input_pipeline.evaluation_batches(split, batch_size, prefetch=2), verbose=0
        )
        return Split(np.asarray(values, "float32"), split.labels)
