"""Figures as every page says them: shares in percent, and small numbers written out.

The command line and the files of a run keep fractions with four digits.
"""

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from vit_keras.config.schema import MULTILABEL
from vit_keras.runs import tables
from vit_keras.runs.accuracy import FEW_IMAGES
from vit_keras.runs.listing import IS_SHARE, images_of
from vit_keras.runs.status import RunState
from vit_keras.text import counted

EXPONENTIAL = re.compile(r"\d+(\.\d*)?[eE][+-]?\d{1,2}")
DECIMALS = 2  # of a percentage, at most: those that 10,000 images support
SMALLEST = 1e-6  # below it only that is said
ACCURACIES = ("best_val_accuracy", "test_accuracy")
MAPS = ("best_val_map", "test_map")
SMALL = 0.01  # below it a number keeps three digits instead of four decimals


def decimals(images: int | None) -> int:
    """Decimals of a percentage that tell one image from none: 0 up to 100 images, then 1, then 2.

    Of an unknown number of images, as in a run of an earlier version, it is the most.
    """
    if images is None:
        return DECIMALS
    return min(DECIMALS, max(0, math.ceil(math.log10(max(1, images))) - 2))


def rounded(share: float, images: int | None = None) -> float:
    """A share with the digits that `percent` shows; only a whole one becomes 1."""
    digits = decimals(images) + 2
    nearest = round(share, digits)
    return 1 - 10**-digits if share < 1 - SMALLEST and nearest >= 1 else nearest


def percent(share: float, images: int | None = None) -> str:
    """`89.22%` of 10,000 images, `93%` of 15; without zeros at the end."""
    text = f"{100 * rounded(share, images):.{decimals(images)}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def number(value: float) -> str:
    """A small number written out with three digits, such as 0.00000846, or `below 0.000001`."""
    if 0 < abs(value) < SMALLEST:
        return f"below {SMALLEST:f}"
    return _written_out(f"{value:.3g}")


def setting(value: Any) -> str:
    """The value of a setting; a number written out, as it can be typed too."""
    text = tables.format_setting(value)
    return _written_out(text) if isinstance(value, float) else text


def typed(text: str) -> str:
    """The value of a setting as it was typed; `5e-05` written out."""
    return _written_out(text) if EXPONENTIAL.fullmatch(text) else text


def _written_out(text: str) -> str:
    return format(Decimal(text), "f")


def metric(name: str, value: Any, images: int | None = None) -> str:
    """The value of a metric; empty for None.

    Args:
        name: such as `test_accuracy`.
        value: a share becomes a percentage.
        images: that it was measured on, if that is known.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and IS_SHARE.search(name):
        return percent(value, images)
    if isinstance(value, float) and 0 < abs(value) < SMALL:
        return number(value)
    return tables.format_metric(value)


def accuracy(share: float | None, images: int | None, is_counted: bool = True) -> str:
    """An accuracy; of few images with how many of them, `93%, 14 of 15 images`.

    Args:
        share: None gives an empty text.
        images: that it was measured on, if that is known.
        is_counted: whether it is the share of the images that are right, and no other score.
    """
    if share is None:
        return ""
    text = percent(share, images)
    if images is None or images >= FEW_IMAGES:
        return text
    of = f"{hits(share, images)} of " if is_counted and math.isfinite(share) else ""
    return f"{text}, {of}{counted(images, 'image[s]')}"


def hits(share: float, images: int) -> int:
    """The images that were classified correctly."""
    return round(share * images)


def certainty(share: float, interval: Sequence[float], images: int) -> str:
    """How far an accuracy can be trusted: `14 of 15 images, 95% interval 70% to 99%, ...`."""
    low, high = (percent(bound, images) for bound in interval)
    text = f"{hits(share, images):,} of {counted(images, 'image[s]')}, 95% interval {low} to {high}"
    return f"{text}, too few to tell" if images < FEW_IMAGES else text


def of_run(run: RunState, name: str) -> str:
    """A metric of a run; an accuracy of few images with how many of them."""
    value, images = run.metrics.get(name), images_of(run.metrics, name)
    if name not in (*ACCURACIES, *MAPS):
        return metric(name, value, images)
    is_multilabel = run.config is not None and run.config.task == MULTILABEL
    is_mean = "folds" in run.metrics  # over the folds of an ensemble
    return accuracy(value, images, name in ACCURACIES and not (is_multilabel or is_mean))
