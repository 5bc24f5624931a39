"""Overfit a few batches (`train.overfit_batches`): a model that cannot points to a bug.

The model is unchanged, dropout included. Augmentation, mixing, repeated augmentation, label
smoothing and the teacher are off, and the validation images are the training images.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from vit_keras.config.schema import AugmentConfig, Config
from vit_keras.data.dataset import Splits
from vit_keras.data.stratify import stratified_sample
from vit_keras.logs import log
from vit_keras.text import counted

OVERFIT_ACCURACY = 0.99  # on the training images, from which on they count as memorised


def disable_regularisation(config: Config) -> Config:
    """Switch off augmentation, label smoothing and the teacher under `train.overfit_batches`."""
    if config.train.overfit_batches is None:
        return config
    optim = replace(config.optim, label_smoothing=0.0)
    train = replace(config.train, teacher=None)
    return replace(config, augment=AugmentConfig(), optim=optim, train=train)


def select_overfit_batches(splits: Splits, config: Config) -> Splits:
    """Train and validate on `train.overfit_batches` batches of the training images."""
    count = config.train.overfit_batches
    if count is None:
        return splits
    images = count * config.train.batch_size
    rng = np.random.default_rng([config.train.seed, 2])
    chosen = stratified_sample(splits.train.labels, images, rng)
    train, files = splits.train.take(chosen), splits.train_files
    train_files = None if files is None else files.take(chosen)
    return replace(splits, train=train, validation=train, train_files=train_files)


def warn_if_not_overfit(config: Config, rows: list[dict[str, Any]]) -> None:
    """Warn, and say where to look, if the last epoch's training accuracy is not near 1."""
    if config.train.overfit_batches is None or rows[-1]["accuracy"] >= OVERFIT_ACCURACY:
        return
    log.warning(
        "train.overfit_batches=%d: the training accuracy is %.4f after %s, below %g. "
        "Look at the labels first (are images and labels in the same order? does an image appear "
        "under two labels?), then try another optim.learning_rate, model.dropout=0 and more "
        "epochs; otherwise the model is too small, or there is a bug",
        *(config.train.overfit_batches, rows[-1]["accuracy"]),
        *(counted(len(rows), "epoch[s]"), OVERFIT_ACCURACY),
    )
