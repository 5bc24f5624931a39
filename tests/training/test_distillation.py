"""Knowledge distillation: the loss, what the teacher sees, exact resume, and what is refused."""

import json
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import log_softmax, rel_entr, softmax

from helpers.paths import ROOT
from helpers.tiny_runs import keep_snapshots, resumed, state_of
from helpers.trained_runs import assert_same, trained
from vit_keras import SettingError, build_vit, load_config
from vit_keras.config.schema import Config, TrainConfig
from vit_keras.data.dataset import Split
from vit_keras.data.image_hashes import image_hashes
from vit_keras.data.input_pipeline import training_batches
from vit_keras.model.preprocessing import resize
from vit_keras.runs.run_dir import Run
from vit_keras.runs.training_images import write_training_images
from vit_keras.training.loss import DistillationLoss
from vit_keras.training.teacher import Teacher, trained_on
from vit_keras.training.teacher_checks import class_order
from vit_keras.training.training_model import TrainingModel

pytestmark = pytest.mark.jax

DIGITS, CIFAR = (str(ROOT / "saved_models" / name) for name in ("digits", "cifar10_hour"))
IMAGES = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1)).astype("uint8")
LABELS = np.array([0, 1, 2, 1])
W, T = 0.3, 4.0


def divergence(teacher, student):
    """T² KL of the softened probabilities, in the mean over the images."""
    p, q = (softmax(logits.astype("float64") / T, axis=-1) for logits in (teacher, student))
    return T**2 * rel_entr(p, q).sum(axis=-1).mean()


def test_the_loss_is_that_of_its_formula():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(0, 3, (2, 6, 4)).astype("float32")
    assert float(DistillationLoss(T)(teacher, student)) == pytest.approx(
        divergence(teacher, student), rel=1e-5
    )
    # Hinton et al. 2015, eq. 4: half the mean squared difference of centred logits, if T is high.
    difference = student - teacher
    centred = difference - difference.mean(-1, keepdims=True)
    assert float(DistillationLoss(1e3)(teacher, student)) == pytest.approx(
        (centred**2).mean() / 2, rel=2e-2
    )


@pytest.fixture(scope="module")
def taught():
    """(a model to train, the layer of its teacher): the teacher is linear and of 4x4 pixels."""
    sizes = dict(patch_size=4, width=8, depth=1, num_heads=2, mlp_dim=8)
    vit = build_vit(None, image_size=8, num_classes=3, channels=1, **sizes)
    rng = np.random.default_rng(0)
    for weight in vit.trainable_weights:
        weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    linear = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, use_bias=False)]
    )
    linear.layers[-1].kernel.assign(rng.normal(0, 0.01, (16, 3)))
    return vit, Teacher(linear, [2, 0, 1])


def training_model(taught, **augment):
    config = Config(train=TrainConfig(teacher_weight=W, teacher_temperature=T))
    for name, value in augment.items():
        setattr(config.augment, name, value)
    model = TrainingModel(taught[0], config, None, taught[1])
    model._compile(keras.optimizers.SGD(), False)
    return model


def linear_logits(taught, images):
    """By NumPy: resized to 4x4, and in the order of the data's classes."""
    pixels = ops.convert_to_numpy(resize(ops.convert_to_tensor(images, "float32"), (4, 4)))
    kernel = ops.convert_to_numpy(taught[1].model.layers[-1].kernel)
    return (pixels.reshape(len(images), -1) @ kernel)[:, [2, 0, 1]]


def test_the_teacher_is_asked_in_the_step_or_before_with_the_same_loss(taught):
    model, expected = training_model(taught), linear_logits(taught, IMAGES)
    made = model((IMAGES, LABELS), training=True)
    np.testing.assert_allclose(made["teacher_logits"], expected, rtol=1e-4, atol=1e-3)
    logits = ops.convert_to_numpy(made["logits"])
    hard = -log_softmax(logits, axis=-1)[np.arange(4), LABELS].mean()
    loss = float(model.compute_loss(y_pred=made, training=True))
    assert loss == pytest.approx((1 - W) * hard + W * divergence(expected, logits), rel=1e-4)
    cached = taught[1].logits_of(Split(IMAGES, LABELS), 3)
    np.testing.assert_allclose(cached, expected, rtol=1e-4, atol=1e-3)
    made = model((IMAGES, LABELS, cached), training=True)
    assert float(model.compute_loss(y_pred=made, training=True)) == pytest.approx(loss, rel=1e-4)
    validated = model((IMAGES, LABELS), training=False)
    assert float(model.compute_loss(y_pred=validated, training=False)) == pytest.approx(hard, 1e-4)


def test_the_teacher_sees_the_mixed_images(taught):
    made = training_model(taught, mixup=1.0)((IMAGES, np.array([0, 1, 2, 2])), training=True)
    first = ops.convert_to_numpy(made["targets"])[0]  # of classes 0 and 2: images 0 and 3
    assert 0 < first[0] < 1
    own = linear_logits(taught, IMAGES)
    np.testing.assert_allclose(
        made["teacher_logits"], first[0] * own + first[2] * own[::-1], rtol=1e-3, atol=1e-2
    )


def step_of_head_bias(taught, labels, weight, temperature=T, smoothing=0.0):
    """What a step of SGD at a rate of 1 takes from the head's bias: the gradient of the logits."""
    train = TrainConfig(teacher_weight=weight, teacher_temperature=temperature)
    config = Config(train=train)
    config.optim.label_smoothing = smoothing
    model = TrainingModel(taught[0], config, None, taught[1])
    model._compile(keras.optimizers.SGD(1.0), False)
    before = taught[0].get_weights()
    model.train_on_batch((IMAGES, labels))
    after = taught[0].get_weights()
    taught[0].set_weights(before)
    paths = [weight.path for weight in taught[0].weights]
    index = paths.index("head/bias")
    return before[index] - after[index]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_the_gradient_is_that_of_hintons_formula(weight, temperature, taught):
    """(1 - w) (p - y) + w T (p_T - q_T), his eq. 2 times T²; y are smoothed, and q_T are not."""
    student = ops.convert_to_numpy(taught[0](IMAGES)).astype("float64")
    teacher = linear_logits(taught, IMAGES).astype("float64")
    targets = np.eye(3)[LABELS] * 0.9 + 0.1 / 3
    softened = (softmax(z / temperature, axis=-1) for z in (student, teacher))
    expected = (1 - weight) * (softmax(student, axis=-1) - targets)
    expected += weight * temperature * np.subtract(*softened)
    step = step_of_head_bias(taught, LABELS, weight, temperature, smoothing=0.1)
    np.testing.assert_allclose(step, expected.mean(axis=0), rtol=1e-3, atol=1e-5)


def test_labels_do_not_matter_where_the_teacher_has_all_of_the_loss(taught):
    first, second = (step_of_head_bias(taught, labels, 1.0) for labels in (LABELS, LABELS[::-1]))
    np.testing.assert_array_equal(first, second)
    half = [step_of_head_bias(taught, labels, 0.5) for labels in (LABELS, LABELS % 2)]
    assert np.abs(half[0] - half[1]).max() > 1e-3


AUGMENTED = (
    "augment=heavy augment.flip=alternating augment.mixup=0.8 augment.cutmix=1.0",
    "augment=cifar augment.random_erasing=1.0 augment.color_jitter=[0.4,0.4,0.4,0.1]",
)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("words", AUGMENTED)
def test_its_own_teacher_has_nothing_to_teach_a_model(words, policy):
    """A copy of it has the same logits of each image, however that is augmented: it sees the same
    pixels, normalises them for itself, and computes as in inference in the same precision."""
    sizes = dict(patch_size=4, width=16, depth=2, num_heads=2, mlp_dim=16, pixel_mean=0.3)
    made = [
        build_vit(None, image_size=16, num_classes=3, dtype=policy, **sizes, **rates)
        for rates in ({}, dict(dropout=0.5, stochastic_depth=0.5))
    ]
    rng = np.random.default_rng(0)
    for weight in made[0].trainable_weights:
        weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    for weight, own in zip(made[1].trainable_weights, made[0].trainable_weights, strict=True):
        weight.assign(ops.convert_to_numpy(own))
    config = load_config(*words.split())
    model = TrainingModel(made[0], config, None, Teacher(made[1], range(3)), dtype=policy)
    model._compile(keras.optimizers.SGD(), False)
    images = rng.integers(0, 256, (6, 16, 16, 3)).astype("uint8")
    flipped = [np.arange(6) % 2 == 0] if model.alternates_flips else []
    outputs = model((images, np.arange(6) % 3, *flipped), training=True)
    logits = ops.convert_to_numpy(outputs["logits"])
    np.testing.assert_allclose(outputs["teacher_logits"], logits, rtol=1e-5, atol=1e-5)
    assert not np.allclose(logits, ops.convert_to_numpy(made[0](images)), atol=0.1)
    assert np.ptp(logits, axis=0).min() > 0.01


def test_a_step_trains_the_student_alone(taught):
    model = training_model(taught)
    before = [ops.convert_to_numpy(weight) for weight in taught[1].model.weights]
    head = ops.convert_to_numpy(taught[0].get_layer("head").kernel)
    model.train_on_batch((IMAGES, LABELS))
    for weight, value in zip(taught[1].model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert (ops.convert_to_numpy(taught[0].get_layer("head").kernel) != head).any()


def test_each_batch_has_the_logits_of_its_images():
    numbers = np.arange(10)
    split = Split(np.tile(numbers[:, None, None, None], (1, 2, 2, 1)).astype("uint8"), numbers)
    extra = np.stack([numbers, -numbers], axis=1).astype("float32")
    stream = training_batches(split, 4, seed=0, first_epoch=0, prefetch=1, extra=extra)
    ((images, labels, logits),) = next(iter(stream))
    np.testing.assert_array_equal(logits, extra[np.asarray(labels)])
    np.testing.assert_array_equal(np.asarray(images)[:, 0, 0, 0], labels)


REFUSED = {
    "train.teacher=nowhere": "train.teacher=nowhere does not exist",
    f"train.teacher={CIFAR}": f"train.teacher={CIFAR} does not know 0, 1, 2, 3, 4 and 5 more and",
    f"data.classes=[1,2] train.teacher={DIGITS}": f"train.teacher={DIGITS} also knows 0, 3, 4, 5",
    f"train.teacher={DIGITS} train.teacher_weight=0": "train.teacher_weight=0.0",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_teacher_that_cannot_teach_is_refused_before_anything_slow(words):
    with pytest.raises(SettingError) as refused:
        load_config(*words.split())
    assert str(refused.value).startswith(REFUSED[words])


def test_the_teachers_classes_are_put_in_the_order_of_the_data():
    assert class_order("t", ["cat", "dog", "ant"], ["ant", "cat", "dog"]) == [2, 0, 1]


@pytest.mark.slow
def test_a_run_with_a_teacher_resumes_exactly_and_only_with_it(tmp_path, monkeypatch):
    """From a relative path, with augmentation; and without, on cached logits."""
    monkeypatch.chdir(ROOT)
    settings = ("data.limit=128", "train.teacher=saved_models/digits")
    for augment in ("augment=shift", "augment=none"):
        folder = tmp_path / augment.partition("=")[2]
        with monkeypatch.context() as patch:
            keep_snapshots(patch, folder)
            trained(folder / "whole", *settings, augment, "optim.ema_momentum=0.9")
        log = (folder / "whole/train.log").read_text()
        is_cached = "logits of the training images are computed once" in log
        assert is_cached == (augment == "augment=none")
        assert not [path for path in state_of(folder / "whole") if path.startswith("teacher")]
        monkeypatch.chdir(tmp_path)
        shutil.copytree(folder / "1", folder / "resumed")
        resumed(folder / "resumed")
        assert_same(folder / "whole", folder / "resumed")
        monkeypatch.chdir(ROOT)
    assert json.loads((folder / "whole/paths.json").read_text())["train.teacher"] == DIGITS
    assert "teacher: saved_models/digits" in (folder / "whole/config.yaml").read_text()
    shutil.copytree(folder / "1", folder / "other")
    file = folder / "other/environment.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "teacher_fingerprint": "of others"}))
    with pytest.raises(SettingError, match=r"has other weights than that of run.resume="):
        resumed(folder / "other")
    with pytest.raises(SettingError, match=r"train.teacher=None differs from"):
        load_config(f"run.resume={folder / 'other'}", "train.teacher=null")


def test_a_teacher_that_was_trained_on_test_images_is_reported(tmp_path):
    (tmp_path / "config.yaml").touch()
    run = Run(tmp_path)
    write_training_images(run, image_hashes(IMAGES[1:]))
    run.close()
    splits = SimpleNamespace(validation=Split(IMAGES[:1], LABELS[:1]), test=Split(IMAGES, LABELS))
    config = Config(train=TrainConfig(teacher=str(tmp_path)))
    assert "was trained on 3 of the test images: scores" in trained_on(config, splits)
