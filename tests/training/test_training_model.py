"""A frozen backbone runs once per image, with the same results as running it in each epoch."""

import keras
import numpy as np
import pytest

from helpers.tiny_runs import tiny_vit, tuned, tuning
from helpers.trained_runs import history
from vit_keras.data.splits import load_splits
from vit_keras.model.preprocessing import resize
from vit_keras.training.build_model import build_training_model
from vit_keras.training.plan import resolve_plan
from vit_keras.training.training_model import TrainingModel

# Of another size than the digits' 8x8, and with three channels to their one.
SIZE = 12
CACHED = ("~stages.all", "stages.head.augment=false", "augment=light", "augment.crop_padding=1")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny_vit(tmp_path_factory.mktemp("file") / "vit.keras", SIZE)


@pytest.fixture(scope="module")
def cached(file, tmp_path_factory):
    return tuned(tmp_path_factory.mktemp("runs") / "cached", file, *CACHED)


def losses(run):
    return [[float(row[name]) for name in ("loss", "val_loss")] for row in history(run.path)]


def logged_cached_features(run):
    return "features are computed once" in (run.path / "train.log").read_text()


def test_the_losses_are_those_of_running_the_backbone_each_epoch(
    cached, file, tmp_path, monkeypatch
):
    monkeypatch.setattr(TrainingModel, "can_cache_features", lambda *_: False)
    run = tuned(tmp_path / "run", file, *CACHED)
    assert (logged_cached_features(cached), logged_cached_features(run)) == (True, False)
    np.testing.assert_allclose(losses(cached), losses(run), rtol=1e-4)
    assert cached.metrics["test_loss"] == pytest.approx(run.metrics["test_loss"], rel=1e-4)
    assert cached.metrics["test_accuracy"] == run.metrics["test_accuracy"]


def test_the_test_split_is_measured_on_images(cached, file):
    splits = load_splits(tuning(file, *CACHED).data, seed=0)
    images = keras.ops.convert_to_numpy(resize(splits.test.images.astype("float32"), (SIZE, SIZE)))
    model = keras.models.load_model(cached.path / "best.keras")
    predicted = model.predict(images.repeat(3, axis=-1), verbose=0).argmax(-1)
    assert np.mean(predicted == splits.test.labels) == pytest.approx(
        cached.metrics["test_accuracy"]
    )


@pytest.mark.parametrize(
    ("overrides", "constant"),
    [
        ((), True),
        (("augment=light",), False),
        (("augment=light", "stages.head.augment=false"), True),
        (("model.dropout=0.1",), False),
        (("model.attention_dropout=0.1",), False),
        (("model.stochastic_depth=0.1",), False),
        (("stages.head.trainable={last: 1}",), False),
        (("stages.head.trainable=all",), False),
        (("optim.label_smoothing=0.1",), True),
    ],
)
def test_only_what_stays_the_same_is_computed_once(overrides, constant, file):
    config = tuning(file, *overrides)
    model, _ = build_training_model(config, load_splits(config.data, 0), "float32")
    plan = resolve_plan(config, 100)
    model.configure_stage(plan.stages[0], plan, first_step=0)
    assert model.on_features is constant


def test_an_alternating_flip_trains_on_mirrored_images(file):
    config = tuning(file, "augment.flip=alternating", "optim.label_smoothing=0")
    splits = load_splits(config.data, 0)
    model, _ = build_training_model(config, splits, "float32")
    plan = resolve_plan(config, len(splits.train.labels))
    model.configure_stage(plan.stages[0], plan, first_step=0)
    assert model.alternates_flips
    images, labels = (part[:6] for part in splits.train)
    flips = np.arange(6) % 2 == 0
    mirrored = np.where(flips[:, None, None, None], images[:, :, ::-1], images)
    made, expected = (
        model(inputs, training=is_training)["logits"]
        for inputs, is_training in (((images, labels, flips), True), ((mirrored, labels), False))
    )
    np.testing.assert_allclose(made, expected, atol=1e-5)


def test_in_bfloat16_head_and_all_train_and_logits_are_float32(file, tmp_path):
    run = tuned(
        tmp_path / "run", file, "train.precision=mixed_bfloat16", "data.limit=60",
        *("stages.head.epochs=1", "stages.all.epochs=1"),
    )  # fmt: skip
    assert logged_cached_features(run)
    assert np.isfinite(losses(run)).all()
    model = keras.models.load_model(run.path / "best.keras")
    block = model.get_layer("encoder_block_0")
    assert (block.compute_dtype, block.variable_dtype) == ("bfloat16", "float32")
    assert model.output.dtype == "float32"
    assert model.predict(np.zeros((1, SIZE, SIZE, 3), "uint8"), verbose=0).dtype == "float32"
