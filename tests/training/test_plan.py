"""What a plan says of settings that do not fit its length."""

import pytest

from vit_keras.training.plan import resolve_plan
from vit_keras.training.preflight import load_config


@pytest.mark.parametrize(
    ("momentum", "updates", "share", "way_out"),
    [("0.999", 315, "73%", "set 0.937 or less"), ("0.9", 20, "12%", "set null")],
)
def test_an_average_that_outlasts_the_training_is_warned_of(momentum, updates, share, way_out):
    config = load_config("train.epochs=1", "train.batch_size=4", f"optim.ema_momentum={momentum}")
    problem = resolve_plan(config, 4 * updates).average_problem
    assert f"after {updates} updates" in problem
    assert share in problem  # 0.999^315, 0.9^20
    assert way_out in problem


def test_an_average_counts_the_updates_of_accumulated_batches():
    words = ["train.epochs=1", "train.batch_size=4", "optim.ema_momentum=0.98"]
    assert resolve_plan(load_config(*words), 4 * 400).average_problem is None
    words.append("optim.gradient_accumulation_steps=8")
    assert "after 50 updates" in resolve_plan(load_config(*words), 4 * 400).average_problem


@pytest.mark.parametrize(
    ("recipe", "images"),
    [("digits", 1294), ("cifar10_ten_minutes", 48_000), ("mnist_99", 57_000)],
)
def test_the_averages_of_recipes_fit(recipe, images):
    words = [f"recipe={recipe}", "data=digits", "model.pixel_mean=null", "model.pixel_std=null"]
    assert resolve_plan(load_config(*words), images).average_problem is None
