"""A run directory belongs to one run, is written atomically, and restores checkpoints exactly."""

import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from keras import ops

from helpers.paths import ROOT
from vit_keras import SettingError, load_config
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import (
    AugmentConfig,
    Config,
    DataConfig,
    DistributeConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    PretrainedConfig,
    RunConfig,
    StageConfig,
    TrackingConfig,
    TrainConfig,
)
from vit_keras.runs import history, run_dir
from vit_keras.runs.listing import list_runs
from vit_keras.training import checkpoint, preflight
from vit_keras.training.callbacks import stopping

HOLD = """
import sys, time
from pathlib import Path
from vit_keras.runs.run_dir import Run
held = Run(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def held_run(tmp_path):
    made = run_dir.create(Config(run=RunConfig(root=str(tmp_path))))
    yield made
    made.close()


def test_runs_begun_in_one_second_have_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda pattern: "20260102-030405")
    config = Config(name="digits", run=RunConfig(root=str(tmp_path / "runs")))
    runs = [run_dir.create(config) for _ in range(4)]
    assert len({made.path for made in runs}) == 4
    for made in runs:
        assert made.path.name.startswith("digits-20260102-030405")
        assert (made.path / "config.yaml").is_file()
        made.close()


# Name of a run -> how its directory begins.
NAMES = {
    "digits": "digits-2",
    "Meine größte KI!": "Meine_größte_KI-2",
    ".hidden": "hidden-2",
    "-x": "x-2",
    "a/../b": "a_.._b-2",
    "..": "run-2",
    "a\nb\t": "a_b-2",
    "猫": "猫-2",
    "x" * 300: "x" * 100 + "-2",
    "ä" * 300: "ä" * 50 + "-2",
}


@pytest.mark.parametrize("name", NAMES)
def test_any_name_makes_a_directory_that_is_listed(name, tmp_path):
    config = Config(name=name, run=RunConfig(root=str(tmp_path)))
    preflight.check_settings(config)
    run_dir.create(config).close()
    (listed,) = list_runs(tmp_path)
    assert listed.name.startswith(NAMES[name])
    assert listed.config.name == name
    assert load_config(f"name={quote_override(name)}").name == name


def test_a_directory_asked_for_is_made_with_its_parents(tmp_path):
    path = tmp_path / "by" / "hand"
    made = run_dir.create(Config(run=RunConfig(dir=str(path))))
    made.close()
    assert made.path == path.resolve()


@pytest.mark.parametrize("name", [".hidden/run", ".new-run"])
def test_a_directory_that_is_never_listed_is_refused(name, tmp_path):
    asked = RunConfig(dir=str(tmp_path / name), root=str(tmp_path))
    with pytest.raises(SettingError, match=r"run\.dir=.* would not be listed among the runs"):
        run_dir.create(Config(run=asked))
    assert not any(tmp_path.iterdir())
    elsewhere = RunConfig(dir=str(tmp_path / ".cache" / "run"), root=str(tmp_path / ".cache"))
    run_dir.create(Config(run=elsewhere)).close()


@pytest.mark.parametrize("setting", ["dir", "root"])
def test_a_directory_that_cannot_be_made_is_refused(setting, tmp_path):
    (tmp_path / "file").write_text("")
    where = str(tmp_path / "file" / "below")
    with pytest.raises(SettingError) as caught:
        run_dir.create(Config(run=RunConfig(**{setting: where})))
    assert f"run.{setting}={where}" in str(caught.value)


def test_run_directory_in_use_is_refused(held_run):
    with pytest.raises(SettingError, match="in use"):
        run_dir.Run(held_run.path)
    held_run.close()
    run_dir.Run(held_run.path).close()


def test_a_run_of_another_process_is_refused_until_that_is_killed(held_run):
    held_run.close()
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(held_run.path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(SettingError, match="in use by another process"):
            run_dir.Run(held_run.path)
    finally:
        other.kill()
        other.communicate()
    run_dir.Run(held_run.path).close()


def write_half(path):
    path.write_text("ne")
    raise KeyboardInterrupt


def write_nothing(path):
    raise OSError("disk full")


@pytest.mark.parametrize("write", [write_half, write_nothing])
def test_a_file_stays_whole_when_its_successor_fails(write, held_run):
    held_run.write_text("notes.txt", "old")
    files = set(held_run.path.iterdir())

    def replace():
        with held_run.atomic_write("notes.txt") as path:
            write(path)

    with pytest.raises((OSError, KeyboardInterrupt)):
        replace()
    assert (held_run.path / "notes.txt").read_text() == "old"
    assert set(held_run.path.iterdir()) == files


def test_a_file_is_replaced_when_its_successor_is_whole(held_run):
    for text in ("old", "new"):
        held_run.write_text("notes.txt", text)
    held_run.write_json("numbers.json", {"ü": [1, 2.5]})
    assert (held_run.path / "notes.txt").read_text() == "new"
    assert held_run.read_json("numbers.json") == {"ü": [1, 2.5]}
    assert not list(held_run.path.glob(".new*"))


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe"])
def test_json_that_cannot_be_read_is_named(content, held_run):
    if content is not None:
        (held_run.path / "class_mapping.json").write_bytes(content)
    with pytest.raises(SettingError, match=r"class_mapping.json cannot be read"):
        held_run.read_json("class_mapping.json")


def test_a_run_keeps_the_configuration_that_it_was_begun_with(tmp_path):
    """Nothing here is at its default, which a lost setting would fall back to."""
    config = Config(
        name="größer",
        data=DataConfig(
            name="cifar100",
            path="a",
            image_column="file",
            label_column="kind",
            label_separator="|",
            several_labels=True,
            split_column="part",
            group_column="patient",
            fold="2/5",
            layout={"train": "a"},
            missing_classes="allow",
            suffixes=[".jpg"],
            tfds_dir="~/sets",
            download=True,
            image_size=[64, 32],
            classes=["apple", 3],
            limit=10,
            train_limit=9,
            validation_fraction=0.25,
            group_duplicates="near",
            prefetch=2,
            resize_mode="pad",
            background="black",
            bit_depth=12,
            value_range=[0, 4095],
            channels=5,
            decoder_version=1,
            on_bad_file="fail",
            follow_links=True,
            cache_mb=1,
            workers=2,
            sampling="sqrt",
            device_resident="false",
        ),
        model=ModelConfig(
            *("ti16", 4, 12, 2, 3, 24, "mean", "sincos2d", "tanh", "swiglu"),
            *(False, True, True, True, 1e-5, True, 4, "conv", 0.4, 0.1, 0.2, 0.3),
            initialization="mimetic",
            norm_epsilon=1e-12,
            pixel_mean=[0.1, 0.2, 0.3],
            pixel_std=0.25,
        ),
        pretrained=PretrainedConfig("a.npz", False, True, True, ["pooler.*"], 3, True),
        stages={"one": StageConfig({"last": 2}, 3, 0.1, 0.2, 0.3, 4, False), "two": StageConfig()},
        augment=AugmentConfig(
            *(2, True, [0.5, 1.0], [0.1, 0.2, 0.3, 0.4], "randaugment", 3, 15, 0.25, 0.8, 1.0),
            mix_probability=0.9,
            repeated_augmentation=3,
        ),
        optim=OptimConfig(
            *("sgd", 1e-7, 0.1, 0.2, 1e-30, 0.8, 0.7, 0.6, 2.5, 0.1, 0.99, 3, "batch"),
            *("wsd", 0.3, "run", "sqrt"),
        ),
        train=TrainConfig(
            *(3, 7, 2**32 - 1, "mixed_bfloat16", False, False, 2, 5, True, 8, 9, 4, ["onnx"]),
            *([2], "val_macro_f1", {"cat": 2.5, "7": 0.5}, 0.99, 5, "a", 3.0, 0.7, "hard"),
        ),
        loss=LossConfig("focal", 1.5, 0.1),
        distribute=DistributeConfig(2, 4, 3, 1, "a:1"),
        tracking=TrackingConfig("mlflow", "sqlite:///a.db", "b", "c", False),
        run=RunConfig(str(tmp_path), str(tmp_path / "run: #1")),
    )
    groups = ("data", "model", "pretrained", "augment", "optim", "loss", "train", "distribute")
    for group in (*groups, "tracking"):
        default, ours = vars(getattr(Config(), group)), vars(getattr(config, group))
        assert not [name for name in ours if ours[name] == default[name]]
    made = run_dir.create(config)
    made.close()
    assert run_dir.config_of_run(str(made.path)) == config
    plain = Config(run=RunConfig(dir=str(tmp_path / "plain")))
    run_dir.create(plain).close()
    assert run_dir.config_of_run(str(tmp_path / "plain")) == plain


def restored(held_run, model):
    """The state that was kept, and `model` with the numbers that were kept with it."""
    kept = checkpoint.load_latest(held_run)
    if kept is None:
        return None
    checkpoint.restore_checkpoint(kept, model)
    return kept.state


def model_of(width=4, seed=0, optimizer=keras.optimizers.Adam):
    """A compiled model with everything that has a state: weights, moving means, generators."""
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Dense(width, name="hidden"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dropout(0.5, name="drop"),
        keras.layers.Dense(2, name="head"),
    ]
    model = keras.Sequential([keras.Input((3,)), *layers], name="model")
    model.compile(optimizer(0.1, use_ema=True, name="optimizer"), "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


def train(model, first_epoch, epochs, at_epoch_end=None):
    rng = np.random.default_rng(0)
    model.fit(
        *(rng.normal(size=(8, 3)), rng.normal(size=(8, 2))),
        batch_size=4,
        initial_epoch=first_epoch,
        epochs=epochs,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=at_epoch_end)],
        shuffle=False,
        verbose=0,
    )
    return numbers(model)


def numbers(model):
    """Every number of a model and its optimizer, metrics aside."""
    measured = {id(v) for metric in model.metrics for v in metric.variables}
    everything = [*model.variables, *model.optimizer.variables]
    return [ops.convert_to_numpy(v) for v in everything if id(v) not in measured]


def assert_same(one, other):
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_checkpoint_brings_back_every_bit(held_run):
    """And training goes on as if it had never stopped, dropout and averages included."""
    state = {"rows": [{"epoch": 1, "loss": 0.1 + 0.2}]}
    model, resumed = model_of(), model_of(seed=1)
    saved = []

    def save(epoch, logs):
        if epoch == 1:
            checkpoint.save_checkpoint(held_run, 2, model, state)
            saved.extend(numbers(model))

    uninterrupted = train(model, 0, 3, save)
    assert restored(held_run, resumed) == state
    assert_same(numbers(resumed), saved)
    assert_same(train(resumed, 2, 3), uninterrupted)


@pytest.fixture
def two_checkpoints(held_run):
    """(run, another model); of the epochs 8, 9 and 10, where more digits are not more recent."""
    model = model_of()
    for epoch in (8, 9, 10):
        for variable in model.trainable_variables:
            variable.assign(ops.full(variable.shape, epoch))
        checkpoint.save_checkpoint(held_run, epoch, model, {"rows": epoch})
    return held_run, model_of(seed=1)


def newest(held_run):
    return sorted((held_run.path / "checkpoint").iterdir())[-1]


def test_the_newest_two_checkpoints_are_kept(two_checkpoints):
    held_run, model = two_checkpoints
    names = sorted(path.name for path in (held_run.path / "checkpoint").iterdir())
    assert names == ["epoch-00009.npz", "epoch-00010.npz"]
    assert restored(held_run, model) == {"rows": 10}


def cut(share):
    return lambda content: content[: int(len(content) * share)]


def flipped(share):
    def flip(content):
        place = int(len(content) * share)
        return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]

    return flip


def marked_as_encrypted(content):
    """One bit in the archive's directory: the flags of its first entry."""
    place = content.index(b"PK\x01\x02") + 8
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGE = {
    "empty": cut(0),
    "cut_early": cut(0.1),
    "cut_half": cut(0.5),
    "cut_late": cut(0.99),
    "byte_in_arrays": flipped(0.3),
    "another_byte_in_arrays": flipped(0.5),
    "flags": marked_as_encrypted,
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_passed_over(damage, two_checkpoints, caplog):
    held_run, model = two_checkpoints
    file = newest(held_run)
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    assert restored(held_run, model) == {"rows": 9}
    for variable in model.trainable_variables:
        np.testing.assert_array_equal(variable, 9)
    assert file.name in caplog.text
    assert "damaged" in caplog.text


def test_all_checkpoints_damaged_is_refused_with_nothing_restored(two_checkpoints, caplog):
    """And not taken for a run without any, which begins anew."""
    held_run, model = two_checkpoints
    before = numbers(model)
    files = sorted((held_run.path / "checkpoint").iterdir())
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(SettingError, match=r"run.resume=.* is damaged.* start a new run"):
        restored(held_run, model)
    assert all(file.name in caplog.text for file in files)
    assert_same(numbers(model), before)


def test_a_run_stopped_in_its_first_epoch_has_nothing_to_restore(held_run):
    assert restored(held_run, model_of()) is None


@pytest.mark.parametrize(
    "other",
    [dict(width=5), dict(optimizer=keras.optimizers.SGD)],
    ids=["width", "optimizer"],
)
def test_a_checkpoint_of_another_model_is_refused(other, two_checkpoints):
    held_run, _ = two_checkpoints
    model = model_of(**other)
    before = numbers(model)
    with pytest.raises(SettingError, match=r"epoch-00010.npz does not fit this model.*config.yaml"):
        restored(held_run, model)
    assert_same(numbers(model), before)


def test_a_failed_save_leaves_the_checkpoints_before(two_checkpoints):
    held_run, model = two_checkpoints
    with pytest.raises(TypeError):
        checkpoint.save_checkpoint(held_run, 11, model, {"rows": object()})
    assert newest(held_run).name == "epoch-00010.npz"
    assert restored(held_run, model) == {"rows": 10}


def rows(*results):
    """What is recorded of epochs that ended with these (validation accuracy, validation loss)."""
    return [
        {"epoch": index + 1, "val_accuracy": accuracy, "val_loss": loss}
        for index, (accuracy, loss) in enumerate(results)
    ]


BETTER, SAME, WORSE = (0.3, 1.0), (0.2, 2.0), (0.1, 0.5)  # by accuracy, whatever the loss
AS_ACCURATE = (0.2, 1.5)  # as SAME, with a lower loss


@pytest.mark.parametrize(
    ("results", "best"),
    [
        ((WORSE,), 1),
        ((SAME, BETTER, WORSE), 2),
        ((BETTER, SAME, BETTER), 1),
        ((SAME, AS_ACCURATE, SAME), 2),
        ((WORSE, SAME, BETTER), 3),
    ],
)
def test_the_best_epoch_is_the_most_accurate_then_that_of_the_lowest_loss(results, best):
    assert history.best_epoch(rows(*results)) == best


def test_the_best_epoch_is_that_of_the_monitored_score():
    scores = zip(rows(SAME, BETTER, WORSE), (3, 1, 2), strict=True)
    found = [{**row, "val_macro_f1": f1} for row, f1 in scores]
    best = {name: history.best_epoch(found, name) for name in ("val_macro_f1", "val_loss")}
    assert best == {"val_macro_f1": 1, "val_loss": 3}
    metrics = {"best_val_macro_f1": 0.4, "best_val_loss": 1.5}
    assert history.objective(metrics, "val_macro_f1") == 0.4
    assert history.objective(metrics, "val_loss") == -1.5  # a search looks for the highest
    assert history.objective({}, "val_accuracy") is None


@pytest.mark.parametrize(
    ("results", "patience", "stalled"),
    [
        ((), 1, False),
        ((SAME,), 1, False),
        ((SAME, WORSE), 1, True),
        ((SAME, WORSE), 2, False),
        ((SAME, WORSE, SAME), 2, True),
        ((SAME, WORSE, BETTER), 2, False),
        ((SAME, WORSE, WORSE, WORSE), None, False),
    ],
)
def test_a_run_has_stalled_after_so_many_epochs_without_a_better_one(results, patience, stalled):
    assert stopping.has_stalled(rows(*results), patience) is stalled
