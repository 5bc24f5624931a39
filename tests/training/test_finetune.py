"""Fine-tuning with a baseline, and a wrapped SavedModel through all stages."""

import json
import shutil

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers.tiny_runs import keep_snapshots, layers_of, resumed, state_of, tiny_vit, tuned, tuning
from helpers.trained_runs import assert_same
from helpers.weight_files import timm
from vit_keras import SettingError
from vit_keras.data import splits
from vit_keras.model.vit import describe
from vit_keras.runs.run_dir import BASELINE
from vit_keras.training.build_model import build_training_model
from vit_keras.training.finetune import finetune_model
from vit_keras.training.training_model import TrainingModel

WHOLE = ("pretrained.wrap_saved_model=true", "pretrained.train_all=true")
SHORT = ("stages.head.epochs=1", "stages.all.epochs=1")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny_vit(tmp_path_factory.mktemp("file") / "vit.keras")


@pytest.fixture(scope="module")
def compared(file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = tuning(file, *SHORT, "pretrained.baseline=true", f"run.dir={folder}")
    return config, finetune_model(config)


def test_the_baseline_is_a_run_of_its_own_with_the_same_budget(compared, file):
    _, result = compared
    scratch = result.path / BASELINE
    theirs = json.loads((scratch / "metrics.json").read_text())
    ours = json.loads((result.path / "metrics.json").read_text())
    assert ours == result.metrics
    assert ours["from_scratch_test_accuracy"] == theirs["test_accuracy"]
    assert ours["epochs"] == theirs["epochs"] == 2
    assert ours["params"] == theirs["params"]
    untrained = keras.models.load_model(file)
    pretrained, fresh = (
        keras.models.load_model(place / "last.keras").get_layer("encoder_block_0").attention.qkv
        for place in (result.path, scratch)
    )
    start = untrained.get_layer("encoder_block_0").attention.qkv.kernel
    near, far = (np.abs(layer.kernel - start).max() for layer in (pretrained, fresh))
    assert near < 0.1 < far  # two epochs move a weight a little


def test_resuming_a_compared_run_trains_nothing_again(compared, monkeypatch, capsys):
    config, result = compared
    monkeypatch.setattr(TrainingModel, "fit", None)
    config.run.resume = str(result.path)
    again = finetune_model(config)
    config.run.resume = None
    assert again.metrics["test_loss"] == result.metrics["test_loss"]
    key = "from_scratch_test_accuracy"
    assert again.metrics[key] == result.metrics[key]
    ours, theirs = (again.metrics[name] for name in ("test_accuracy", key))
    out = capsys.readouterr().out
    assert f"{ours:.4f} pretrained, {theirs:.4f} from scratch" in out
    assert f" on {again.metrics['test_images']} images)" in out.split("from scratch")[-1]


def test_a_baseline_that_was_killed_goes_on(compared, monkeypatch):
    config, result = compared
    (result.path / BASELINE / "checkpoint" / "epoch-00002.npz").unlink()
    (result.path / BASELINE / "metrics.json").unlink()
    config.run.resume = str(result.path)
    again = finetune_model(config)
    config.run.resume = None
    key = "from_scratch_test_accuracy"
    assert again.metrics[key] == result.metrics[key]


def test_nothing_to_fine_tune_is_refused(file):
    config = tuning(file)
    config.pretrained.handle = None
    with pytest.raises(SettingError, match=r"pretrained\.handle is not set"):
        finetune_model(config)


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory):
    """(the SavedModel's own object, folder with a snapshot an epoch and `whole`)."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow runs a SavedModel")
    from helpers.saved_model_files import Net, write

    folder, net = tmp_path_factory.mktemp("opaque"), Net(trainable=False)
    write(folder / "saved", net)
    with pytest.MonkeyPatch.context() as monkeypatch:
        keep_snapshots(monkeypatch, folder)
        tuned(folder / "whole", folder / "saved", *SHORT, *WHOLE,
              "stages.all.layer_decay=0.5", "stages.all.learning_rate=1e-2")  # fmt: skip
    return net, folder


def test_a_wrapped_backbone_is_frozen_and_then_trains(wrapped):
    net, folder = wrapped
    first, last = (state_of(folder / epoch) for epoch in "12")
    original = sorted(value.numpy().tobytes() for value in (net.w1, net.b1, net.w2, net.b2))
    backbone = {path for path in first if path.startswith("backbone/")}
    assert sorted(first[path].tobytes() for path in backbone) == original
    assert layers_of(first) - {"seed_generator"} == {"backbone", "head"}
    for path in {"head/kernel", "head/bias", *backbone}:
        assert (first[path] != last[path]).any(), path


def test_a_saved_wrapped_model_carries_what_was_trained(wrapped):
    _, folder = wrapped
    model = keras.models.load_model(folder / "whole" / "last.keras", safe_mode=False)
    state = state_of(folder / "whole")
    for weight in model.weights:
        np.testing.assert_array_equal(weight, state[weight.path], err_msg=weight.path)
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 4, 3)).astype("float32")
    of = {value.shape: value for path, value in state.items() if path.startswith("backbone/")}
    hidden = np.logaddexp(0, (images / 127.5 - 1).mean((1, 2)) @ of[3, 8] + of[8,])
    expected = (hidden @ of[8, 5] + of[5,]) @ state["head/kernel"] + state["head/bias"]
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_a_wrapped_run_resumes_exactly(wrapped, tmp_path):
    _, folder = wrapped
    shutil.copytree(folder / "1", tmp_path / "run")
    resumed(tmp_path / "run")
    assert_same(folder / "whole", tmp_path / "run")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ((*WHOLE, "pretrained.baseline=true"), "pretrained.baseline=false"),
        ((*WHOLE, "pretrained.load_weights=false"), "pretrained.load_weights=true"),
        ((*WHOLE, "stages.all.trainable={last: 1}"), "use head or all"),
        ((*WHOLE, "model.dropout=0.1"), "dropout"),
        ((), "train_all"),
    ],
)
def test_what_a_wrapped_model_cannot_is_refused_before_there_is_a_run(
    overrides, named, wrapped, tmp_path
):
    with pytest.raises(SettingError, match=named):
        tuned(tmp_path / "run", wrapped[1] / "saved", *overrides)
    assert not (tmp_path / "run").exists()


def test_what_a_file_does_not_say_is_said_by_the_settings(tmp_path):
    save_file(timm(), tmp_path / "w.safetensors")
    words = ["data.image_size=16", "model.gelu=tanh", "model.pixel_mean=[0.4,0.5,0.6]"]
    with pytest.raises(SettingError, match=r"^pretrained\.handle=.*set model\.num_heads=$"):
        built(tuning(tmp_path / "w.safetensors", *words))
    model = built(tuning(tmp_path / "w.safetensors", *words, "model.num_heads=4"))
    facts = describe(model.vit)
    assert (facts["num_heads"], facts["gelu"]) == (4, "tanh")
    np.testing.assert_allclose(facts["pixel_mean"], [0.4, 0.5, 0.6])


def built(config):
    return build_training_model(config, splits.load_splits(config.data, 0), "float32")[0]
