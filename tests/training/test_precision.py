"""The dtype policy that `train.precision` selects on a device."""

import pytest

from vit_keras.training import precision


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
