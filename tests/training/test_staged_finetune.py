"""Staged fine-tuning: trainable layers, transferred optimizer state, exact resume."""

import json
import shutil

import keras
import numpy as np
import pytest

from helpers.tiny_runs import (
    DEPTH,
    keep_snapshots,
    layers_of,
    resumed,
    state_of,
    tiny_vit,
    tuned,
    tuning,
)
from helpers.trained_runs import assert_same, history
from vit_keras import SettingError
from vit_keras.config import stages
from vit_keras.data import splits
from vit_keras.errors import DivergedError
from vit_keras.training import freezing
from vit_keras.training.build_model import build_training_model
from vit_keras.training.plan import TrainingPlan

EMA = 0.9
BLOCKS = {f"encoder_block_{index}" for index in range(DEPTH)}
LAYERS = {"patch_embedding", "class_token", "position_embedding", *BLOCKS, "encoder_norm", "head"}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny_vit(tmp_path_factory.mktemp("file") / "vit.keras")


@pytest.fixture(scope="module")
def run(file, tmp_path_factory):
    """Two epochs of the head, two of all, as they were left after each in `folder/<epoch>`."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        keep_snapshots(monkeypatch, folder)
        tuned(
            folder / "whole",
            file,
            "stages.all.layer_decay=0.5",
            f"optim.ema_momentum={EMA}",
            "optim.weight_decay=0.1",
            "model.dropout=0.1",
        )
    return folder


def moved(before, after):
    """The paths of the weights that are not, bit for bit, what they were."""
    weights = [path for path in before if not path.startswith("seed_generator")]
    return {path for path in weights if (before[path] != after[path]).any()}


def pretrained(file):
    return {weight.path: weight.numpy() for weight in keras.models.load_model(file).weights}


def test_the_head_stage_moves_the_head_alone(run, file):
    before, after = pretrained(file), state_of(run / "2")
    backbone = {path for path in before if not path.startswith("head/")}
    for path in backbone:
        np.testing.assert_array_equal(after[path], before[path], err_msg=path)
    assert all(after[path].any() for path in ("head/kernel", "head/bias"))  # they began at 0


@pytest.mark.parametrize(("epochs", "layers"), [("12", {"head"}), ("23", LAYERS)])
def test_a_stage_moves_every_weight_of_its_layers_and_no_other(epochs, layers, run):
    before, after = (state_of(run / epoch) for epoch in epochs)
    assert moved(before, after) == {path for path in before if path.partition("/")[0] in layers}
    assert layers_of(moved(before, after)) == layers


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_run_killed_in_or_between_stages_resumes_exactly(epoch, run, tmp_path):
    """After epoch 1 in the first stage, 2 between the two, 3 in the second, 4 at the end."""
    shutil.copytree(run / str(epoch), tmp_path / "run")
    result = resumed(tmp_path / "run")
    assert_same(run / "whole", tmp_path / "run")
    whole = json.loads((run / "whole" / "metrics.json").read_text())
    assert result.metrics["test_loss"] == whole["test_loss"]
    stages_of = [row["stage"] for row in history(tmp_path / "run")]
    assert stages_of == ["head", "head", "all", "all"]


@pytest.mark.parametrize("name", ["best.keras", "last.keras"])
@pytest.mark.parametrize("epoch", [2, 3])
def test_a_model_saved_while_layers_are_frozen_thaws_when_it_is_loaded(name, epoch, run):
    """The snapshot of an epoch has the models of the one before, here both of the head stage."""
    model = keras.models.load_model(run / str(epoch) / name)
    assert len(model.trainable_weights) == len(model.weights)
    assert all(layer.trainable for layer in model._flatten_layers())


def begin(config, model, name, steps=4):
    """Begin the stage `name` of a run with so many steps an epoch."""
    plan = TrainingPlan(config, tuple(stages.plan(config)), steps)
    for stage in plan.stages:
        if stage.name == name:
            return model.configure_stage(stage, plan, stage.first_epoch * steps)


def fresh(config):
    return build_training_model(
        config, splits.load_splits(config.data, config.train.seed), "float32"
    )[0]


def values(variables):
    return {variable.path: keras.ops.convert_to_numpy(variable) for variable in variables}


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("layer_decay", [1, 0.5])
def test_the_heads_averages_survive_and_the_backbones_begin(layer_decay, name, file):
    config = tuning(
        file, f"optim={name}", f"stages.all.layer_decay={layer_decay}", f"optim.ema_momentum={EMA}"
    )
    model, rng = fresh(config), np.random.default_rng(0)
    begin(config, model, "head")
    for _ in range(8):
        shapes = [weight.shape for weight in model.trainable_weights]
        model.optimizer.apply([keras.ops.convert_to_tensor(rng.normal(size=s)) for s in shapes])
    before = values(model.optimizer.variables)
    assert all(value.any() for value in before.values())

    begin(config, model, "all")
    after = values(model.optimizer.variables)
    weights = {
        path.replace("/", "_"): value for path, value in values(model.trainable_variables).items()
    }
    assert len(after) > len(before)
    for path, value in after.items():
        if path.endswith("_joined"):
            continue
        weight = path.removeprefix(f"{name}/").removesuffix("_average")
        expected = before.get(path, weights[weight] if path.endswith("_average") else 0)
        np.testing.assert_array_equal(value, expected, err_msg=path)


def one_step(config):
    """Path -> how far one step of the stage `all` moves a weight; the head does not begin at 0."""
    model, rng = fresh(config), np.random.default_rng(0)
    head = model.vit.get_layer("head").kernel
    head.assign(rng.normal(size=head.shape))  # at 0 it would hold every gradient back
    begin(config, model, "all")
    before = values(model.vit.weights)
    images = rng.integers(0, 256, (16, 8, 8, 1), "uint8")
    model.train_on_batch((images, np.arange(16, dtype="int32") % 10))
    after = values(model.vit.weights)
    return {path: after[path] - before[path] for path in before}


SGD = ("optim=sgd", "optim.momentum=0", "optim.clip_norm=null", "optim.warmup_ratio=0")


def test_the_last_block_trains_with_the_norm_and_the_head(file):
    config = tuning(file, "~stages.head", "stages.all.trainable={last: 1}", *SGD)
    steps = one_step(config)
    trained = {f"encoder_block_{DEPTH - 1}", "encoder_norm", "head"}
    for path, step in steps.items():
        assert step.any() == (path.partition("/")[0] in trained), path


@pytest.mark.parametrize("decay", [0.5, 0.75])
def test_each_layer_steps_at_the_share_that_was_asked_for(decay, file):
    full, scaled = (
        one_step(
            tuning(
                *(file, "~stages.head", *SGD, "stages.all.learning_rate=10"),
                f"stages.all.layer_decay={share}",
            )
        )
        for share in (1, decay)
    )
    order = [["patch_embedding", "class_token", "position_embedding"]]  # the bottom first
    order += [[f"encoder_block_{index}"] for index in range(DEPTH)]
    order += [["encoder_norm", "head"]]
    for above, layers in enumerate(reversed(order)):
        for path in full:
            if path.partition("/")[0] in layers:
                least = 1e-4 * np.abs(full[path]).max()
                assert least > 1e-7, path  # it did move
                expected = decay**above * full[path]
                np.testing.assert_allclose(scaled[path], expected, 1e-3, least, err_msg=path)


def test_a_layer_that_no_rate_reaches_is_refused(file):
    stage = stages.plan(tuning(file, "stages.all.layer_decay=0.5"))[-1]
    pixels = keras.Input((8, 8, 3))
    vit = keras.Model(pixels, keras.layers.Dense(2, name="adapter")(pixels), name="mine")
    with pytest.raises(SettingError, match=r"layer_decay=0.5 has no rate for the layer adapter"):
        freezing.check_layers(vit, stage)


def test_more_blocks_than_there_are_is_refused_before_there_is_a_run(file, tmp_path):
    with pytest.raises(
        SettingError, match=r"stages.all.trainable={last: 99}.* the 2 blocks .*2 or"
    ):
        tuned(tmp_path / "run", file, "stages.all.trainable={last: 99}")
    assert not (tmp_path / "run").exists()


def test_a_rate_that_diverges_is_named_as_the_stages_own(file, tmp_path):
    with pytest.raises(DivergedError, match=r"lower stages.all.learning_rate=1e\+30, raise stages"):
        tuned(tmp_path / "run", file, "~stages.head", "stages.all.learning_rate=1e30", "optim=sgd")
