"""The gate: a challenger that is worse, within noise, slower, or too large is refused."""

import numpy as np
import pytest

from vit_keras import SettingError
from vit_keras.registry.gate import Gate, decide, mcnemar, read_gate
from vit_keras.registry.measure import Measured


def measured(wrong, **figures):
    """1,000 test images, of which those from `wrong` to the next multiple of 100 are missed."""
    is_correct = np.ones(1000, bool)
    is_correct[wrong] = False
    usual = dict(
        worst_class=0.8,
        worst_name="cat",
        calibration_error=0.02,
        latencies=np.full(20, 10.0),
        megabytes=40.0,
        trained_on=0,
    )
    return Measured(is_correct, float(is_correct.mean()), **{**usual, **figures})


CHAMPION = measured(slice(0, 100))
BETTER = slice(0, 50)  # right on 50 images more, and wrong on none that the champion has right


def test_mcnemar_is_the_exact_binomial_test():
    """As `statsmodels.stats.contingency_tables.mcnemar(..., exact=True)`, of which it is a half."""
    ours, theirs = np.zeros((2, 16), bool)
    ours[:12], theirs[12:] = True, True
    assert mcnemar(ours, theirs) == (12, 4, pytest.approx(0.076812744140625 / 2))
    assert mcnemar(ours, ours) == (0, 0, 1.0)


def test_a_better_challenger_passes():
    decision = decide(Gate(), measured(BETTER), CHAMPION)
    assert decision.passed
    assert decision.reason == ""


REFUSED = {
    "worse": (measured(slice(0, 120)), {}, "worse: 0.8800 against 0.9000, 0 images gained and 20"),
    "noise": (measured(slice(2, 100)), {}, "within noise: 0.9020 against 0.9000, 2 images gained"),
    "slower": (
        measured(BETTER, latencies=np.full(20, 13.0)),
        {},
        "13.00 ms against 10.00 ms, slow",
    ),
    "too large": (measured(BETTER, megabytes=100.0), {}, "100.00 MB against 40.00 MB, 2.50 times"),
    "a worse class": (measured(BETTER, worst_class=0.7), {}, "recall 0.7000 (cat) against 0.8000"),
    "overconfident": (measured(BETTER, calibration_error=0.05), {}, "error 0.0500 against 0.0200"),
    "seen": (measured(BETTER, trained_on=7), {}, "7 that the challenger was trained on"),
    "milliseconds": (measured(BETTER), {"max_latency_ms": 5.0}, "p95 10.00 ms (at most 5 ms)"),
    "megabytes": (measured(BETTER), {"max_size_mb": 5.0}, "40.00 MB (at most 5 MB)"),
    "accuracy": (measured(BETTER), {"min_accuracy": 0.99}, "0.9500 on 1000 test images (at least"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_challenger_is_refused_with_the_figure(why):
    challenger, limits, figure = REFUSED[why]
    decision = decide(Gate(**limits), challenger, CHAMPION)
    assert not decision.passed
    assert figure in decision.reason
    assert sum(not check.passed for check in decision.checks) == 1


@pytest.mark.parametrize("why", REFUSED)
def test_only_a_challenger_that_is_wrong_more_often_is_worse(why):
    challenger, limits, _ = REFUSED[why]
    is_worse = decide(Gate(**limits), challenger, CHAMPION).is_worse
    assert is_worse == (why in ("worse", "a worse class", "accuracy"))


def test_a_busy_computer_refuses_nobody():
    """Rounds that took long by chance, half of them of each."""
    noisy, other = np.tile([10.0, 60.0], 10), np.tile([60.0, 10.0], 10)
    champion = measured(slice(0, 100), latencies=other)
    assert decide(Gate(), measured(BETTER, latencies=noisy), champion).passed


def test_the_first_champion_is_held_to_the_absolute_limits():
    assert decide(Gate(), measured(slice(0, 500)), None).passed
    assert not decide(Gate(min_accuracy=0.9), measured(slice(0, 500)), None).passed


def test_an_equal_challenger_passes_where_the_gate_says_so():
    assert decide(Gate(max_p_value=1.0), CHAMPION, CHAMPION).passed
    assert not decide(Gate(max_p_value=1.0), measured(slice(0, 101)), CHAMPION).passed


BAD = {
    "max_p_valeu: 0.1": "max_p_valeu is unknown; did you mean max_p_value?",
    "max_p_value: 2": "max_p_value=2 is out of range; use above 0, 1 at most",
    "max_p_value: a": "max_p_value=a is not a number",
    "- 1": "no list of limits",
    "{": "cannot be read",
}


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_gate_is_refused_in_a_line(text, tmp_path):
    (tmp_path / "gate.yaml").write_text(text)
    with pytest.raises(SettingError) as refused:
        read_gate(tmp_path / "gate.yaml")
    assert BAD[text] in str(refused.value)
    assert "gate.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_gate_has_the_defaults_of_what_it_leaves_out(tmp_path):
    (tmp_path / "gate.yaml").write_text("max_size_ratio: 2\n")
    assert read_gate(tmp_path / "gate.yaml") == Gate(max_size_ratio=2)
    (tmp_path / "empty.yaml").write_text("")
    assert read_gate(tmp_path / "empty.yaml") == read_gate(None) == Gate()
