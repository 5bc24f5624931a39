"""Weights of the classes in the training loss (`train.class_weight`).

K classes with images, n_c images of class c, n of all. Of several labels, a weight is that of a
label that is there, and one that is not has weight 1.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from vit_keras.config.schema import Config
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.validators import check_choice, check_number

WORDS = ("none", "balanced", "effective")
SETTING = "train.class_weight"


def class_weights(
    config: Config, labels: np.ndarray, class_names: Sequence[str]
) -> np.ndarray | None:
    """Labels of the training images, (n,) or (n, K), -> (K,) float32 weights; None for no weights.

    balanced is n / (K n_c), as scikit-learn has it. effective is the inverse of the effective
    number of samples, (1 - beta) / (1 - beta^n_c) (Cui et al. 2019, eq. 2). Both have a mean of 1
    over the images, so that a learning rate goes on to fit; the paper's are of sum K. With
    beta = 0 effective is none, and for beta -> 1 balanced. Classes that a mapping does not name
    have weight 1.

    Of several labels, balanced is (n - n_c) / n_c, by which the label that is there weighs as much
    in all as the label that is not, and effective the ratio of the effective numbers of both.

    Raises:
        SettingError: as `check`.
    """
    asked = config.train.class_weight
    check(config, class_names)
    if asked == "none":
        return None
    if isinstance(asked, Mapping):
        own = {str(name): weight for name, weight in asked.items()}
        return np.array([own.get(name, 1.0) for name in class_names], "float32")
    beta = config.train.class_weight_beta

    def number(counts: np.ndarray) -> np.ndarray:
        return counts if asked == "balanced" else (1 - beta**counts) / (1 - beta)

    weights = np.ones(len(class_names))
    if labels.ndim == 2:
        there = labels.sum(axis=0, dtype="float64")
        both = (there > 0) & (there < len(labels))
        weights[both] = number(len(labels) - there[both]) / number(there[both])
        return weights.astype("float32")
    counts = np.bincount(labels[labels >= 0], minlength=len(class_names)).astype("float64")
    present = counts > 0
    weights[present] = 1 / number(counts[present])
    weights[present] *= counts.sum() / (counts * weights).sum()
    return weights.astype("float32")


def check(config: Config, class_names: Sequence[str] | None) -> None:
    """Refuse weights that are none, or of no class.

    Args:
        config: of the run.
        class_names: None where they are not known yet.

    Raises:
        SettingError: naming the class, or what else is wrong.
    """
    asked, sampling = config.train.class_weight, config.data.sampling
    if not isinstance(asked, Mapping):
        check_choice(SETTING, asked, WORDS)
        if asked != "none" and sampling != "none":
            raise SettingError(
                f"{SETTING}={asked} and data.sampling={sampling} would make up for the same "
                "imbalance twice; set one of them to none"
            )
        return
    own = {str(name): weight for name, weight in asked.items()}
    for name, weight in own.items():
        setting = f"{SETTING} of {name}"
        if class_names is not None and name not in class_names:
            raise SettingError(
                f"{setting}={weight}: {name} is no class of these data"
                f"{did_you_mean(name, class_names)}"
            )
        check_number(setting, weight, "a number above 0")
        if weight <= 0:
            raise SettingError(
                f"{setting}={weight} would leave the class untrained; use a number above 0, or "
                "leave the class out by data.classes"
            )
    if class_names is not None and len({own.get(name, 1) for name in class_names}) == 1:
        raise SettingError(
            f"{SETTING}={dict(asked)} has no effect: every class has the same weight; leave it "
            "out, or set balanced"
        )


def describe(weights: np.ndarray, class_names: Sequence[str]) -> str:
    """`cat 0.51, dog 25.5`: the weights of the classes, the largest first, ten at most."""
    order = np.argsort(-weights, kind="stable")
    shown = ", ".join(f"{class_names[index]} {weights[index]:.3g}" for index in order[:10])
    return shown if len(order) <= 10 else f"{shown}, ..., down to {weights.min():.3g}"
