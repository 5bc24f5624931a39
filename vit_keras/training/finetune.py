"""Fine-tune a pretrained ViT, and train the same model from scratch as a baseline if asked to."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vit_keras.config import schema, stages
from vit_keras.config.schema import Config
from vit_keras.data.readers.in_memory import to_in_memory
from vit_keras.errors import SettingError
from vit_keras.logs import console, log
from vit_keras.pretrained import download
from vit_keras.runs import accuracy, run_dir
from vit_keras.runs.saved_run import MODEL
from vit_keras.text import counted
from vit_keras.training import preflight, resume
from vit_keras.training.train import train_model
from vit_keras.training.trainer import Result


def finetune_model(config: Config, data: Any = None) -> Result:
    """Train the run that `config` describes, from pretrained weights.

    With `pretrained.baseline`, the same model is then trained from random initial weights, on the
    same images for as many epochs, in `<run>/baseline`; `metrics.json` gets its test accuracy
    as `from_scratch_test_accuracy`. `data` is as in `train_model`.

    Raises:
        SettingError: as `train_model`; or there is no `pretrained.handle`.
    """
    preflight.has_handle(config)
    with console():
        # Read once: an iterated data set may give other images the second time.
        data = None if data is None else to_in_memory(data, config.data)
    result = train_model(config, data)
    if not config.pretrained.baseline:
        return result
    with console():
        log.info("\nbaseline: the same model from random initial weights, for as many epochs")
    folder = run_dir.baseline_dir(result.path)
    has_started = (folder / run_dir.CONFIG).exists()
    run_config = schema.RunConfig(dir=str(folder), resume=str(folder) if has_started else None)
    if not has_started:
        config = _with_own_architecture(config, result.path)
        config = resume.decided_as(config, result.path)
    baseline = train_model(_from_scratch(config, run_config), data)
    metrics = {
        **result.metrics,
        "from_scratch_test_accuracy": baseline.metrics["test_accuracy"],
        "from_scratch_train_seconds": baseline.metrics["train_seconds"],
    }
    run = run_dir.Run(result.path)
    run.write_json("metrics.json", metrics)
    run.close()
    pretrained, scratch = result.metrics["test_accuracy"], baseline.metrics["test_accuracy"]
    images = result.metrics["test_images"]
    counts = [(round(score * images), images) for score in (pretrained, scratch)]
    interval = [100 * bound for bound in accuracy.difference_interval(*counts)]
    with console():
        log.info(
            "\ntest accuracy %.4f pretrained, %.4f from scratch: %+.1f points (95%% interval %+.1f "
            "to %+.1f on %s)\nrun: %s",
            *(pretrained, scratch, 100 * (pretrained - scratch), *interval),
            counted(images, "image[s]"),
            result.path,
        )
    return Result(result.path, metrics)


def _with_own_architecture(config: Config, run: Path) -> Config:
    """Where the pretrained file has been moved since, name the model that was made of it."""
    handle = config.pretrained.handle
    try:
        download.check(str(handle))
    except SettingError:
        handle = str(run / MODEL)
    return replace(config, pretrained=replace(config.pretrained, handle=handle))


def _from_scratch(config: Config, run_config: schema.RunConfig) -> Config:
    """The same model from random weights, for as many epochs in one stage, at `optim`'s rate."""
    return replace(
        config,
        name=f"{config.name}-{Path(str(run_config.dir)).name}",
        pretrained=replace(config.pretrained, load_weights=False, baseline=False),
        train=replace(config.train, epochs=stages.total_epochs(config)),
        stages={},
        run=run_config,
    )
