"""When a prediction of a run abstains: conformal sets of classes, and a distance on features.

An evaluation calibrates both on the validation split and writes `abstention.npz`. Imports no Keras.

n images, K classes, D width of the features, which are what the classification head reads, M
training images that are kept.
"""

import math
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vit_keras.errors import SettingError
from vit_keras.io.zip_files import UNREADABLE
from vit_keras.text import counted, first_line
from vit_keras.validators import Bounds, check_bounds, check_number

ABSTENTION = "abstention.npz"
COVERAGES = (0.90, 0.95, 0.99)  # that reports and exports state; others can be asked for
OOD_QUANTILE = 0.99  # by default 1% of images like those of the validation split are outliers
# Of the validation split. With fewer, one image in a hundred cannot be told from the others.
MIN_IMAGES = 100
RULE = (
    "abstain if the conformal set of classes does not hold exactly one, or if the OOD score is "
    "above the given quantile of those of the validation images"
)
# By which the engines may differ: an image on the threshold is the same to each of them.
ROUNDING = 1e-6  # of a probability and of an OOD score


SMALLEST = 1e-12  # length of a feature vector that is divided by


class Decisions(NamedTuple):
    """What n images are decided to be.

    Attributes:
        sets: (n, K) bool; the classes in the conformal set of each image.
        percentiles: (n,); percent of the validation images whose OOD score is not higher.
        outliers: (n,) bool; whether the OOD score is above the threshold.
        abstain: (n,) bool.
    """

    sets: np.ndarray
    percentiles: np.ndarray
    outliers: np.ndarray
    abstain: np.ndarray


@dataclass(frozen=True)
class Abstention:
    """What a run abstains by.

    Attributes:
        temperature: that the probabilities have been calibrated by.
        nonconformity: (n,) ascending; 1 - the probability of the true class of the validation
            images (the score of LAC: Sadinle et al. 2019, "Least Ambiguous Set-Valued
            Classifiers with Bounded Error Levels").
        ood_scores: (n,) ascending; `distances` of the validation images.
        bank: (M, D) float32; features of training images, each of length 1.
        rank: k; the score is the distance to the k-th nearest of the bank.
    """

    temperature: float
    nonconformity: np.ndarray
    ood_scores: np.ndarray
    bank: np.ndarray
    rank: int

    @property
    def images(self) -> int:
        """The number of validation images that it was calibrated on."""
        return len(self.nonconformity)

    def distances(self, features: np.ndarray) -> np.ndarray:
        """(n, D) -> (n,): 1 - the cosine of the k-th nearest training image, from 0 to 2.

        Half the squared distance of normalised features, whose order is that of the distance: Sun
        et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors", section 3.
        """
        cosines = unit_length(features) @ self.bank.T
        return 1 - np.partition(cosines, -self.rank, axis=-1)[:, -self.rank]

    def decide(
        self,
        probabilities: np.ndarray,
        ood_scores: np.ndarray,
        coverage: float,
        ood_quantile: float = OOD_QUANTILE,
    ) -> Decisions:
        """Probabilities (n, K) and OOD scores (n,) -> what each image is decided to be, by `RULE`.

        Raises:
            SettingError: a level is outside of (0, 1), or there are too few validation images.
        """
        sets = probabilities >= self.least_probability(coverage)
        outliers = ood_scores > self.ood_limit(ood_quantile)
        below = np.searchsorted(self.ood_scores, ood_scores, side="right")
        abstain = (sets.sum(axis=-1) != 1) | outliers
        return Decisions(sets, 100 * below / self.images, outliers, abstain)

    def least_probability(self, coverage: float) -> float:
        """The probability that a class in a conformal set has at least."""
        return 1 - conformal_quantile(self.nonconformity, coverage, "coverage") - ROUNDING

    def ood_limit(self, ood_quantile: float) -> float:
        """The OOD score above which an image is an outlier.

        Of images like those of the validation split, 1 - `ood_quantile` at most are (a conformal
        test: Bates et al. 2023, "Testing for Outliers with Conformal p-values").
        """
        return conformal_quantile(self.ood_scores, ood_quantile, "ood_quantile") + ROUNDING

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What an export states: the rule, and its thresholds for the usual levels."""
        possible = [level for level in COVERAGES if images_needed(level) <= self.images]
        return {
            "rule": RULE,
            "validation_images": self.images,
            "least_probability": {f"{one:g}": self.least_probability(one) for one in possible},
            "ood_score": f"1 - cosine of the features and those of training image {self.rank} by "
            f"nearness, of {len(self.bank):,}",
            "ood_quantile": OOD_QUANTILE,
            "ood_limit": self.ood_limit(OOD_QUANTILE),
        }


def unit_length(features: np.ndarray) -> np.ndarray:
    """(n, D) -> (n, D), each of length 1."""
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return features / np.maximum(lengths, SMALLEST)


def conformal_quantile(scores: np.ndarray, level: float, name: str) -> float:
    """(n,) ascending -> the ⌈(n + 1) level⌉-th smallest score.

    A new score of the same distribution is at most that with a probability of at least `level`
    (Vovk et al. 2005; split conformal prediction, Angelopoulos & Bates 2021, section 1).

    Raises:
        SettingError: `level`, called `name`, is outside of (0, 1), or too high for n scores.
    """
    check_level(name, level)
    images = len(scores)
    if (needed := images_needed(level)) > images:
        raise SettingError(
            f"{name}={level:g} needs {needed:,} validation images (n + 1 >= 1 / (1 - {name})), and "
            f"the run has {images:,}; use {math.floor(1000 * images / (images + 1)) / 1000:g} at "
            "most"
        )
    # Rounded: 0.9 * 10 is 9, and no more.
    return float(scores[math.ceil(round((images + 1) * level, 9)) - 1])


def check_level(name: str, level: Any) -> None:
    """Refuse a coverage or a quantile outside of (0, 1)."""
    bounds = Bounds(above=0, below=1)
    check_number(name, level, str(bounds))
    check_bounds(name, level, bounds)


def images_needed(level: float) -> int:
    """The number n of validation images with n + 1 >= 1 / (1 - level)."""
    return math.ceil(round(level / (1 - level), 6))


def read_abstention(run: Path, temperature: float) -> Abstention | None:
    """What the run abstains by; None before an evaluation, or if it had another temperature.

    Raises:
        SettingError: the file is damaged.
    """
    file = run / ABSTENTION
    if not file.is_file():
        return None
    try:
        with open(file, "rb") as stream, np.load(stream) as archive:
            arrays: dict[str, Any] = {one.name: archive[one.name] for one in fields(Abstention)}
    except UNREADABLE as error:
        raise SettingError(
            f"{file} is damaged ({first_line(error)}); evaluate the run again, or delete the file"
        ) from None
    numbers = {"temperature": float(arrays["temperature"]), "rank": int(arrays["rank"])}
    found = Abstention(**{**arrays, **numbers})
    return found if found.temperature == temperature else None


def write_abstention(file: Path, abstention: Abstention) -> None:
    """Write the arrays to `file`."""
    arrays = {field.name: getattr(abstention, field.name) for field in fields(Abstention)}
    with open(file, "wb") as stream:  # given a name, NumPy would add a suffix to it
        np.savez(stream, **arrays)


def too_few(images: int) -> str:
    """Why a run has no `abstention.npz`; empty if there are enough images."""
    if images >= MIN_IMAGES:
        return ""
    few = counted(images, "validation image[s] [is|are] too few")
    return f"{few} to calibrate it, which takes {MIN_IMAGES}"
