"""The scaling model: its terms by hand, its limits, and a simulation that agrees with it."""

from dataclasses import replace

import pytest

from helpers.paths import ROOT
from scaling_model import Machines, Training, all_reduce_seconds, forecast, simulate, slowest

# As in docs/concepts/scaling.md.
GPUS = Machines(
    devices_each=8,
    link=50e9,
    latency=2e-5,
    cores_each=96,
    decode=250,
    storage=10e9,
    write=1e9,
    jitter=0.02,
    days_to_failure=1500,
    restart=300,
)
B16 = Training(
    parameters=86_600_000, batch_each=128, speed=1000, epoch=1_281_167, image_bytes=110_000
)
CPUS = replace(GPUS, devices_each=1, link=1.25e9, cores_each=2, jitter=0.05, days_to_failure=5000)
S16 = replace(B16, parameters=22_000_000, batch_each=8, speed=12)


def test_a_ring_sends_each_gradient_almost_twice():
    assert all_reduce_seconds(GPUS, B16, 8) == 0
    seconds = 2 * 7 / 8 * 4 * 86_600_000 / 50e9 + 14 * 2e-5
    assert all_reduce_seconds(GPUS, B16, 64) == pytest.approx(seconds)


def test_all_wait_for_the_slowest_of_them():
    """Expected maxima of normal draws: 1.5388 of ten, 2.5076 of a hundred (Harter 1961)."""
    assert slowest(1, 0.1) == 1
    assert slowest(10, 0.1) == pytest.approx(1.15388, abs=2e-3)
    assert slowest(100, 0.1) == pytest.approx(1.25076, abs=2e-3)


def test_one_device_that_never_fails_does_what_it_was_measured_to():
    calm = replace(GPUS, days_to_failure=1e9, write=1e15)
    assert forecast(calm, B16, 1).images_per_s == pytest.approx(1000, rel=1e-3)


@pytest.mark.parametrize(
    ("changed", "limit"),
    [
        ({}, "nothing"),
        ({"link": 5e9}, "all-reduce"),
        ({"cores_each": 8}, "decoding"),
        ({"storage": 1e9}, "storage"),
        ({"write": 1e7}, "checkpoints"),
        ({"days_to_failure": 3}, "failures"),
        ({"jitter": 0.2}, "compute"),
    ],
)
def test_what_is_scarce_is_named(changed, limit):
    plenty = replace(GPUS, storage=1e12, cores_each=960, days_to_failure=1e6, link=1e12)
    plenty = replace(plenty, jitter=0.001, write=1e11, latency=1e-6)
    assert forecast(replace(plenty, **changed), B16, 512).limit == limit


@pytest.mark.parametrize(
    ("cluster", "training", "devices"),
    [(GPUS, B16, 8), (GPUS, B16, 64), (GPUS, B16, 512), (CPUS, S16, 1000)],
)
def test_a_simulation_agrees_with_the_means(cluster, training, devices):
    short = replace(training, epoch=200_000)  # fewer draws
    cluster = replace(cluster, days_to_failure=100)  # enough failures for a mean
    played = simulate(cluster, short, devices, days=4)
    assert played == pytest.approx(forecast(cluster, short, devices).images_per_s, rel=0.05)


def test_the_table_of_the_guide_is_that_of_the_model():
    text = (ROOT / "docs" / "concepts" / "scaling.md").read_text()
    for cluster, training, devices, kind in (
        (GPUS, B16, 8, "GPUs"),
        (GPUS, B16, 64, "GPUs"),
        (GPUS, B16, 512, "GPUs"),
        (CPUS, S16, 1000, "CPU workers"),
    ):
        found = forecast(cluster, training, devices)
        row = (
            f"| {devices:,} {kind} | {found.images_per_s:,.0f} | {found.efficiency:.0%} | "
            f"{1000 * found.compute:,.0f} | {1000 * found.all_reduce:,.1f} | "
            f"{1000 * found.data:,.1f} | {found.pause:.1f} | {found.failures_per_day:.2f} | "
            f"{found.limit} |"
        )
        assert row in text, row
