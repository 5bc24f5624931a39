"""`train.overfit_batches`: a model that cannot learn a few images by heart has a bug somewhere.

The model stays as it is, dropout included. What makes training harder on purpose is off:
augmentation, mixing, repeated copies and label smoothing; it is validated on what it is trained on.
"""

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from vit_keras.config.schema import AugmentConfig, Config
from vit_keras.data.dataset import Splits, stratified_sample

log = logging.getLogger("vit_keras")

LEARNT = 0.99  # training accuracy


def disable_regularisation(config: Config) -> Config:
    """The configuration without what would keep a sound model from learning by heart."""
    if config.train.overfit_batches is None:
        return config
    optim = replace(config.optim, label_smoothing=0.0)
    return replace(config, augment=AugmentConfig(), optim=optim)


def select_overfit_batches(splits: Splits, config: Config) -> Splits:
    """So many batches of the training images, as training and as validation split."""
    count = config.train.overfit_batches
    if count is None:
        return splits
    images = count * config.train.batch_size
    rng = np.random.default_rng([config.train.seed, 2])
    train = splits.train.take(stratified_sample(splits.train.labels, images, rng))
    return replace(splits, train=train, validation=train)


def warn_if_not_overfit(config: Config, rows: list[dict[str, Any]]) -> None:
    """Say where to look when the last epoch was not near all right."""
    if config.train.overfit_batches is None or rows[-1]["accuracy"] >= LEARNT:
        return
    log.warning(
        "train.overfit_batches=%d: %.4f of so few images are learnt after %d epochs, below %g. "
        "Look at the labels first (are images and labels in one order? is one image there under "
        "two labels?), then try another optim.learning_rate, model.dropout=0 and more epochs; "
        "what is left is a model that is too small, or a bug",
        *(config.train.overfit_batches, rows[-1]["accuracy"], len(rows), LEARNT),
    )
