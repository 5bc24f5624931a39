"""The learning-rate range test: its curve, what it suggests, and that it leaves no run behind."""

import argparse
import csv

import keras
import numpy as np
import pytest

from helpers.trained_runs import SMALL
from vit_keras import load_config, train_model
from vit_keras.cli import find_lr
from vit_keras.errors import DivergedError
from vit_keras.training import learning_rate_finder
from vit_keras.training.learning_rate_finder import RangeTest, Sweep, find_learning_rate
from vit_keras.training.train import prepare


def range_test(losses, rates):
    return RangeTest("optim.learning_rate", np.asarray(rates), np.asarray(losses), False)


def test_gradient_descent_on_a_parabola():
    """Loss h w^2 / 2: each step multiplies w by 1 - rate h, which diverges from the rate 2 / h."""
    curvature, w, losses = 4.0, 1.0, []
    rates = np.geomspace(1e-4, 10, 200)
    for rate in rates:
        losses.append(curvature * w**2 / 2)
        w *= 1 - rate * curvature
        if losses[-1] > 8:
            break
    found = range_test(losses, rates[: len(losses)])
    assert 1e-3 / curvature < found.steepest < found.minimum < 2 / curvature


def test_nothing_is_suggested_where_the_loss_only_rises():
    rising = range_test(np.linspace(1, 3, 20), np.geomspace(1e-3, 1, 20))
    assert rising.steepest is None
    assert "no suggestion" in rising.lines()[0]


def test_a_range_test_writes_its_curve_and_no_run(tmp_path, capsys):
    words = [*SMALL, "augment=shift", f"run.root={tmp_path / 'runs'}"]
    asked = argparse.Namespace(overrides=words, lowest=1e-6, highest=0.1, steps=12, output=None)
    find_lr.check(asked)
    find_lr.find(asked)
    (folder,) = (tmp_path / "runs").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "learning_rates.csv",
        "learning_rates.png",
    ]
    printed = capsys.readouterr().out
    assert str(folder) in printed
    assert "optim.learning_rate=" in printed
    with (folder / "learning_rates.csv").open() as file:
        rows = list(csv.DictReader(file))
    rates = [float(row["learning_rate"]) for row in rows]
    np.testing.assert_allclose(rates, np.geomspace(1e-6, 0.1, 12), rtol=1e-4)
    assert float(rows[0]["loss"]) == pytest.approx(np.log(10), abs=0.05)  # of initial weights
    find_lr.check(asked)  # it may be written again


def test_the_sweep_that_the_optimizer_reads_has_the_rates_of_the_curve():
    sweep = Sweep.from_config(Sweep(1e-5, 10.0, 7).get_config())
    rates = [float(sweep(keras.ops.convert_to_tensor(step, "int64"))) for step in range(7)]
    np.testing.assert_allclose(rates, np.geomspace(1e-5, 10.0, 7), rtol=1e-5)


def test_a_loss_that_is_not_finite_from_the_start_is_refused():
    prepared = prepare(load_config(*SMALL))
    bias = prepared.model.vit.get_layer("head").bias
    bias.assign(np.full(bias.shape, np.nan))
    with pytest.raises(DivergedError, match=r"not finite at the first step.*train\.precision"):
        learning_rate_finder._sweep(prepared, Sweep(1e-6, 1.0, 10))


@pytest.mark.slow
def test_the_suggestion_trains_better_than_far_lower_and_higher_rates(tmp_path):
    words = ["recipe=digits", "model.depth=2", "train.jit_compile=false"]
    rate = find_learning_rate(load_config(*words), 1e-6, 1.0, 100).steepest
    accuracies = []
    for factor in (0.01, 1, 10):
        own = (f"optim.learning_rate={rate * factor:.3g}", f"run.dir={tmp_path / str(factor)}")
        config = load_config(*words, "train.epochs=6", *own)
        accuracies.append(train_model(config).metrics["test_accuracy"])
    assert accuracies[1] > max(accuracies[0], accuracies[2]) + 0.02
