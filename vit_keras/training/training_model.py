"""The model that `fit` trains: targets and augmentation on the device, then the ViT."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras import backend
from vit_keras.augment.pipeline import augment
from vit_keras.config.schema import MULTILABEL, AugmentConfig, Config
from vit_keras.config.stages import Stage
from vit_keras.data.dataset import Split
from vit_keras.model.compiled_layers import compiled_layers
from vit_keras.model.distilled_head import DistilledHead
from vit_keras.model.preprocessing import OnBatches, to_model_input
from vit_keras.model.resolution import at_image_size
from vit_keras.training import freezing
from vit_keras.training import optimizer as training_optimizer
from vit_keras.training.average_precision import MeanAveragePrecision, label_accuracy
from vit_keras.training.class_scores import MONITORED, BalancedAccuracy, ClassScores
from vit_keras.training.combined_run import logits_of
from vit_keras.training.learning_rate import learning_rate_schedule
from vit_keras.training.loss import (
    build_loss,
    teacher_loss,
    weighted_images,
    weighted_labels,
)
from vit_keras.training.plan import TrainingPlan
from vit_keras.training.teacher import Teacher


class TrainingModel(keras.Model):
    """A ViT with the augmentation of its batches on the device.

    (images, labels), (B, x, y, C) and (B,), to `logits` and `targets`, both (B, classes) float32;
    with task=multilabel, labels are (B, classes) of 0 and 1. With an alternating flip, a third
    input (B,) says which images to mirror in training.

    In training, targets are smoothed (Szegedy et al. 2016, section 7) and images augmented. Always,
    images of another size than the ViT's are resized, and grey ones repeated over its channels. A
    stage may train on smaller images; in evaluation they always have the size of the saved model.

    Labels are an input of the model, and loss and metrics read `y_pred["targets"]` and never `y`:
    MixUp and CutMix change images and labels together inside the compiled step, and Keras passes
    the `y` of a data set to the loss unchanged.

    Class weights are weights of images, each by its label: w_y loss(smoothed target of y). Every
    loss is linear in the targets, so targets are weighted before they are mixed, which makes of
    two images lambda w_a loss(a) + (1 - lambda) w_b loss(b). They are of training alone: losses of
    validation and test are unweighted, and metrics always. Of several labels, they are weights of
    the targets: -w t log p - (1 - t) log(1 - p).

    With a teacher, the training loss is (1 - w) times that of the targets and w times that of the
    teacher's logits for the same augmented images, which have no class weights. Where images are
    not augmented, a third input, (B, classes), may hold these logits. Of a model with a
    distillation token, the class token's head learns the targets, and the other head the teacher's
    logits; without a teacher, their mean learns the targets, as in timm.

    Attributes:
        vit: pixels to logits.
        stage_vit: the same on images of the current stage's size.
        class_weights: (classes,) float32, of the training loss; None for no weights.
        teacher: what is learned from besides the labels, or None; w is `teacher_weight`.
        augment_config: the augmentation of the current stage.
        on_features: the first input is what the head reads, (B, D), and not images.
        resident_images: `ResidentImages`, if batches for training name images of it.
        compile_layers: in training, XLA compiles GELU and layer normalisations alone.
    """

    def __init__(
        self,
        vit: keras.Model,
        config: Config,
        class_weights: np.ndarray | None = None,
        teacher: Teacher | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # pixels and logits stay float32 under half precision
        self.vit = vit
        head = next((layer for layer in vit.layers if isinstance(layer, DistilledHead)), None)
        self.is_distilled = head is not None
        # In a namespace, which Keras does not look into: the variables are those of `vit`.
        self._stage = SimpleNamespace(head=None, whole=vit)
        if head is not None and teacher is not None:  # a head each learns from them
            self._stage = SimpleNamespace(head=head, whole=keras.Model(vit.input, head.input))
        self._stage.vit = self._stage.whole
        self.augment_config = config.augment
        self.on_features = False
        self.resident_images: Any = None
        is_tensorflow = keras.backend.backend() == "tensorflow"  # JAX compiles all of the step
        self.compile_layers = is_tensorflow and config.train.jit_compile == "layers"
        self.is_multilabel = config.task == MULTILABEL
        self.label_smoothing = config.optim.label_smoothing
        self.loss_config = config.loss
        self.class_weights = class_weights
        self.teacher = teacher
        self.teacher_weight = config.train.teacher_weight
        self.teacher_loss = teacher_loss(config.train, self.is_distilled)
        self.monitor = config.train.monitor
        self.seed = keras.random.SeedGenerator(config.train.seed)

    def call(self, inputs, training=None):
        images, labels, *third = inputs
        is_flipped, teacher_logits = (third, []) if self.alternates_flips else ([], third)
        targets = self._targets(labels, bool(training))
        has_two_heads = training and self._stage.head is not None
        if self.on_features:
            output = images if has_two_heads else self.vit.get_layer("head")(images)
        else:
            if self.resident_images is not None:
                images = self.resident_images.gather(images)
            images = ops.cast(images, "float32")
            vit = self.stage_vit if training else self.vit
            shape = vit.input_shape[1:]
            if training:
                images, targets = augment(
                    *(images, targets, self.augment_config, self.seed, shape[:2]),
                    is_flipped[0] if is_flipped else None,
                    backend.first_in_batch(images),
                )
            with compiled_layers(self.compile_layers and bool(training)):
                output = vit(to_model_input(images, shape), training=training)
                if training and self.teacher is not None and not teacher_logits:
                    teacher_logits = [self.teacher(images)]
        result = {**self._logits(output, has_two_heads), "targets": targets}
        if training and self.class_weights is not None:
            if self.is_multilabel:
                result["weighted_targets"] = self.class_weights * targets
            else:
                result["targets"], result["weighted_targets"] = ops.split(targets, 2, axis=-1)
        if teacher_logits:
            (result["teacher_logits"],) = teacher_logits
        return result

    def _logits(self, output: Any, has_two_heads: bool) -> dict[str, Any]:
        """`logits`, and those of each head where the output is what two heads read."""
        if not has_two_heads:
            return {"logits": output}
        head = self._stage.head
        of_class_token, of_distillation_token = head.logits_of_each(output)
        return {
            "logits": head(output),
            "class_logits": of_class_token,
            "distillation_logits": of_distillation_token,
        }

    def _targets(self, labels: Any, training: bool) -> Any:
        """Labels -> targets (B, classes); weighted by class, (B, 2 classes) with those beside."""
        if self.is_multilabel:
            one_hot = targets = ops.cast(labels, "float32")
            outcomes = 2  # of each label: it is there or not
        else:
            one_hot = targets = ops.one_hot(labels, self.vit.output_shape[-1], dtype="float32")
            outcomes = targets.shape[-1]
        if not training:
            return targets
        uniform = self.label_smoothing / outcomes
        targets = targets * (1 - self.label_smoothing) + uniform
        if self.class_weights is None or self.is_multilabel:
            return targets
        weights = ops.sum(one_hot * self.class_weights, axis=-1, keepdims=True)
        return ops.concatenate([targets, weights * targets], axis=-1)

    @property
    def stage_vit(self) -> keras.Model:
        return self._stage.vit

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        targets = y_pred["targets"]
        logits = y_pred.get("class_logits", y_pred["logits"])
        if "weighted_targets" in y_pred:
            weigh = weighted_labels if self.is_multilabel else weighted_images
            targets, logits, sample_weight = weigh(y_pred["weighted_targets"], targets, logits)
        loss = super().compute_loss(x, targets, logits, sample_weight, training=training)
        if "teacher_logits" not in y_pred:
            return loss
        taught = y_pred.get("distillation_logits", y_pred["logits"])
        of_teacher = self.teacher_loss(y_pred["teacher_logits"], taught)
        return (1 - self.teacher_weight) * loss + self.teacher_weight * of_teacher

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y_pred["targets"], y_pred["logits"], sample_weight)

    def fit(self, batches: Any, **settings: Any) -> Any:
        """Keras' own, with the error that ended it; the stream of batches ends with it."""
        try:
            return super().fit(batches, **settings)
        except TypeError as error:
            # On JAX, Keras then averages weights that are gone, and that error hides the cause.
            if error.__context__ is None or "'NoneType' object is not callable" not in str(error):
                raise
            raise error.__context__ from None
        finally:
            if hasattr(batches, "close"):  # a generator, whose thread ends
                batches.close()

    def configure_stage(self, stage: Stage, plan: TrainingPlan, first_step: int) -> None:
        """Freeze what `stage` does not train and compile the model for it.

        The new optimizer continues with the previous one's step count and moments, for the
        variables that both stages train.

        Args:
            stage: one of the plan's.
            plan: the run's.
            first_step: steps of the run before this stage.
        """
        previous_optimizer = getattr(self, "optimizer", None)
        freezing.freeze(self.vit, stage)
        size = stage.image_size or self.vit.input_shape[1:3]
        self._stage.vit = at_image_size(self._stage.whole, size)
        self.augment_config = plan.config.augment if stage.augment else AugmentConfig()
        self.on_features = self.can_cache_features(stage)
        optimizer = self._build_optimizer(stage, plan, first_step)
        self._compile(
            optimizer,
            self._use_xla(plan.config),
            *self._monitored(),
            steps=plan.steps_per_execution,
        )
        self.optimizer.build(self.vit.trainable_variables)
        if previous_optimizer is not None:
            training_optimizer.transfer_optimizer_state(previous_optimizer, self.optimizer)

    def use_images(self) -> None:
        """Take images from now on, also where the last stage was trained on features."""
        if self.on_features:
            self.on_features = False
            self._compile(
                self.optimizer,
                self.jit_compile,
                *self._monitored(),
                steps=self.steps_per_execution,
            )

    def _monitored(self) -> list[keras.metrics.Metric]:
        """The metric that `train.monitor` needs beside the accuracy, if it needs one."""
        classes = self.vit.output_shape[-1]
        return [MONITORED[self.monitor](classes)] if self.monitor in MONITORED else []

    def compile_for_evaluation(self, config: Config) -> ClassScores | None:
        """Take images, and count hits by class from now on; not where images have several labels.

        Computes as `evaluate_run` does: in half precision XLA rounds elsewhere.
        """
        self.on_features = False
        scores = None if self.is_multilabel else BalancedAccuracy(self.vit.output_shape[-1])
        is_off = str(config.train.jit_compile).lower() == "false"
        self._compile(self.optimizer, False if is_off else "auto", *([scores] if scores else []))
        return scores

    def _build_optimizer(self, stage: Stage, plan: TrainingPlan, first_step: int) -> Any:
        # By the plan, also where early stopping has shortened an earlier stage.
        begun = (stage.first_epoch - stage.schedule_start) * plan.steps_per_epoch
        peak = stage.optim.learning_rate * plan.rate_factor
        optim = replace(stage.optim, learning_rate=peak)
        schedule = learning_rate_schedule(
            optim, stage.schedule_epochs, plan.steps_per_epoch, first_step - begun
        )
        multipliers = None
        if stage.layer_decay != 1:
            multipliers = freezing.variable_multipliers(self.vit, stage)
        return training_optimizer.build_optimizer(
            stage.optim,
            self.vit,
            schedule,
            multipliers,
            freezing.has_newly_trainable(self.vit, plan.stages, stage.name),
        )

    def _use_xla(self, config: Config) -> bool:
        # Keras' own "auto" leaves XLA off on a CPU, where it makes a step about 8% faster. A head
        # alone would take longer to compile than to train. TensorFlow's strategies cannot use it.
        asked = str(config.train.jit_compile).lower()
        is_off = asked == "false" or self.compile_layers
        return not (is_off or self.on_features or self._has_strategy())

    @staticmethod
    def _has_strategy() -> bool:
        return keras.backend.backend() == "tensorflow" and backend.replicas() > 1

    def _compile(
        self,
        optimizer: Any,
        jit_compile: bool | str,
        *metrics: keras.metrics.Metric,
        steps: int = 1,
    ) -> None:
        self.compile(
            optimizer=optimizer,
            loss=build_loss(self.loss_config, self.is_multilabel),
            # Weighted, because batches that several devices share may be padded.
            weighted_metrics=[*self._scores(), *metrics],
            jit_compile=jit_compile,
            steps_per_execution=steps,
        )

    def _scores(self) -> list[keras.metrics.Metric]:
        """`accuracy`, and of several labels `map` too."""
        if self.is_multilabel:
            return [
                keras.metrics.MeanMetricWrapper(label_accuracy, name="accuracy"),
                MeanAveragePrecision(self.vit.output_shape[-1]),
            ]
        return [keras.metrics.CategoricalAccuracy(name="accuracy")]

    @property
    def alternates_flips(self) -> bool:
        """Whether the training batches have to say which images are to be mirrored."""
        return not self.on_features and self.augment_config.flip == "alternating"

    def can_cache_features(self, stage: Stage) -> bool:
        """Whether each epoch of this stage gives the head the same features of an image."""
        dropouts = [layer for layer in self.vit._flatten_layers() if hasattr(layer, "rate")]
        is_augmented = self.augment_config != AugmentConfig()
        return (
            stage.kind == "head"
            and not is_augmented
            and not any(layer.rate for layer in dropouts)
            and backend.process_count() == 1  # a process would have only its share of them
        )

    @property
    def cacheable_teacher(self) -> Teacher | None:
        """The teacher, if it has the same logits for an image in each epoch of this stage."""
        is_alone = backend.process_count() == 1
        return self.teacher if self.augment_config == AugmentConfig() and is_alone else None

    def features(self, split: Split, batch_size: int) -> Split:
        """The split with the features that the head reads, (n, D), instead of images."""
        vit = self.vit
        backbone = keras.Model(vit.input, vit.get_layer("head").input)
        extract = OnBatches(backbone, dtype=self.dtype_policy, name="features")
        # In batches: the images of a large folder are decoded as they are read.
        return Split(logits_of(extract, split, batch_size), split.labels)
