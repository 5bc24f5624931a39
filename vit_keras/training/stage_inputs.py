"""What a stage is trained and validated on: images, features or teacher's logits, and batches."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vit_keras.config.schema import Config
from vit_keras.data import device_resident
from vit_keras.data.dataset import Split, Splits
from vit_keras.data.input_pipeline import DataWait, evaluation_batches, training_batches
from vit_keras.logs import log
from vit_keras.training.training_model import TrainingModel


@dataclass(frozen=True)
class StageInputs:
    """Inputs of the current stage of a model, computed once.

    Attributes:
        config: of the run.
        train: what is trained on; of a frozen backbone its features.
        validation: what is validated on.
        repeats: copies of each image in a batch.
        alternates_flips: whether batches say which images are to be mirrored.
        teacher_logits: (n, classes) of the training images, where they are the same in each epoch.
    """

    config: Config
    train: Split
    validation: Split
    repeats: int
    alternates_flips: bool
    teacher_logits: np.ndarray | None

    def training_batches(self, epoch: int, step: int, steps: int, wait: DataWait) -> Any:
        """A stream from `step` of `epoch` on, both counted from 0; an epoch has `steps`."""
        return training_batches(
            self.train,
            self.config.train.batch_size,
            self.config.train.seed,
            epoch,
            self.config.data.prefetch,
            steps=steps,
            repeats=self.repeats,
            alternating_flip=self.alternates_flips,
            wait=wait,
            sampling=self.config.data.sampling,
            extra=self.teacher_logits,
            first_step=step,
        )

    def validation_batches(self) -> Any:
        config = self.config
        return evaluation_batches(self.validation, config.train.batch_size, config.data.prefetch)


def stage_inputs(config: Config, splits: Splits, model: TrainingModel) -> StageInputs:
    """Inputs of the stage that `model` is configured for."""
    size = config.train.batch_size
    train, validation = splits.train, splits.validation
    repeats, teacher_logits = model.augment_config.repeated_augmentation, None
    if teacher := model.cacheable_teacher:
        log.info("the teacher's logits of the training images are computed once and cached")
        teacher_logits = teacher.logits_of(train, size)
    if model.on_features:
        log.info("the frozen backbone's features are computed once and cached")
        train, validation = (model.features(split, size) for split in (train, validation))
        repeats = 1
    else:
        train = _resident(config, train, model)
    return StageInputs(config, train, validation, repeats, model.alternates_flips, teacher_logits)


def _resident(config: Config, train: Split, model: TrainingModel) -> Split:
    """The training split, with images on the device where `data.device_resident` keeps them."""
    if model.resident_images is None:
        if not device_resident.is_resident(config.data, train.images):
            return train
        log.info("%.0f MB of training images are kept on the device", train.images.nbytes / 1e6)
        model.resident_images = device_resident.ResidentImages(train.images)
    return Split(model.resident_images, train.labels)
