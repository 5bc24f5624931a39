"""The stage `lora`: low-rank factors beside frozen kernels, merged when saved."""

import shutil

import keras
import numpy as np
import pytest

from helpers.tiny_runs import LORA, keep_snapshots, resumed, state_of, tiny_vit, tuned, tuning
from helpers.trained_runs import assert_same
from vit_keras import SettingError

PIXELS = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3)).astype("uint8")
# The head stage computes features once here, so what is drawn before the factors differs on resume.
STAGES = ("~stages.all", "stages.head.epochs=1", LORA)


def logits(model):
    return keras.ops.convert_to_numpy(model(PIXELS, training=False))


def logits_and_trainable(model):
    return logits(model.vit), {weight.path for weight in model.vit.trainable_weights}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny_vit(tmp_path_factory.mktemp("file") / "vit.keras")


@pytest.fixture(scope="module")
def run(file, tmp_path_factory):
    """(folder with a snapshot an epoch, the result, what was seen at each checkpoint)."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        seen = keep_snapshots(monkeypatch, folder, logits_and_trainable)
        return folder, tuned(folder / "whole", file, *STAGES), seen


def test_factors_and_the_head_train_and_nothing_else_moves(run, file):
    folder, _, seen = run
    kernels = {"attention/qkv", "mlp/hidden", "mlp/output"}
    factors = {
        f"encoder_block_{index}/{kernel}/lora_kernel_{side}"
        for index in (0, 1)
        for kernel in kernels
        for side in "ab"
    }
    assert seen[3][1] == {"head/kernel", "head/bias", *factors}
    before, after = state_of(folder / "2"), state_of(folder / "3")
    for path in seen[3][1]:
        assert (after[path] != before[path]).any(), path
    original = {weight.path: weight for weight in keras.models.load_model(file).weights}
    for path in original.keys() - seen[3][1]:
        np.testing.assert_array_equal(after[path], original[path], err_msg=path)


def assert_merged(folder, live, rounding, plain):
    """last.keras is a ViT like `plain`, of the newest kernels and factors, with `live` logits."""
    model = keras.models.load_model(folder / "last.keras")
    assert [w.path for w in model.weights] == [w.path for w in plain.weights]
    assert all(layer.trainable for layer in model._flatten_layers())
    np.testing.assert_allclose(logits(model), live, rtol=rounding, atol=rounding)
    state = state_of(folder)
    for path in ("encoder_block_0/attention/qkv", "encoder_block_1/mlp/output"):
        a, b = (state[f"{path}/lora_kernel_{side}"] for side in "ab")
        (merged,) = (w for w in model.weights if w.path == f"{path}/kernel")
        np.testing.assert_allclose(merged, state[f"{path}/kernel"] + a @ b, rtol=1e-5, atol=1e-6)


def test_the_saved_model_is_a_plain_vit_with_the_live_ones_logits(run, file):
    folder, result, seen = run
    plain = keras.models.load_model(file)
    assert_merged(folder / "whole", seen[3][0], 1e-5, plain)
    best = keras.models.load_model(folder / "whole" / "best.keras")
    assert best.count_params() == result.metrics["params"] == plain_params(plain)


def plain_params(plain):
    """With a head of ten classes for its four."""
    return plain.count_params() + 6 * (plain.get_layer("head").input.shape[-1] + 1)


def test_lora_factors_are_merged_in_float32_under_bfloat16(file, tmp_path, monkeypatch):
    seen = keep_snapshots(monkeypatch, tmp_path, logits_and_trainable)
    tuned(
        *(tmp_path / "whole", file, "~stages.all", "~stages.head", LORA, "stages.lora.epochs=1"),
        "train.precision=mixed_bfloat16",
    )
    assert_merged(tmp_path / "whole", seen[1][0], 2e-2, keras.models.load_model(file))


@pytest.mark.parametrize("epoch", [1, 2])
def test_lora_run_killed_before_or_in_the_stage_resumes_exactly(epoch, run, tmp_path):
    folder, result, _ = run
    shutil.copytree(folder / str(epoch), tmp_path / "run")
    assert resumed(tmp_path / "run").metrics["test_loss"] == result.metrics["test_loss"]
    assert_same(folder / "whole", tmp_path / "run")


def test_stage_after_the_lora_stage_is_refused(file):
    with pytest.raises(SettingError, match=r"stages.head.trainable=lora has to be the last stage"):
        tuning(file, "stages.head.trainable=lora")
