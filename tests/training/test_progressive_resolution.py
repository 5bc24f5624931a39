"""Progressive resolution: stages on smaller images, one model of the full size."""

import itertools
import shutil

import keras
import numpy as np
import pytest

from helpers.tiny_runs import keep_snapshots, resumed, state_of, tiny_vit, tuning
from helpers.trained_runs import assert_same, history, trained
from vit_keras import SettingError, load_config
from vit_keras.config import stages
from vit_keras.data.splits import load_splits
from vit_keras.training.build_model import build_training_model
from vit_keras.training.learning_rate import learning_rate_schedule
from vit_keras.training.plan import resolve_plan
from vit_keras.training.train import prepare

STAGES = (
    *("data.image_size=16", "model.patch_size=4", "train.epochs=null"),
    "+stages.low={epochs: 2, image_size: 8}",
    "+stages.middle={epochs: 1, image_size: [8, 12]}",
    "+stages.full={epochs: 1}",
)
POSITIONS = "position_embedding/position_embedding"


def prepared(*overrides):
    """A training model and its plan, of a run that is not trained."""
    config = load_config("model.depth=1", "data.limit=300", *STAGES, *overrides)
    splits = load_splits(config.data, 0)
    model, _ = build_training_model(config, splits, "float32")
    return model, resolve_plan(config, len(splits.train.labels)), splits


def test_a_stage_trains_on_its_size_and_validates_on_the_models_own():
    model, plan, splits = prepared("augment=none")
    inputs = splits.train.images[:4], splits.train.labels[:4]
    rng = np.random.default_rng(0)
    head = model.vit.get_layer("head").kernel
    head.assign(rng.normal(size=head.shape))
    seen = {}
    for stage in plan.stages:
        model.configure_stage(stage, plan, first_step=0)
        assert model.stage_vit.input_shape == (None, *(stage.image_size or (16, 16)), 1)
        seen[stage.name] = [model(inputs, training=flag)["logits"] for flag in (True, False)]
    for name in ("low", "middle"):
        assert not np.allclose(seen[name][0], seen[name][1], atol=1e-2)
        np.testing.assert_array_equal(seen[name][1], seen["full"][1])
    np.testing.assert_allclose(seen["full"][0], seen["full"][1], atol=1e-5)


@pytest.mark.parametrize("accumulated", [1, 2])
def test_one_schedule_spans_the_run(accumulated):
    """Also where early stopping has ended the first stage an epoch early."""
    words = ("optim.warmup_ratio=0.2", "train.batch_size=16", "optim.learning_rate=0.1")
    words += (f"optim.gradient_accumulation_steps={accumulated}",)
    model, plan, _ = prepared("optim.schedule_scope=run", *words)
    whole = load_config("train.epochs=4", "data.limit=300", "augment=none", *words)
    (only,) = stages.plan(whole)
    steps = plan.steps_per_epoch
    schedule = learning_rate_schedule(only.optim, only.schedule_epochs, steps)
    expected = [float(schedule(step)) for step in range(4 * steps)]
    assert max(expected) == pytest.approx(0.1)
    for missed in (0, 1):
        for stage in plan.stages:
            first = stage.first_epoch - (missed if stage.first_epoch else 0)
            model.configure_stage(stage, plan, first * steps)
            made = rates(model, range(first * steps, (first + stage.epochs) * steps))
            np.testing.assert_allclose(
                made, expected[stage.first_epoch * steps : stage.end * steps], rtol=1e-5, atol=1e-9
            )


def rates(model, steps):
    return [float(model.optimizer._learning_rate(step)) for step in steps]


def test_by_default_each_stage_has_its_own_schedule():
    model, plan, _ = prepared("optim.learning_rate=0.1", "optim.warmup_ratio=0")
    for stage in plan.stages:
        first = stage.first_epoch * plan.steps_per_epoch
        model.configure_stage(stage, plan, first)
        assert rates(model, [first]) == [pytest.approx(0.1)]


REFUSED = {
    "+stages.low={image_size: 10}": r"stages.low.image_size=10 is not a multiple .*4; use 8 or 12",
    "+stages.low={image_size: [8,9]}": r"image_size=\[8,9\] is .*\(width 9\); use 8 or \[8,12\]",
    "+stages.low={image_size: [8,20]}": r"\[8,20\] is larger .* data.image_size=\[16,20\]",
    "+stages.low={image_size: 32}": r"stages.low.image_size=32 is larger .* use 16 or less",
    "+stages.low={image_size: small}": r"stages.low.image_size=small is no size; use a number",
    "+stages.low={image_size: 8, trainable: head}": r"image_size=8 .* trainable=head",
    "+stages.low={warmup_ratio: 0.1}": r"stages.low.warmup_ratio=0.1 has no effect: .* set optim",
}


@pytest.mark.parametrize("stage", REFUSED)
def test_what_cannot_be_trained_is_refused_before_keras(stage):
    with pytest.raises(SettingError, match=REFUSED[stage]):
        load_config(
            *("data.image_size=16", "model.patch_size=4", "train.epochs=null", stage),
            "optim.schedule_scope=run",
        )


def test_a_wrapped_saved_model_has_one_size(tmp_path):
    words = ("pretrained.wrap_saved_model=true", "stages.all.image_size=4")
    with pytest.raises(SettingError, match=r"stages.all.image_size=4 needs a ViT, and pretrained"):
        tuning(tiny_vit(tmp_path / "vit.keras"), *words)


def test_sizes_of_a_pretrained_file_are_checked_when_it_is_read(tmp_path):
    file = tiny_vit(tmp_path / "vit.keras", 16)
    prepare(tuning(file, "stages.all.image_size=8"))
    with pytest.raises(SettingError, match=r"stages.all.image_size=6 is not a multiple of .* 4;"):
        prepare(tuning(file, "stages.all.image_size=6"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """As it was left after each of the four epochs, in `folder/<epoch>`."""
    folder = tmp_path_factory.mktemp("runs")
    random = ("model.dropout=0.1", "model.stem=conv", "optim.ema_momentum=0.9")
    augmented = ("augment=shift", "augment.flip=alternating", "optim.schedule_scope=run")
    with pytest.MonkeyPatch.context() as monkeypatch:
        keep_snapshots(monkeypatch, folder)
        trained(folder / "whole", *random, *augmented, *STAGES, "optim.warmup_ratio=0.1")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_a_run_killed_in_any_stage_resumes_exactly(epoch, run, tmp_path):
    shutil.copytree(run / str(epoch), tmp_path / "run")
    resumed(tmp_path / "run")
    assert_same(run / "whole", tmp_path / "run")
    stages_of = [row["stage"] for row in history(tmp_path / "run")]
    assert stages_of == ["low", "low", "middle", "full"]


@pytest.mark.slow
def test_each_stage_moves_the_one_position_embedding_and_saves_the_full_model(run):
    states = [state_of(run / str(epoch)) for epoch in (1, 2, 3, 4)]
    embeddings = [state[POSITIONS] for state in states]
    assert {embedding.shape for embedding in embeddings} == {(1, 17, 48)}
    for before, after in itertools.pairwise(embeddings):
        assert (before != after).any()
    for epoch in (2, 3, 4):  # a snapshot has the models of the epoch before
        model = keras.models.load_model(run / str(epoch) / "last.keras")
        assert model.input_shape == (None, 16, 16, 1)
