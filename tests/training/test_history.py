"""The figures of `history.csv` and TensorBoard: the learning rate is the one that was used."""

import numpy as np
import pytest

from helpers.trained_runs import history, trained
from vit_keras.training.learning_rate import learning_rate_schedule

pytestmark = pytest.mark.jax


def rates(run):
    return [float(row["learning_rate"]) for row in history(run.path)]


@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_learning_rate_is_that_of_the_epochs_last_update(accumulate, tmp_path):
    run = trained(
        tmp_path / "run", f"optim.gradient_accumulation_steps={accumulate}", "train.epochs=3"
    )
    from vit_keras import open_run

    optim, steps = open_run(run.path).config.optim, 11 if accumulate == 1 else 8
    schedule = learning_rate_schedule(optim, 3, steps)
    expected = [float(schedule(epoch * steps - 1)) for epoch in (1, 2, 3)]
    np.testing.assert_allclose(rates(run), expected, rtol=1e-6)
    assert min(expected) > 0


def test_an_epoch_without_an_update_has_the_rate_of_the_update_to_come(tmp_path):
    run = trained(
        tmp_path / "run",
        *("train.limit_train_batches=1", "optim.gradient_accumulation_steps=2"),
        *("optim.learning_rate=0.01", "optim.warmup_ratio=0"),
    )
    assert rates(run) == pytest.approx([0.01, 0.01])


def test_tensorboard_has_the_same_learning_rate(tmp_path):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs TensorBoard"
    )
    pytest.importorskip("tensorflow", reason="Keras writes through TensorFlow")
    run = trained(tmp_path / "run", "train.tensorboard=true")
    events = event_accumulator.EventAccumulator(str(run.path / "tensorboard" / "train"))
    events.Reload()
    from tensorboard.util import tensor_util

    events = events.Tensors("epoch_learning_rate")
    written = [float(tensor_util.make_ndarray(event.tensor_proto)) for event in events]
    np.testing.assert_allclose(written, rates(run), rtol=1e-5)
