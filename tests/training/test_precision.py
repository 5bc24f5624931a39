"""The dtype policy that `train.precision` selects on a device."""

import numpy as np
import pytest

from helpers.trained_runs import trained
from vit_keras.training import precision
from vit_keras.training.training_model import TrainingModel


@pytest.mark.parametrize(
    ("capability", "policy", "reason"),
    [
        (None, "float32", "no GPU"),
        ((7, 5), "mixed_float16", "7.5"),
        ((8, 0), "mixed_bfloat16", "8.0"),
        ((9, 0), "mixed_bfloat16", "9.0"),
        ((12, 0), "mixed_bfloat16", "12.0"),
    ],
)
def test_auto_is_what_the_device_is_fast_in(capability, policy, reason, monkeypatch):
    monkeypatch.setattr(precision, "_compute_capability", lambda: capability)
    chosen = precision.resolve_precision("auto")
    assert chosen.policy == policy
    assert reason in chosen.reason


@pytest.mark.parametrize("asked", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("capability", [None, (7, 5), (9, 0)])
def test_a_precision_asked_for_is_kept(asked, capability, monkeypatch):
    monkeypatch.setattr(precision, "_compute_capability", lambda: capability)
    assert precision.resolve_precision(asked).policy == asked


def test_the_device_is_found_out_on_any_machine():
    """Whatever this one has: no GPU, or one with a capability that says itself as two numbers."""
    capability = precision._compute_capability()
    assert capability is None or [type(part) for part in capability] == [int, int]


@pytest.mark.jax
@pytest.mark.parametrize("dropout", [0, 0.1])
def test_float16_trains_on_a_cpu_too(dropout, tmp_path):
    run = trained(
        tmp_path / "run", "train.precision=mixed_float16", "data.limit=100",
        f"model.attention_dropout={dropout}", "optim.ema_momentum=0.9",
    )  # fmt: skip
    assert np.isfinite(run.metrics["test_loss"])


@pytest.mark.jax
def test_the_error_that_ends_a_training_is_the_one_that_is_seen(tmp_path, monkeypatch):
    """On JAX, Keras would hide it: with an average of weights, it fails again while it ends."""

    def fail(self, *args, **settings):
        raise RuntimeError("the cause")

    monkeypatch.setattr(TrainingModel, "call", fail)
    with pytest.raises(RuntimeError, match="the cause"):
        trained(tmp_path / "run", "optim.ema_momentum=0.9")
