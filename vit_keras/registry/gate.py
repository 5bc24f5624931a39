"""When a challenger may replace the champion: a gate, read from YAML, and its decision."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from vit_keras.config.yaml_file import read_fields
from vit_keras.errors import SettingError
from vit_keras.registry.measure import Measured
from vit_keras.validators import check_fields, setting

SURE = 0.05  # largest p-value of the sign test that a challenger is slower
WORSE = "worse"
OF_PREDICTIONS = ("accuracy", "worst class")  # checks of how often a model is right


@dataclass(frozen=True)
class Gate:
    """The limits of a challenger.

    Raises:
        SettingError: a value is out of its bounds.
    """

    max_p_value: float = setting(
        0.05,
        "Largest p-value of McNemar's exact test, one-sided, that the challenger is the better one "
        "on the same test images; 1 lets pass one that is no worse.",
        above=0,
        at_most=1,
    )
    min_accuracy: float = setting(
        0.0, "Lowest accuracy, also of the first champion.", at_least=0, at_most=1
    )
    max_worst_class_loss: float = setting(
        0.05, "Largest fall of the lowest recall of a class.", at_least=0, at_most=1
    )
    max_calibration_loss: float = setting(
        0.02, "Largest rise of the expected calibration error.", at_least=0, at_most=1
    )
    max_latency_ratio: float = setting(
        1.25, "Largest latency (95th percentile) relative to the champion's.", above=0
    )
    max_latency_ms: float | None = setting(
        None, "Largest latency (95th percentile) in milliseconds.", above=0, unset="no limit"
    )
    max_size_ratio: float = setting(
        1.5, "Largest size of the model's file relative to the champion's.", above=0
    )
    max_size_mb: float | None = setting(
        None, "Largest size of the model's file in MB.", above=0, unset="no limit"
    )

    def __post_init__(self) -> None:
        check_fields(self)


def read_gate(file: str | Path | None) -> Gate:
    """The gate in a YAML file; the default one without a file.

    Raises:
        SettingError: it cannot be read, or has an unknown name or a wrong value.
    """
    if file is None:
        return Gate()
    no_mapping = "is no list of limits; write max_p_value: 0.05"
    found = read_fields(file, Gate, f"gate={file}", no_mapping)
    try:
        return Gate(**found)
    except SettingError as error:
        raise SettingError(f"gate={file}: {error}") from None


@dataclass(frozen=True)
class Check:
    """One comparison: what was found, and whether it may pass."""

    name: str
    passed: bool
    figures: str


@dataclass(frozen=True)
class Decision:
    """All comparisons of a challenger with the champion."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """The figures of what did not pass."""
        return "; ".join(f"{one.name}: {one.figures}" for one in self.checks if not one.passed)

    @property
    def is_worse(self) -> bool:
        """Whether it is refused for being wrong more often, of all images or of those of a class.

        It may also be no better by more than chance, less calibrated, slow or large.
        """
        return any(
            not one.passed and (one.name in OF_PREDICTIONS or one.figures.startswith(WORSE))
            for one in self.checks
        )

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(check) for check in self.checks]


def mcnemar(challenger: np.ndarray, champion: np.ndarray) -> tuple[int, int, float]:
    """(n,) and (n,) bool, correct on the same images -> gained, lost, one-sided exact p-value.

    McNemar 1947: of the images that one of them alone gets right, half are the challenger's if both
    are equally good.
    """
    gained = int((challenger & ~champion).sum())
    lost = int((champion & ~challenger).sum())
    if not gained + lost:
        return gained, lost, 1.0
    return gained, lost, float(binomtest(gained, gained + lost, alternative="greater").pvalue)


def slower_rounds(ours: np.ndarray, theirs: np.ndarray, ratio: float) -> tuple[int, int]:
    """(rounds,) and (rounds,) milliseconds -> rounds in which ours took longer, and all of them.

    On a busy computer either may be the slower one in a round, but not in most of them.
    """
    return int((ours > ratio * theirs).sum()), len(ours)


def decide(gate: Gate, challenger: Measured, champion: Measured | None) -> Decision:
    """Hold a challenger to the limits, and to the champion if there is one."""
    checks = [
        _check(
            "accuracy",
            challenger.accuracy >= gate.min_accuracy,
            f"{challenger.accuracy:.4f} on {len(challenger.is_correct)} test images",
            f"at least {gate.min_accuracy:g}",
        ),
        _check(
            "test images",
            not challenger.trained_on,
            f"{challenger.trained_on} that the challenger was trained on",
            "0",
        ),
    ]
    if gate.max_latency_ms is not None:
        is_fast = challenger.latency_p95 <= gate.max_latency_ms
        found = f"p95 {challenger.latency_p95:.2f} ms"
        checks.append(_check("latency", is_fast, found, f"at most {gate.max_latency_ms:g} ms"))
    if gate.max_size_mb is not None:
        is_small = challenger.megabytes <= gate.max_size_mb
        found = f"{challenger.megabytes:.2f} MB"
        checks.append(_check("size", is_small, found, f"at most {gate.max_size_mb:g} MB"))
    if champion is not None:
        checks += _compared(gate, challenger, champion)
    return Decision(tuple(checks))


def _compared(gate: Gate, ours: Measured, theirs: Measured) -> list[Check]:
    gained, lost, p_value = mcnemar(ours.is_correct, theirs.is_correct)
    is_sure = p_value <= gate.max_p_value
    kind = WORSE if gained < lost else "better" if is_sure else "within noise"
    loss = theirs.worst_class - ours.worst_class
    rise = ours.calibration_error - theirs.calibration_error
    latencies = f"p95 {ours.latency_p95:.2f} ms against {theirs.latency_p95:.2f} ms"
    slower, rounds = slower_rounds(ours.latencies, theirs.latencies, gate.max_latency_ratio)
    larger = ours.megabytes / theirs.megabytes if theirs.megabytes else 1.0
    return [
        _check(
            "paired test",
            kind == "better",
            f"{kind}: {ours.accuracy:.4f} against {theirs.accuracy:.4f}, {gained} images gained "
            f"and {lost} lost, p={p_value:.3g}",
            f"p at most {gate.max_p_value:g}",
        ),
        _check(
            "worst class",
            loss <= gate.max_worst_class_loss,
            f"recall {ours.worst_class:.4f} ({ours.worst_name}) against {theirs.worst_class:.4f} "
            f"({theirs.worst_name})",
            f"at most {gate.max_worst_class_loss:g} lower",
        ),
        _check(
            "calibration",
            rise <= gate.max_calibration_loss,
            f"error {ours.calibration_error:.4f} against {theirs.calibration_error:.4f}",
            f"at most {gate.max_calibration_loss:g} higher",
        ),
        _check(
            "latency ratio",
            binomtest(slower, rounds, alternative="greater").pvalue > SURE,
            f"{latencies}, slower by more than that in {slower} of {rounds} rounds",
            f"at most {gate.max_latency_ratio:g} times",
        ),
        _check(
            "size ratio",
            larger <= gate.max_size_ratio,
            f"{ours.megabytes:.2f} MB against {theirs.megabytes:.2f} MB, {larger:.2f} times",
            f"at most {gate.max_size_ratio:g} times",
        ),
    ]


def _check(name: str, passed: bool, found: str, limit: str) -> Check:
    return Check(name, bool(passed), f"{found} ({limit})")
