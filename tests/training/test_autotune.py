"""Precision and XLA that `auto` decides by timing the training step."""

import json

import pytest

from helpers.tiny_runs import keep_snapshots, resumed
from helpers.trained_runs import SMALL, assert_same, trained
from vit_keras import load_config, train_model
from vit_keras.config.schema import TrainConfig
from vit_keras.errors import ResourceError, SettingError
from vit_keras.runs import run_dir
from vit_keras.training import autotune, processor, step_time
from vit_keras.training import train as train_module
from vit_keras.training.step_time import Pair

XLA, LAYERS, HALF = (
    Pair("float32", True),
    Pair("float32", "layers"),
    Pair("mixed_bfloat16", "layers"),
)
SPEEDS = {XLA: 76.0, LAYERS: 84.0, HALF: 112.0}


@pytest.fixture
def cpu_with_bfloat16(monkeypatch):
    monkeypatch.setattr(autotune, "resolve_precision", _float32)
    monkeypatch.setattr(processor, "has_bfloat16", lambda: True)


def _float32(asked):
    return autotune.Precision("float32" if asked == "auto" else asked, "")


@pytest.fixture
def timed(monkeypatch, cpu_with_bfloat16):
    """Every training is long enough, and its step as fast as `SPEEDS` says; the pairs timed."""
    found = []

    def speed(plan, splits, stage, pair):
        found.append(pair)
        return SPEEDS[pair]

    monkeypatch.setattr(autotune, "_expected_seconds", lambda plan, vit: 1e6)
    monkeypatch.setattr(step_time, "images_per_second", speed)
    return found


OVERRIDES = ("train.jit_compile=auto", "data.limit=60", "model.depth=1")


def small(directory, *overrides):
    return trained(directory, *OVERRIDES, *overrides)


def prepared(*overrides):
    config = load_config(*SMALL, *OVERRIDES, *overrides)
    return train_module.prepare(config, may_measure=True)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [XLA, LAYERS, HALF]),
        ({"precision": "float32"}, [XLA, LAYERS]),
        ({"jit_compile": False}, [Pair("float32", False), Pair("mixed_bfloat16", False)]),
        ({"jit_compile": True}, [XLA, Pair("mixed_bfloat16", True)]),
        ({"precision": "mixed_bfloat16"}, [Pair("mixed_bfloat16", True), HALF]),
        ({"jit_compile": "layers"}, [LAYERS, HALF]),
        ({"precision": "float32", "jit_compile": True}, [XLA]),
    ],
)
def test_what_is_tried_is_what_the_settings_leave_open(settings, expected, cpu_with_bfloat16):
    train = TrainConfig(**settings)
    default, _ = autotune.default_pair(train)
    assert autotune.candidates(train, default) == expected


@pytest.mark.parametrize("flags", ["avx2 avx512f", "avx2 avx512_bf16", "amx_bf16 avx2"])
def test_bfloat16_is_not_tried_where_it_is_emulated(flags, monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: A, B\nflags\t\t: {flags}\n\nmodel name\t: C\n")
    monkeypatch.setattr(processor, "CPUINFO", cpuinfo)
    processor._fields.cache_clear()
    found = processor.name(), processor.has_bfloat16()
    processor._fields.cache_clear()
    assert found == ("A, B", "bf16" in flags)


def test_the_fastest_is_taken_unless_it_is_noise():
    assert autotune.fastest(SPEEDS, XLA) == HALF
    assert autotune.fastest({XLA: 100.0, LAYERS: 104.0}, XLA) == XLA
    assert autotune.fastest({LAYERS: 50.0}, XLA) == LAYERS  # the default does not work


def test_a_pair_that_fails_is_left_out():
    def speed(pair):
        if pair == HALF:
            raise RuntimeError("no kernel\nand more")
        return SPEEDS[pair]

    assert autotune.measure(SPEEDS, speed) == {XLA: 76.0, LAYERS: 84.0}


def test_where_none_works_the_last_error_and_the_way_out_are_said():
    def fail(pair):
        raise RuntimeError(f"no kernel for {pair}\nand more")

    with pytest.raises(SettingError, match=r"no kernel for mixed_bfloat16.*autotune=false") as info:
        autotune.measure(SPEEDS, fail)
    assert "\n" not in str(info.value)


def test_where_memory_is_missing_that_is_said(timed, monkeypatch, tmp_path):
    def fail(*arguments):
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")

    monkeypatch.setattr(step_time, "images_per_second", fail)
    with pytest.raises(ResourceError, match=r"train\.batch_size="):
        small(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_choice_is_kept_with_the_run_and_for_the_next_one(timed, tmp_path, monkeypatch):
    run = small(tmp_path / "run", "train.epochs=1")
    assert timed == [XLA, LAYERS, HALF]
    kept = run_dir.config_of_run(str(run.path)).train
    assert (kept.precision, kept.jit_compile) == ("mixed_bfloat16", "layers")
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["precision"] == "mixed_bfloat16"
    assert "112 images/s; float32 with XLA 76" in environment["precision_reason"]

    # A machine that would decide otherwise resumes it as it was begun, whoever asks for `auto`.
    monkeypatch.setitem(SPEEDS, XLA, 1000.0)
    words = ("train.epochs=2", "train.precision=auto", f"run.resume={run.path}")
    train_model(load_config(*words))
    again = run_dir.config_of_run(str(run.path)).train
    assert (again.precision, again.jit_compile) == ("mixed_bfloat16", "layers")
    assert len(timed) == 3

    assert prepared("train.epochs=1").precision.policy == "mixed_bfloat16"
    assert len(timed) == 3  # as measured before
    monkeypatch.setattr(autotune, "versions", lambda: {"keras": "99"})
    assert prepared("train.epochs=1").precision.policy == "float32"
    assert len(timed) == 6


def test_it_is_not_measured_where_that_is_switched_off(timed):
    train = prepared("train.autotune=false").config.train
    assert (train.precision, train.jit_compile, timed) == ("float32", True, [])


def test_a_short_training_is_not_measured(cpu_with_bfloat16, monkeypatch):
    """Such as that of `make train`: compiling would take longer than all of it."""
    monkeypatch.setattr(step_time, "images_per_second", None)
    train = train_module.prepare(load_config(), may_measure=True).config.train
    assert (train.precision, train.jit_compile) == ("float32", True)


@pytest.mark.slow
def test_measuring_leaves_no_trace_in_the_training(cpu_with_bfloat16, monkeypatch, tmp_path):
    monkeypatch.setattr(autotune, "_expected_seconds", lambda plan, vit: 1e6)
    words = ["data.limit=60", "train.jit_compile=layers", "model.dropout=0.1"]
    words += ["model.position=rope_mixed", "augment.flip=true"]
    measured = small(tmp_path / "measured", *words)
    chosen = run_dir.config_of_run(str(measured.path)).train.precision
    small(tmp_path / "typed", *words, f"train.precision={chosen}")
    assert_same(tmp_path / "measured", tmp_path / "typed")


@pytest.mark.slow
def test_a_run_with_compiled_layers_resumes_exactly(monkeypatch, tmp_path):
    words = ["train.precision=mixed_bfloat16", "train.jit_compile=layers", "model.dropout=0.1"]
    with monkeypatch.context() as during_the_run:
        keep_snapshots(during_the_run, tmp_path / "killed")
        small(tmp_path / "run", *words)
    resumed(tmp_path / "killed" / "1")
    assert_same(tmp_path / "run", tmp_path / "killed" / "1")
