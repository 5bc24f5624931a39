"""Gradient accumulation: four batches of 16 train as one of 64, whatever counts the steps."""

import numpy as np
import pytest
from keras import ops

from helpers.tiny_runs import tiny_vit, tuned
from helpers.trained_runs import SMALL, history, trained
from vit_keras import SettingError, build_vit, load_config
from vit_keras.config.schema import OptimConfig
from vit_keras.runs import run_dir
from vit_keras.training import optimizer, preflight
from vit_keras.training.learning_rate import learning_rate_schedule

pytestmark = pytest.mark.jax

# Of 360 training images, 5 batches of 64, or 20 of the 22 of 16, are 5 updates.
AT_ONCE = ("train.batch_size=64",)
IN_PARTS = ("train.batch_size=16", "optim.gradient_accumulation_steps=4")
EVERYTHING = (
    *("augment=none", "optim.ema_momentum=0.8", "optim.warmup_ratio=0.3"),
    *("optim.weight_decay=0.1", "optim.clip_norm=0.5"),
)
COUNTED = ("loss", "val_loss", "learning_rate")


def figures(run):
    rows = [[float(row[name]) for name in COUNTED] for row in history(run.path)]
    return np.array([*rows, [run.metrics["test_loss"]] * len(COUNTED)])


@pytest.mark.parametrize("name", ["adamw", pytest.param("sgd", marks=pytest.mark.exhaustive)])
def test_a_run_is_the_same_at_once_and_in_parts(name, tmp_path):
    settings = (f"optim={name}", "optim.learning_rate=3e-3", *EVERYTHING)
    whole, parts = (
        trained(tmp_path / folder, *settings, *sizes)
        for folder, sizes in (("whole", AT_ONCE), ("parts", IN_PARTS))
    )
    np.testing.assert_allclose(figures(parts), figures(whole), rtol=1e-4)


@pytest.mark.slow
def test_stages_are_the_same_at_once_and_in_parts(tmp_path):
    """The second one begins to train variables of its own, at rates of their own."""
    file = tiny_vit(tmp_path / "vit.keras")
    settings = (*EVERYTHING, "data.limit=400", "stages.all.layer_decay=0.5")
    whole, parts = (
        tuned(tmp_path / folder, file, *settings, *sizes)
        for folder, sizes in (("whole", AT_ONCE), ("parts", IN_PARTS))
    )
    np.testing.assert_allclose(figures(parts), figures(whole), rtol=1e-3)


def averages(accumulate, batches, step_unit="update"):
    """The moving average of each weight after some batches of the same gradients."""
    sizes = dict(patch_size=2, width=4, depth=1, num_heads=2, mlp_dim=8)
    vit = build_vit(None, image_size=4, num_classes=3, channels=1, **sizes)
    for weight in vit.weights:
        weight.assign(np.full(weight.shape, 0.5))
    config = OptimConfig(
        name="sgd", ema_momentum=0.9, gradient_accumulation_steps=accumulate, step_unit=step_unit
    )
    sgd = optimizer.build_optimizer(config, vit, 0.1)
    sgd.build(vit.trainable_variables)
    for _ in range(batches):
        sgd.apply([ops.ones(weight.shape) for weight in vit.trainable_weights])
    return [ops.convert_to_numpy(value) for value in sgd._model_variables_moving_average]


@pytest.mark.parametrize(("updates", "left"), [(1, 0), (2, 2), (3, 1)])
def test_the_average_moves_with_updates_and_not_with_batches(updates, left, tmp_path):
    for one, other in zip(averages(1, updates), averages(3, 3 * updates + left), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_before_the_first_update_the_average_is_the_weight():
    for average in averages(3, 1):
        np.testing.assert_array_equal(average, np.full(average.shape, 0.5, "float32"))


def test_a_run_of_before_counts_batches_as_it_did(tmp_path):
    """Its `config.yaml` lacks the setting."""
    config = load_config(*SMALL, *IN_PARTS, f"run.dir={tmp_path / 'run'}")
    run = run_dir.create(config)
    run.close()
    file = run.path / "config.yaml"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "step_unit" not in line))
    old = run_dir.config_of_run(str(run.path))
    assert (config.optim.step_unit, old.optim.step_unit) == ("update", "batch")
    assert preflight.steps_per_epoch(config, 360) == 20
    assert preflight.steps_per_epoch(old, 360) == 22
    rate = learning_rate_schedule(old.optim, epochs=1, steps_per_epoch=8)
    assert float(rate(7)) < float(rate(4))  # within the second update
    drawn = zip(averages(3, 8), averages(3, 8, "batch"), strict=True)
    assert all((one != other).any() for one, other in drawn)


@pytest.mark.parametrize(
    ("limit", "accumulate", "steps"), [(None, 4, 20), (10, 4, 8), (3, 4, 3), (None, 1, 22)]
)
def test_an_epoch_has_a_whole_number_of_updates_if_it_has_one(limit, accumulate, steps):
    config = load_config(
        *(*SMALL, "train.batch_size=16", f"optim.gradient_accumulation_steps={accumulate}"),
        f"train.limit_train_batches={limit or 'null'}",
    )
    assert preflight.steps_per_epoch(config, 360) == steps


def test_a_stage_that_would_train_nothing_is_refused(tmp_path):
    file = tiny_vit(tmp_path / "vit.keras")
    settings = ("train.limit_train_batches=1", "optim.gradient_accumulation_steps=3")
    with pytest.raises(SettingError, match=r"=3 is more than the 2 steps of stages\.head"):
        tuned(tmp_path / "run", file, *settings, "train.batch_size=8")
