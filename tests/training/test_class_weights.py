"""Class weights: their values, what of them is refused, and the loss that they give."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import log_softmax
from sklearn.utils.class_weight import compute_class_weight

from helpers.tiny_runs import keep_snapshots, state_of
from vit_keras import SettingError, build_splits, build_vit, load_config, train_model
from vit_keras.config.schema import Config, LossConfig, OptimConfig, TrainConfig
from vit_keras.data.splits import load_splits
from vit_keras.runs import history, run_dir
from vit_keras.training.class_weights import class_weights
from vit_keras.training.training_model import TrainingModel

LABELS = np.repeat([0, 1, 2], [400, 100, 4])
NAMES = ["ant", "bee", "cat"]


def weights(asked, beta=0.999):
    train = TrainConfig(class_weight=asked, class_weight_beta=beta)
    return class_weights(Config(train=train), LABELS, NAMES)


def test_balanced_weights_are_those_of_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(weights("balanced"), expected, rtol=1e-6)


def test_effective_weights_go_by_the_effective_number_of_samples():
    counts = np.bincount(LABELS)
    number = np.array([sum(0.99**i for i in range(count)) for count in counts])  # Cui et al., eq. 2
    found = weights("effective", 0.99)
    np.testing.assert_allclose(found / found[0], number[0] / number, rtol=1e-5)
    assert found[LABELS].mean() == pytest.approx(1)
    np.testing.assert_allclose(weights("effective", 0.0), 1)
    np.testing.assert_allclose(weights("effective", 1 - 1e-9), weights("balanced"), rtol=1e-4)


def test_named_weights_leave_the_others_at_one():
    assert weights("none") is None
    assert weights({"cat": 8}).tolist() == [1, 1, 8]


def test_weights_of_several_labels_balance_what_is_there_and_what_is_not():
    labels = np.array([[1, 1, 1, 0]] + [[1, 0, 1, 0]] * 3 + [[0, 0, 1, 0]] * 4, "float32")

    def found(asked, beta=0.999):
        train = TrainConfig(class_weight=asked, class_weight_beta=beta)
        return class_weights(Config(train=train), labels, ["ant", "bee", "cat", "dog"])

    assert found("balanced").tolist() == [1, 7, 1, 1]  # cats are everywhere, dogs nowhere
    np.testing.assert_allclose(found("effective", 1 - 1e-9), found("balanced"), rtol=1e-4)
    np.testing.assert_allclose(found("effective", 0.5)[1], sum(0.5**i for i in range(7)), rtol=1e-6)
    assert found({"bee": 5}).tolist() == [1, 5, 1, 1]


REFUSED = {
    "train.class_weight=balancd": "train.class_weight=balancd is unknown; did you mean balanced?",
    "train.class_weight={10: 2}": "train.class_weight of 10=2: 10 is no class of these data; did y",
    "train.class_weight={1: 0}": "train.class_weight of 1=0 would leave the class untrained; use a",
    "train.class_weight={1: -2.5}": "train.class_weight of 1=-2.5 would leave the class untrained",
    "train.class_weight={1: a}": "train.class_weight of 1=a is not a number; use a number above 0",
    "train.class_weight={1: 1}": "train.class_weight={1: 1} has no effect: every class has the sa",
    "train.class_weight=balanced data.sampling=sqrt": "train.class_weight=balanced and data.sampl",
    "loss=focal loss.gamma=-1": "loss.gamma=-1.0 is out of range; use 0 or more",
    "train.monitor=val_acuracy": "train.monitor=val_acuracy is unknown; did you mean val_accuracy",
    "data.sampling=sqr": "data.sampling=sqr is unknown; did you mean sqrt?",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_work_is_refused_before_anything_slow(words):
    words = words.split() if "{" not in words else [words]
    with pytest.raises(SettingError) as refused:
        load_config(*words)
    assert str(refused.value).startswith(REFUSED[" ".join(words)])


@pytest.fixture(scope="module")
def vit():
    sizes = dict(patch_size=4, width=8, depth=1, num_heads=2, mlp_dim=8)
    model = build_vit(None, image_size=8, num_classes=3, channels=1, **sizes)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    return model


def training_model(vit, own, loss="cross_entropy", task="classification", **augment):
    config = Config(task=task, optim=OptimConfig(label_smoothing=0.2), loss=LossConfig(loss))
    for name, value in augment.items():
        setattr(config.augment, name, value)
    model = TrainingModel(vit, config, own)
    model._compile(keras.optimizers.SGD(), False)
    return model


def loss_of(model, images, labels):
    return model.compute_loss(y_pred=model((images, labels), training=True), training=True)


IMAGES = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 1)).astype("float32")


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_an_image_of_weight_two_counts_as_two_images(vit, loss):
    """With label smoothing, and also by the gradient, in the mean over the batch's images."""
    labels, twice = np.array([0, 1, 2, 1]), [0, 0, 1, 2, 3]
    weighted = training_model(vit, np.array([2, 1, 1], "float32"), loss)
    plain = training_model(vit, None, loss)

    def total(model, images, labels):
        return loss_of(model, images, labels) * len(labels)

    parts = [(weighted, IMAGES, labels), (plain, IMAGES[twice], labels[twice])]
    losses = [float(total(*part)) for part in parts]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    gradients = []
    for part in parts:
        with tf.GradientTape() as tape:
            loss = total(*part)
        gradients.append(tape.gradient(loss, vit.get_layer("head").kernel.value))
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-6)


def test_mixed_images_have_the_mixed_losses_of_both(vit):
    """lambda w_a loss(a) + (1 - lambda) w_b loss(b), of smoothed targets, by NumPy."""
    labels, own = np.array([0, 1, 2, 2]), np.array([1, 5, 0.5], "float32")
    model = training_model(vit, own, mixup=1.0)
    made = model((IMAGES, labels), training=True)
    one_hot = np.eye(3)[labels]
    smooth = one_hot * 0.8 + 0.2 / 3
    targets = ops.convert_to_numpy(made["targets"])
    # Image 0 (ant) is mixed with image 3 (cat): lambda from the target of bee's neighbours.
    lam = (targets[0, 0] - 0.2 / 3) / 0.8
    assert 0 < lam < 1
    log_p = log_softmax(ops.convert_to_numpy(made["logits"]), axis=-1)
    w = own[labels][:, None]
    mixed = lam * w * smooth + (1 - lam) * (w * smooth)[::-1]
    expected = -(mixed * log_p).sum(axis=-1).mean()
    assert float(model.compute_loss(y_pred=made, training=True)) == pytest.approx(
        expected, rel=1e-4
    )


@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_weights_of_several_labels_are_of_those_that_are_there(vit, mixup):
    """-w t log p - (1 - t) log(1 - p), as torch's BCEWithLogitsLoss(pos_weight=w), by NumPy."""
    labels, own = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0], [1, 1, 1]], "float32"), [2, 5, 0.5]
    model = training_model(vit, np.array(own, "float32"), task="multilabel", mixup=mixup)
    made = model((IMAGES, labels), training=True)
    t, logits = (ops.convert_to_numpy(made[name]) for name in ("targets", "logits"))
    expected = (own * t * np.logaddexp(0, -logits) + (1 - t) * np.logaddexp(0, logits)).mean()
    assert float(model.compute_loss(y_pred=made, training=True)) == pytest.approx(
        expected, rel=1e-5
    )
    held_out = model((IMAGES, labels), training=False)
    t, logits = (ops.convert_to_numpy(held_out[name]) for name in ("targets", "logits"))
    expected = (t * np.logaddexp(0, -logits) + (1 - t) * np.logaddexp(0, logits)).mean()
    assert float(model.compute_loss(y_pred=held_out, training=False)) == pytest.approx(
        expected, rel=1e-5
    )


def test_the_loss_of_validation_is_unweighted(vit):
    labels = np.array([0, 1, 2, 2])
    made = [
        training_model(vit, own)((IMAGES, labels), training=False)
        for own in (None, np.array([1, 5, 0.5], "float32"))
    ]
    assert [set(one) for one in made] == [{"logits", "targets"}] * 2
    np.testing.assert_array_equal(made[0]["targets"], made[1]["targets"])


@pytest.mark.slow
def test_a_weighted_and_sampled_run_resumes_exactly(tmp_path, monkeypatch):
    """With MixUp, smoothing, accumulation and a monitored F1; its files say what was done."""
    digits = load_splits(load_config("data=digits").data, seed=0)
    labels = digits.train.labels
    kept = np.flatnonzero((labels > 2) | (np.arange(len(labels)) % 8 == 0))
    splits = build_splits(
        digits.train.take(kept[:400]), digits.validation, digits.test, digits.class_names
    )
    config = load_config(
        *("data=arrays", "model.depth=1", "train.epochs=2", "train.batch_size=16"),
        *("train.jit_compile=false", "train.monitor=val_macro_f1", "train.class_weight={1: 3}"),
        *("data.sampling=sqrt", "augment.mixup=0.4", "optim.label_smoothing=0.1", "loss=focal"),
        *("optim.gradient_accumulation_steps=2", f"run.dir={tmp_path / 'run'}"),
    )
    keep_snapshots(monkeypatch, tmp_path / "kept")
    run = train_model(config, splits)
    monkeypatch.undo()
    folder = tmp_path / "kept/1"
    again = run_dir.config_of_run(str(folder))
    again.run.resume = str(folder)
    train_model(again, splits)
    for group in ("model", "optimizer"):
        whole, parts = state_of(run.path, group), state_of(folder, group)
        assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    rows = history.read_history(run.path)
    best = max(row["val_macro_f1"] for row in rows)
    assert run.metrics["best_val_macro_f1"] == pytest.approx(best)
    assert {"test_macro_f1", "test_balanced_accuracy", "best_val_accuracy"} <= {*run.metrics}
    assert history.objective(run.metrics, "val_macro_f1") == run.metrics["best_val_macro_f1"]
    text = (run.path / "train.log").read_text()
    assert "weights of the classes in the training loss: 1 3, 0 1, 2 1, 3 1" in text
