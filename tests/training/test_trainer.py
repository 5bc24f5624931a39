"""Which stages a resumed Trainer configures, restores and trains, without training."""

from pathlib import Path

import pytest

from vit_keras.config.schema import Config, RunConfig, StageConfig, TrainConfig
from vit_keras.runs import run_dir
from vit_keras.training import checkpoint
from vit_keras.training.plan import resolve_plan
from vit_keras.training.trainer import Trainer

ACCURACIES = {"head": [0.5, 0.4], "all": [0.6]}  # the first of three epochs of each stage


def recorded_rows():
    epochs = [(stage, value) for stage, values in ACCURACIES.items() for value in values]
    return [
        {"epoch": number, "stage": stage, "val_accuracy": value, "val_loss": 1.0}
        for number, (stage, value) in enumerate(epochs, 1)
    ]


@pytest.mark.parametrize("patience", [1, 2, None])
def test_resuming_trains_no_stage_before_that_of_the_checkpoint(patience, tmp_path, monkeypatch):
    """Also if early stopping ended that stage, and its patience was raised since."""
    config = Config(
        train=TrainConfig(epochs=None, batch_size=10, early_stopping=patience),
        stages={name: StageConfig(name, epochs=3) for name in ACCURACIES},
        run=RunConfig(resume=str(tmp_path)),
    )
    latest = checkpoint.Checkpoint(Path("epoch-00003.npz"), {}, {"rows": recorded_rows()})
    monkeypatch.setattr(checkpoint, "load_latest", lambda run: latest)
    run = run_dir.Run(tmp_path)
    trainer, calls = Trainer(config, run, resolve_plan(config, 100), None, None), []
    for method in ("_configure", "_restore", "_fit_epochs"):
        monkeypatch.setattr(
            trainer, method, lambda value, method=method: calls.append((method, value))
        )
    head, last = trainer.plan.stages
    trainer.fit_stage(head)
    assert calls == []
    trainer.fit_stage(last)
    assert calls == [("_configure", last), ("_restore", latest), ("_fit_epochs", last)]
    run.close()
