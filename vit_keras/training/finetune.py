"""Fine-tuning: a pretrained ViT, and beside it, if asked for, the same one from fresh weights."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from vit_keras.config import schema, stages
from vit_keras.config.schema import Config
from vit_keras.data.readers.in_memory import to_in_memory
from vit_keras.logs import console
from vit_keras.runs import run_dir
from vit_keras.training import preflight
from vit_keras.training.train import train_model
from vit_keras.training.trainer import Result

log = logging.getLogger("vit_keras")


def finetune_model(config: Config, data: Any = None) -> Result:
    """Train the run that `config` describes, from pretrained weights.

    With `pretrained.baseline`, the same model is then trained from fresh weights on the same images
    for as many epochs, all of it from the start, in `<run>/baseline`; `metrics.json` gets its
    test accuracy as `from_scratch_test_accuracy`. `data` is as `train_model` has it.

    Raises:
        SettingError: as `train_model`; or there is no `pretrained.handle`.
    """
    preflight.has_handle(config)
    with console():
        data = (
            None if data is None else to_in_memory(data)
        )  # once: a data set may give others again
    result = train_model(config, data)
    if not config.pretrained.baseline:
        return result
    with console():
        log.info("\nthe same model from fresh weights, with the same budget:")
    place = run_dir.baseline_dir(result.path)
    is_begun = (place / run_dir.CONFIG).exists()
    where = schema.RunConfig(dir=str(place), resume=str(place) if is_begun else None)
    baseline = train_model(_from_scratch(config, where), data)
    metrics = {
        **result.metrics,
        "from_scratch_test_accuracy": baseline.metrics["test_accuracy"],
        "from_scratch_train_seconds": baseline.metrics["train_seconds"],
    }
    run = run_dir.Run(result.path)
    run.write_json("metrics.json", metrics)
    run.close()
    ours, theirs = result.metrics["test_accuracy"], baseline.metrics["test_accuracy"]
    with console():
        log.info(
            "\ntest accuracy %.4f pretrained, %.4f from scratch: %+.1f points\nrun: %s",
            *(ours, theirs, 100 * (ours - theirs)),
            result.path,
        )
    return Result(result.path, metrics)


def _from_scratch(config: Config, place: schema.RunConfig) -> Config:
    """As many epochs in one stage, at the run's own rate, of the same model with fresh weights."""
    return replace(
        config,
        name=f"{config.name}-{Path(str(place.dir)).name}",
        pretrained=replace(config.pretrained, load_weights=False, baseline=False),
        train=replace(config.train, epochs=stages.total_epochs(config)),
        stages={},
        run=place,
    )
