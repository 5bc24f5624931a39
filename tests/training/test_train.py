"""A run from configuration to metrics, and failures on the way."""

import gc
import json
import shutil
import signal

import keras
import numpy as np
import pytest
import sklearn.metrics

from helpers.trained_runs import SMALL, assert_same, final_state, history, trained
from vit_keras import (
    SettingError,
    build_splits,
    evaluate_run,
    load_config,
    open_run,
    train_model,
)
from vit_keras.data import dataset, registry
from vit_keras.data.splits import load_splits, with_test_split
from vit_keras.errors import DivergedError
from vit_keras.runs import run_dir, run_end
from vit_keras.training import checkpoint
from vit_keras.training.callbacks import stopping
from vit_keras.training.training_model import TrainingModel

# The design's list; `checkpoint/` besides.
FILES = {
    "config.yaml",
    "environment.json",
    "history.csv",
    "curves.png",
    "class_mapping.json",
    "best.keras",
    "last.keras",
    "metrics.json",
    "model_summary.txt",
    "training_images.npz",
    "train.log",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(
        tmp_path_factory.mktemp("runs") / "whole", "optim.ema_momentum=0.9", "model.dropout=0.1"
    )


def test_a_run_leaves_every_file(run):
    assert {path.name for path in run.path.iterdir()} >= FILES
    assert len(list((run.path / "checkpoint").glob("*.npz"))) == 2
    assert (run.path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(run.path.glob("**/.new-*"))


def test_metrics_hold_what_was_measured(run):
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert metrics == run.metrics
    assert 0 <= metrics["test_accuracy"] <= 1
    assert metrics["params"] == keras.models.load_model(run.path / "best.keras").count_params()
    assert metrics["best_val_accuracy"] == max(float(r["val_accuracy"]) for r in history(run.path))
    for name in ("test_loss", "images_per_second", "train_seconds", "peak_memory_mb"):
        assert metrics[name] > 0


def test_unequal_classes_are_in_the_last_lines_and_in_the_metrics(tmp_path, capsys):
    """19 good parts for each defect: the accuracy of a model that finds none looks well."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (400, 8, 8, 1)).astype("uint8")
    labels = (np.arange(400) % 20 == 0).astype("int32")
    names = ["good", "defect"]
    config = load_config(
        "recipe=digits", "data=arrays", "train.epochs=1", "train.jit_compile=false",
        "model.depth=1", f"run.dir={tmp_path / 'run'}",
    )  # fmt: skip
    run = train_model(config, {"train": (images, labels), "class_names": names})
    test = build_splits((images, labels)).test
    model = keras.models.load_model(run.path / "best.keras")
    predicted = model.predict(test.images, verbose=0).argmax(axis=-1)
    recall = sklearn.metrics.recall_score(test.labels, predicted, average=None)
    found = run.metrics
    assert found["test_balanced_accuracy"] == pytest.approx(recall.mean())
    assert found["test_worst_class"] == names[recall.argmin()]
    assert found["test_worst_class_recall"] == pytest.approx(recall.min())
    assert found["test_class_imbalance"] == 19
    assert (found["test_images"], found["validation_images"]) == (80, 32)
    assert found["test_accuracy"] == pytest.approx((predicted == test.labels).mean())
    low, high = found["test_accuracy_interval"]
    assert low < found["test_accuracy"] < high
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "trained in" in line]
    for words in (
        ", balanced accuracy ",
        f", worst class {names[recall.argmin()]} ",
        "on 80 images",
    ):
        assert words in line


def test_too_few_validation_images_to_choose_by_are_reported(tmp_path, capsys):
    run = trained(tmp_path / "few", "data.limit=40", "train.epochs=1", "train.batch_size=8")
    assert run.metrics["validation_images"] == 4
    out = capsys.readouterr().out
    assert "warning: the validation split has 4 images, too few to choose the best epoch by" in out
    assert "the test split" not in out


def test_test_accuracy_is_that_of_the_saved_best_model_on_raw_pixels(run):
    splits = load_splits(load_config(*SMALL).data, seed=0)
    model = keras.models.load_model(run.path / "best.keras")
    predicted = model.predict(splits.test.images, verbose=0).argmax(-1)
    assert np.mean(predicted == splits.test.labels) == pytest.approx(run.metrics["test_accuracy"])


def test_environment_says_what_it_ran_on(run):
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["packages"]["keras"] == keras.__version__
    assert environment["backend"] == keras.backend.backend()
    assert environment["precision"] == "float32"
    assert environment["precision_reason"]
    assert len(environment["data_fingerprint"]) == 64


def test_history_has_a_row_an_epoch_with_its_speed(run):
    rows = history(run.path)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(float(row["images_per_second"]) > 0 for row in rows)


def test_saved_models_hold_the_average_and_the_checkpoint_the_raw_weights(run):
    state = final_state(run.path)
    averages = {
        k.rpartition("/")[2]: v for k, v in state.items() if k.endswith("head_kernel_average")
    }
    (average,) = averages.values()
    (raw,) = (v for k, v in state.items() if k.startswith("model/") and k.endswith("head/kernel"))
    saved = keras.models.load_model(run.path / "last.keras").get_layer("head").kernel
    np.testing.assert_array_equal(saved, average)
    assert np.abs(raw - average).max() > 0


def test_a_resumed_run_equals_the_uninterrupted_one(run, tmp_path):
    """The state after epoch 1 is put back as a kill in epoch 2 would have left it."""
    resumed = tmp_path / "resumed"
    shutil.copytree(run.path, resumed)
    (resumed / "checkpoint" / "epoch-00002.npz").unlink()
    (resumed / "metrics.json").unlink()
    config = run_dir.config_of_run(str(resumed))
    config.run.resume = str(resumed)
    result = train_model(config)
    assert_same(run.path, resumed)
    assert result.metrics["test_loss"] == run.metrics["test_loss"]


def test_a_kill_between_the_checkpoint_and_the_models_loses_neither(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    for name in ("best.keras", "last.keras", "metrics.json"):
        (copy / name).unlink()
    newest = run.metrics["best_epoch"]
    for path in (copy / "checkpoint").glob("*.npz"):
        if path.name > f"epoch-{newest:05d}.npz":
            path.unlink()
    result = train_model(load_config(f"run.resume={copy}"))
    assert result.metrics["test_loss"] == run.metrics["test_loss"]


def test_python_resumes_with_the_runs_own_settings(run):
    kept = load_config(f"run.resume={run.path}")
    assert (kept.train.epochs, kept.model.dropout, kept.optim.ema_momentum) == (2, 0.1, 0.9)
    with pytest.raises(SettingError, match="differs"):
        load_config(f"run.resume={run.path}", "model.width=96")


def test_a_finished_run_goes_on_with_more_epochs(run, tmp_path):
    longer = tmp_path / "longer"
    shutil.copytree(run.path, longer)
    config = run_dir.config_of_run(str(longer))
    config.run.resume, config.train.epochs = str(longer), 3
    for name in ("temperature.json", "abstention.npz"):  # of the best model till now
        (longer / name).write_text('{"temperature": 2}')
    metrics = train_model(config).metrics
    assert metrics["epochs"] == 3
    for name in ("temperature.json", "abstention.npz"):
        assert (longer / name).exists() == (metrics["best_epoch"] < 3)
    assert [row["loss"] for row in history(longer)][:2] == [r["loss"] for r in history(run.path)]
    kept = run_dir.config_of_run(str(longer))
    assert (kept.train.epochs, kept.run.resume) == (3, None)


def test_resuming_a_finished_run_only_evaluates_it(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    config = run_dir.config_of_run(str(copy))
    config.run.resume = str(copy)
    (copy / "temperature.json").write_text('{"temperature": 2}')
    assert train_model(config).metrics["test_loss"] == run.metrics["test_loss"]
    assert history(copy) == history(run.path)
    assert open_run(copy).temperature == 2


def test_a_damaged_checkpoint_falls_back_to_the_one_before(run, tmp_path, capsys):
    resumed = tmp_path / "resumed"
    shutil.copytree(run.path, resumed)
    newest = resumed / "checkpoint" / "epoch-00002.npz"
    newest.write_bytes(newest.read_bytes()[:-1000])
    config = run_dir.config_of_run(str(resumed))
    config.run.resume = str(resumed)
    train_model(config)
    assert "epoch-00002.npz is damaged" in capsys.readouterr().out
    assert_same(run.path, resumed)


def test_other_settings_than_the_resumed_runs_are_refused(run):
    config = run_dir.config_of_run(str(run.path))
    config.run.resume, config.data.classes = str(run.path), [0, 1, 2]
    before = (run.path / "metrics.json").read_bytes()
    with pytest.raises(SettingError, match=r"data.classes=\[0, 1, 2\] differs from None"):
        train_model(config)
    assert (run.path / "metrics.json").read_bytes() == before


def inverted(split):
    return dataset.Split(255 - split.images, split.labels)


@pytest.mark.parametrize(
    "change",
    [
        lambda read: read._replace(train=inverted(read.train)),
        lambda read: read._replace(test=inverted(read.test)),
        lambda read: read._replace(class_names=read.class_names[::-1]),
    ],
    ids=["training_images", "test_images", "class_names"],
)
def test_other_data_than_the_resumed_runs_are_refused(change, run, monkeypatch):
    config = run_dir.config_of_run(str(run.path))
    config.run.resume = str(run.path)
    changed = change(with_test_split(registry.read_dataset(config.data)))
    monkeypatch.setattr(registry, "read_dataset", lambda _: changed)
    before = (run.path / "metrics.json").read_bytes()
    with pytest.raises(SettingError, match="fingerprint"):
        train_model(config)
    assert (run.path / "metrics.json").read_bytes() == before


def test_nan_stops_the_run_and_names_the_step(tmp_path):
    with pytest.raises(DivergedError, match=r"at step \d+ \(epoch 1, batch \d+\).*learning_rate"):
        trained(tmp_path / "run", "optim=sgd", "optim.learning_rate=1e30", "optim.clip_norm=null")
    assert not (tmp_path / "run" / "metrics.json").exists()
    end = run_end.read_end(tmp_path / "run")
    assert (end.reason, end.message[:16]) == ("diverged", "the loss became ")
    assert "ended: diverged: the loss became " in (tmp_path / "run" / "train.log").read_text()


def test_more_images_in_a_batch_than_the_chosen_classes_have_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"train\.batch_size=300 is more than the 25\d images"):
        trained(tmp_path / "run", "data.classes=[0,1]", "train.batch_size=300")
    assert not (tmp_path / "run").exists()


def test_the_model_of_a_run_is_released_when_it_has_ended(tmp_path):
    """Runs in a loop, as in a notebook, do not keep the models of all of them."""

    def models():
        keras.backend.clear_session()
        gc.collect()
        return sum(type(one) is TrainingModel for one in gc.get_objects())

    before = models()
    trained(tmp_path / "run", "train.epochs=1")
    assert models() <= before


def test_early_stopping_ends_before_the_last_epoch(tmp_path):
    overrides = ("optim.learning_rate=1e-9", "train.early_stopping=1", "train.epochs=9")
    run = trained(tmp_path / "run", *overrides)
    assert run.metrics["epochs"] < 9
    end = run_end.read_end(run.path)
    assert end.reason == "early stopping"
    done = f"after {run.metrics['epochs']} of 9 epochs"
    assert end.message.startswith(
        f"early stopping {done}: stage all ended {done}, 1 after its best"
    )
    log = (run.path / "train.log").read_text()
    assert f"early stopping: stage all ended {done}, 1 after its best" in log  # when it happens
    assert f"{end.message}\n" in log  # at the end
    assert run.metrics["ended_by"] == "early stopping"


def test_a_run_to_its_last_epoch_was_not_stopped(run):
    assert run.metrics["ended_by"] == "last epoch"
    assert "early stopping" not in (run.path / "train.log").read_text()


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "float32"])
def test_an_evaluation_computes_as_the_test_after_training(precision, tmp_path):
    """In half precision, XLA and TensorFlow's own kernels round in other places."""
    run = trained(tmp_path / "run", f"train.precision={precision}", "train.jit_compile=true")
    report = evaluate_run(run.path, images=10).report
    assert report["accuracy"] == pytest.approx(run.metrics["test_accuracy"], abs=1e-6)
    assert report["loss"] == pytest.approx(run.metrics["test_loss"], rel=1e-6)


def test_every_switch_of_training_at_once(tmp_path):
    """Resized, augmented heavily, smoothed, accumulated, in bfloat16 under XLA, with logs."""
    run = trained(
        tmp_path / "run",
        "data.image_size=[16,8]",
        "data.classes=[3,7]",
        "model.pool=mean",
        "augment=heavy",
        "optim.label_smoothing=0.1",
        "optim.gradient_accumulation_steps=2",
        "optim.ema_momentum=0.9",
        "train.precision=mixed_bfloat16",
        "train.jit_compile=true",
        "train.tensorboard=true",
        "data.limit=200",
    )
    model = keras.models.load_model(run.path / "best.keras")
    assert model.input_shape == (None, 16, 8, 1)
    assert model.output_shape == (None, 2)
    assert model.output.dtype == "float32"
    assert list((run.path / "tensorboard").glob("train/events*"))
    assert json.loads((run.path / "class_mapping.json").read_text()) == {"0": "3", "1": "7"}


def test_checkpoint_of_another_model_is_refused(run, tmp_path):
    """A `config.yaml` that was changed by hand."""
    shutil.copytree(run.path, tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    file.write_text(file.read_text().replace("width: 48", "width: 24"))
    config = run_dir.config_of_run(str(tmp_path / "run"))
    config.run.resume = str(tmp_path / "run")
    with pytest.raises(SettingError, match="does not fit this model"):
        train_model(config)
    assert len(list((tmp_path / "run" / "checkpoint").iterdir())) == checkpoint.MAX_CHECKPOINTS


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_waits_for_the_end_of_the_batch(tmp_path, monkeypatch):
    """Sent inside a destructor, where an exception would be lost and the training go on."""

    class Nuisance:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(stopping.StopOnNaN, "on_epoch_begin", lambda *_: Nuisance() and None)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
