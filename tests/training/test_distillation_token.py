"""Training with a distillation token: which head learns what, exact resume, and fine-tuning."""

import json
import shutil

import keras
import numpy as np
import onnx
import pytest
from keras import ops
from scipy.special import log_softmax

from helpers.paths import ROOT
from helpers.tiny_runs import keep_snapshots, resumed, state_of, tuned, tuning
from helpers.trained_runs import assert_same, trained
from vit_keras import (
    Predictor,
    SettingError,
    build_vit,
    evaluate_run,
    explain_run,
    export_run,
    load_config,
)
from vit_keras.config import stages
from vit_keras.config.schema import Config, StageConfig, TrainConfig
from vit_keras.data.dataset import Split
from vit_keras.model.resolution import at_image_size
from vit_keras.model.vit import describe
from vit_keras.training import freezing
from vit_keras.training.loss import HardDistillationLoss
from vit_keras.training.teacher import Teacher
from vit_keras.training.teacher_checks import teacher_labels
from vit_keras.training.training_model import TrainingModel

pytestmark = pytest.mark.jax

DIGITS = str(ROOT / "saved_models" / "digits")
SIZES = dict(patch_size=4, width=8, depth=2, num_heads=2, mlp_dim=8)
IMAGES = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1)).astype("uint8")
LABELS = np.array([0, 1, 2, 1])
W = 0.3


def to_numpy(tensor):
    return ops.convert_to_numpy(tensor)


def cross_entropy(logits, labels):
    """In the mean over the images."""
    return -log_softmax(logits.astype("float64"), axis=-1)[np.arange(len(labels)), labels].mean()


def test_the_hard_loss_is_that_of_its_formula():
    """Worked out by hand: DeiT's eq. 3 counts the teacher's most probable class, whatever it has
    for the others."""
    teacher = np.array([[0.0, 0.1, -9.0], [5.0, 2.0, 4.9]], "float32")  # classes 1 and 0
    student = np.log(np.array([[0.2, 0.5, 0.3], [0.1, 0.6, 0.3]], "float32"))
    expected = -(np.log(0.5) + np.log(0.1)) / 2
    assert float(HardDistillationLoss()(teacher, student)) == pytest.approx(expected, rel=1e-5)
    assert float(HardDistillationLoss()(10 * teacher, student)) == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize(
    ("labels", "is_distilled", "expected"),
    [
        *(("auto", True, "hard"), ("auto", False, "soft")),
        *(("soft", True, "soft"), ("hard", False, "hard")),
    ],
)
def test_labels_are_hard_by_default_for_a_distillation_token(labels, is_distilled, expected):
    assert teacher_labels(TrainConfig(teacher_labels=labels), is_distilled) == expected


@pytest.fixture(scope="module")
def vit():
    made = build_vit(
        None, image_size=8, num_classes=3, channels=1, distillation_token=True, **SIZES
    )
    rng = np.random.default_rng(0)
    for weight in made.trainable_weights:
        weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    return made


@pytest.fixture(scope="module")
def teacher():
    """Linear, of 4x4 pixels."""
    linear = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, use_bias=False)]
    )
    kernel = np.random.default_rng(0).normal(0, 0.01, (16, 3))
    linear.layers[-1].kernel.assign(kernel - kernel.mean(axis=0))  # of patterns, not of brightness
    return Teacher(linear, [2, 0, 1])


def training_model(vit, teacher, **train):
    model = TrainingModel(vit, Config(train=TrainConfig(**train)), None, teacher)
    model._compile(keras.optimizers.SGD(0.1), False)
    return model


def by_head(vit):
    features = keras.Model(vit.input, vit.get_layer("head").input)(IMAGES)
    return [to_numpy(logits) for logits in vit.get_layer("head").logits_of_each(features)]


def test_the_class_head_learns_labels_and_the_other_head_the_teacher(vit, teacher):
    model = training_model(vit, teacher, teacher_weight=W)
    made = model((IMAGES, LABELS), training=True)
    of_class_token, of_distillation_token = by_head(vit)
    hard = to_numpy(made["teacher_logits"]).argmax(axis=-1)
    assert len({*hard.tolist()}) > 1
    expected = (1 - W) * cross_entropy(of_class_token, LABELS)
    expected += W * cross_entropy(of_distillation_token, hard)
    loss = float(model.compute_loss(y_pred=made, training=True))
    assert loss == pytest.approx(expected, rel=1e-4)
    # Accuracy in training, and all of evaluation, are of the mean.
    mean = (of_class_token + of_distillation_token) / 2
    np.testing.assert_allclose(made["logits"], mean, rtol=1e-4, atol=1e-5)
    validated = model((IMAGES, LABELS), training=False)
    assert validated.keys() == {"logits", "targets"}
    loss = float(model.compute_loss(y_pred=validated, training=False))
    assert loss == pytest.approx(cross_entropy(mean, LABELS), rel=1e-4)
    # The same on logits that were computed before, as where nothing is augmented.
    cached = teacher.logits_of(Split(IMAGES, LABELS), 3)
    again = model((IMAGES, LABELS, cached), training=True)
    assert float(model.compute_loss(y_pred=again, training=True)) == pytest.approx(expected, 1e-4)


def test_cached_features_are_read_by_both_heads(vit, teacher):
    model = training_model(vit, teacher, teacher_weight=W)
    made = model((IMAGES, LABELS), training=True)
    model.on_features = True
    features = keras.Model(vit.input, vit.get_layer("head").input)(IMAGES)
    logits = to_numpy(made["teacher_logits"])
    cached = model((to_numpy(features), LABELS, logits), training=True)
    for name in ("logits", "class_logits", "distillation_logits"):
        np.testing.assert_allclose(cached[name], made[name], rtol=1e-4, atol=1e-5)
    validated = model((to_numpy(features), LABELS), training=False)
    np.testing.assert_allclose(validated["logits"], made["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight", [1.0, None])
def test_which_heads_a_step_moves(weight, vit, teacher):
    """With all of the weight on the teacher, its head alone; without one, both, by the labels."""
    taught = None if weight is None else teacher
    model = training_model(vit, taught, **({} if weight is None else {"teacher_weight": weight}))
    head = vit.get_layer("head")
    before = {name.path: to_numpy(name).copy() for name in head.weights}
    model.train_on_batch((IMAGES, LABELS))
    moved = {name.path for name in head.weights if (to_numpy(name) != before[name.path]).any()}
    of_teacher = {"head/distillation_kernel", "head/distillation_bias"}
    assert moved == (of_teacher if weight else of_teacher | {"head/kernel", "head/bias"})


def test_a_smaller_stage_teaches_both_heads_with_the_same_weights(vit, teacher):
    model = training_model(vit, teacher, teacher_weight=W)
    model._stage.vit = at_image_size(model._stage.whole, (4, 4))  # as `configure_stage` does
    made = model((IMAGES, LABELS), training=True)
    assert made["class_logits"].shape == made["distillation_logits"].shape == (4, 3)
    own = {id(weight) for weight in vit.weights}
    assert {id(weight) for weight in model._stage.vit.weights} <= own
    mean = (to_numpy(made["class_logits"]) + to_numpy(made["distillation_logits"])) / 2
    np.testing.assert_allclose(made["logits"], mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["head", "bias", "norm"])
def test_every_stage_trains_both_heads(kind, vit):
    stage = stages.plan(Config(stages={"one": StageConfig(kind)}))[0]
    freezing.freeze(vit, stage)
    trained_paths = {weight.path for weight in vit.trainable_weights}
    heads = {weight.path for weight in vit.get_layer("head").weights}
    assert heads <= trained_paths
    assert len(heads) == 4
    assert kind != "head" or trained_paths == heads
    assert "distillation_token/distillation_token" not in trained_paths
    freezing.freeze(vit, stages.plan(Config(stages={"one": StageConfig("all")}))[0])


def test_layer_decay_has_a_rate_for_the_token(vit):
    stage = stages.plan(Config(stages={"one": StageConfig("all", layer_decay=0.5)}))[0]
    rates = freezing.layer_multipliers(vit, stage)
    assert rates["distillation_token"] == rates["class_token"] == 0.5**3
    assert rates["head"] == 1


REFUSED = {
    "model.distillation_token=true": "model.distillation_token=true learns from a teacher, and",
    f"model.distillation_token=true model.pool=mean train.teacher={DIGITS}": (
        "model.distillation_token=true stands beside the class token, which model.pool=mean has not"
    ),
    f"model.distillation_token=true train.teacher={DIGITS} train.teacher_temperature=3": (
        "train.teacher_temperature=3.0 has no effect: hard labels have none"
    ),
    f"train.teacher={DIGITS} train.teacher_labels=hrad": "train.teacher_labels=hrad",
    "train.teacher_labels=soft": "train.teacher_labels=soft has no effect: train.teacher is not",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_learned_is_refused_before_anything_slow(words):
    with pytest.raises(SettingError) as refused:
        load_config("recipe=digits", "model.pool=token", *words.split())
    assert str(refused.value).startswith(REFUSED[words])


TAUGHT = ("model.pool=token", "model.distillation_token=true", f"train.teacher={DIGITS}")


@pytest.fixture(scope="module")
def taught_run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("taught") / "run", *TAUGHT, "augment=shift").path


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="exports are written from TensorFlow's graph"
)
def test_a_run_has_one_output_of_logits_everywhere(taught_run, tmp_path):
    assert "it has 0.5 of the loss, by its hard labels" in (taught_run / "train.log").read_text()
    model = keras.models.load_model(taught_run / "best.keras")
    assert model.output_shape == (None, 10)
    assert describe(model)["distillation_token"]
    keras_says = Predictor(taught_run, engine="keras").predict(IMAGES)
    kept = json.loads((taught_run / "metrics.json").read_text())
    report = evaluate_run(taught_run, images=16).report
    assert report["accuracy"] == pytest.approx(kept["test_accuracy"])
    for name in ("onnx", "onnx_int8"):
        report = export_run(taught_run, name, images=16).report
        assert report["max_difference"] < (1e-5 if name == "onnx" else 0.2)
    made = onnx.load(taught_run / "export/onnx_int8/model.onnx")
    floats = {weight.name for weight in made.graph.initializer if weight.data_type == 1}
    assert {"head/kernel", "head/distillation_kernel"} <= floats
    onnx_says = Predictor(taught_run, engine="onnx").predict(IMAGES)
    for ours, theirs in zip(keras_says, onnx_says, strict=True):
        assert ours.label == theirs.label
        assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-4)
    assert (explain_run(taught_run, 0) / "heads.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["augment=shift", "augment=none"])
def test_a_run_with_the_token_resumes_exactly(augment, tmp_path, monkeypatch):
    """With augmentation, and without, on logits that are computed once."""
    with monkeypatch.context() as patch:
        keep_snapshots(patch, tmp_path)
        trained(tmp_path / "whole", *TAUGHT, "data.limit=128", augment, "optim.ema_momentum=0.9")
    shutil.copytree(tmp_path / "1", tmp_path / "resumed")
    resumed(tmp_path / "resumed")
    assert_same(tmp_path / "whole", tmp_path / "resumed")
    moved = state_of(tmp_path / "1"), state_of(tmp_path / "whole")
    for path in (
        "head/kernel",
        "head/distillation_kernel",
        "distillation_token/distillation_token",
    ):
        assert (moved[0][path] != moved[1][path]).any()


@pytest.mark.slow
def test_a_distilled_file_is_fine_tuned_without_a_teacher_and_with_one(tmp_path):
    """Other classes give it two new heads, which learn the labels."""
    source = build_vit(
        None, image_size=8, num_classes=4, channels=3, distillation_token=True, **SIZES
    )
    source.save(tmp_path / "vit.keras")
    file = tmp_path / "vit.keras"
    run = tuned(tmp_path / "alone", file, "stages.all.layer_decay=0.8")
    model = keras.models.load_model(run.path / "best.keras")
    head = model.get_layer("head")
    assert [tuple(weight.shape) for weight in head.weights] == [(8, 10), (10,)] * 2
    assert all(np.abs(to_numpy(weight)).max() > 0 for weight in head.weights)
    assert "by its" not in (run.path / "train.log").read_text()
    lora = ("~stages.all", "+stages.lora={trainable: lora, epochs: 1, lora_rank: 2}")
    with_teacher = tuned(tmp_path / "taught", file, f"train.teacher={DIGITS}", *lora)
    assert "by its hard labels" in (with_teacher.path / "train.log").read_text()
    with pytest.raises(SettingError, match=r"model.distillation_token=True has no effect"):
        tuning(file, "model.distillation_token=true")
