"""Whether a prediction is given or abstained from, at a coverage. Imports no Keras.

n images, K classes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vit_keras import validators
from vit_keras.errors import SettingError
from vit_keras.runs.abstention import ABSTENTION, MIN_IMAGES, OOD_QUANTILE, Abstention, check_level
from vit_keras.runs.saved_run import SavedRun

# Why a prediction abstains, the first that holds.
OUTLIER = "unlike the validation images"
NO_CLASS = "no class is probable enough"
SEVERAL = "several classes are possible"
NONE_OF_THESE = (OUTLIER, NO_CLASS)


@dataclass(frozen=True)
class Decision:
    """Whether to answer, see `Predictor.predict`.

    Attributes:
        classes: names of the classes in the conformal set, the most probable first.
        ood_score: distance of the image's features to those of training images.
        ood_percentile: the share of validation images, in percent, with no higher score.
        abstain: whether the prediction is not to be used.
        reason: why it abstains, `OUTLIER`, `NO_CLASS` or `SEVERAL`; empty if it does not.
    """

    classes: tuple[str, ...]
    ood_score: float
    ood_percentile: float
    abstain: bool
    reason: str


class Rule(NamedTuple):
    """How to decide: what the run abstains by, and the levels that were asked for."""

    abstention: Abstention
    coverage: float
    ood_quantile: float

    def decide(
        self, probabilities: np.ndarray, ood_scores: np.ndarray | None, class_names: list[str]
    ) -> list[Decision]:
        """Probabilities (n, K) and OOD scores (n,) of an engine -> a decision for each image."""
        assert ood_scores is not None, "an engine of a run that abstains computes them"
        found = self.abstention.decide(probabilities, ood_scores, self.coverage, self.ood_quantile)
        decided = []
        for index, row in enumerate(probabilities):
            order = np.argsort(-row, kind="stable")[: found.sets[index].sum()]
            reason = _reason(len(order), bool(found.outliers[index]))
            decided.append(
                Decision(
                    tuple(class_names[one] for one in order),
                    float(ood_scores[index]),
                    float(found.percentiles[index]),
                    bool(reason),
                    reason,
                )
            )
        return decided


def _reason(set_size: int, is_outlier: bool) -> str:
    if is_outlier:
        return OUTLIER
    return {0: NO_CLASS, 1: ""}.get(set_size, SEVERAL)


def check_calibrated(saved: SavedRun, calibrated: bool) -> None:
    """Refuse to leave out the temperature of a run that never has one.

    Raises:
        SettingError: it has several labels.
    """
    validators.check_bool("calibrated", calibrated)
    if not calibrated and saved.is_multilabel:
        raise SettingError(
            f"calibrated=False leaves out a temperature, and run={saved.path} is of "
            "task=multilabel, which has none; leave it out"
        )


def check_ood_score(has_ood_score: bool, coverage: float | None) -> None:
    """Refuse a coverage where no OOD scores are computed.

    Raises:
        SettingError: naming the coverage.
    """
    if coverage is not None and not has_ood_score:
        raise SettingError(
            f"coverage={coverage} needs OOD scores, which a file of 8 bits does not compute; leave "
            "it out, or take the onnx file"
        )


def rule(
    saved: SavedRun,
    coverage: float | None,
    ood_quantile: float | None,
    flip: bool,
    calibrated: bool = True,
) -> Rule | None:
    """The rule by which a run abstains; None without a coverage.

    Raises:
        SettingError: a level is outside of (0, 1), the run has several labels or is not calibrated
            for it, or the images are mirrored too or the temperature is left out, which it is not
            calibrated for.
    """
    if coverage is None:
        if ood_quantile is not None:
            raise SettingError(
                f"ood_quantile={ood_quantile} has no effect without a coverage; set that as well, "
                "such as coverage=0.95"
            )
        return None
    check_level("coverage", coverage)
    quantile = OOD_QUANTILE if ood_quantile is None else ood_quantile
    if flip:
        raise SettingError(
            f"coverage={coverage} is calibrated for images as they are, and not for their mean "
            "with mirror images; leave out flip"
        )
    if not calibrated:
        raise SettingError(
            f"coverage={coverage} is of calibrated probabilities; leave out calibrated=False"
        )
    if saved.is_multilabel:
        raise SettingError(
            f"coverage={coverage} is of a set with one true class, and run={saved.path} is of "
            "task=multilabel; leave it out"
        )
    if saved.abstention is None:
        raise SettingError(
            f"coverage={coverage} needs {ABSTENTION}, which run={saved.path} does not have yet: "
            f"evaluate it first (vit-keras evaluate {saved.path}), with {MIN_IMAGES} validation "
            "images or more"
        )
    saved.abstention.least_probability(coverage)  # refuse what there are too few images for
    saved.abstention.ood_limit(quantile)
    return Rule(saved.abstention, coverage, quantile)
