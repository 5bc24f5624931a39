"""The steps of a round, each of which can be done again: what is done already stays as it is."""

import json
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from vit_keras import backend
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.logs import log, quiet
from vit_keras.pipeline.settings import PipelineSettings
from vit_keras.pipeline.state import PROMOTED, REFUSED
from vit_keras.registry import promote as registry
from vit_keras.registry.gate import Gate
from vit_keras.registry.models import CHALLENGER, CHAMPION, RegisteredModels, Version
from vit_keras.runs.run_dir import CONFIG
from vit_keras.runs.saved_run import MODEL, open_run
from vit_keras.runs.status import run_status
from vit_keras.training import preflight


def start(settings: PipelineSettings) -> dict[str, Any]:
    """Which weights to start from: those of the champion, or what the recipe says.

    Raises:
        SettingError: the registry cannot be reached, or the champion's run is not in `runs`.
    """
    champion = None
    if settings.from_champion:
        models = RegisteredModels(settings.uri)
        if models.versions(settings.name):
            champion = models.by_alias(settings.name, CHAMPION)
    if champion is None:
        return {"champion": "", "weights": ""}
    file = Path(settings.runs) / champion.tags.get("run", "") / MODEL
    if not file.is_file():
        raise SettingError(
            f"the weights of {champion}, {file}, are not there; bring the run back, or set "
            "from_champion: false"
        )
    return {"champion": str(champion), "weights": str(file)}


def train(settings: PipelineSettings, table: Path, run: Path, weights: str) -> dict[str, Any]:
    """Train a run, or go on with it where it was stopped.

    Args:
        settings: of the pipeline.
        table: of the images.
        run: its folder.
        weights: to start from; empty for what the recipe says.

    Returns:
        its folder, what its test accuracy is, and the fingerprint of its data.

    Raises:
        SettingError: it cannot be trained.
    """
    if not (run / CONFIG).is_file():
        shutil.rmtree(run, ignore_errors=True)  # what was killed before it had begun
        _train(training_config(settings, table, run, weights))
    elif run_status(run, run.name).state != "finished":
        log.info("%s goes on", run)
        _train(preflight.load_config(f"run.resume={quote_override(run)}"))
    saved = open_run(run)
    described = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    return {
        "run": str(run),
        "test_accuracy": saved.metrics["test_accuracy"],
        "data_fingerprint": described.get("data_fingerprint", ""),
    }


def training_config(settings: PipelineSettings, table: Path, run: Path, weights: str) -> Config:
    """The checked settings of the training.

    Raises:
        SettingError: it cannot be trained.
    """
    config = settings.training(table, run)
    if weights:  # whose file has the architecture, in the place of the recipe's
        own = {name: None for name in vars(config.model) if name not in preflight.OPEN}
        config = replace(
            config,
            model=replace(config.model, **own),
            pretrained=replace(config.pretrained, handle=weights),
        )
    config = replace(config, pretrained=replace(config.pretrained, baseline=False))
    preflight.check(config)
    return config


def _train(config: Config) -> None:
    backend.import_keras()
    from vit_keras.training.finetune import finetune_model
    from vit_keras.training.train import train_model

    with quiet():  # a training prints its own log
        (train_model if config.pretrained.handle is None else finetune_model)(config)


def evaluate(settings: PipelineSettings, run: str) -> dict[str, Any]:
    """Evaluate the run on the test images, which fits its temperature too."""
    backend.import_keras()
    from vit_keras.evaluation.evaluate import evaluate_run

    report = evaluate_run(run, images=settings.robustness_images).report
    return {name: report.get(name) for name in ("accuracy", "accuracy_interval", "images")}


def register(settings: PipelineSettings, run: str) -> dict[str, Any]:
    """Register the run as challenger; an equal one is registered once."""
    backend.import_keras()
    version, _ = registry.register(run, settings.name, settings.uri)
    return {"version": version.number, "registry": settings.uri}


def promote(settings: PipelineSettings, gate: Gate, number: str) -> dict[str, Any]:
    """Promote a version through the gate, unless it is the champion already.

    Returns:
        the decision, its reason and figures, and whether the challenger is worse.

    Raises:
        SettingError: the registry cannot be reached, or the two cannot be compared.
    """
    name, models = settings.name, RegisteredModels(settings.uri)
    version, champion = models.by_number(name, number), models.by_alias(name, CHAMPION)
    if champion is not None and champion.number == number:  # killed after it was decided
        challenger = models.by_alias(name, CHALLENGER)
        if challenger is not None and challenger.number == number:
            models.delete_alias(name, CHALLENGER)
        return _promoted_before(version)
    models.set_alias(name, CHALLENGER, number)  # another one may have been registered by hand
    done = registry.promote(name, gate, models)
    return {
        "decision": PROMOTED if done.is_done else REFUSED,
        "against": str(done.champion or ""),
        "reason": done.decision.reason,
        "is_worse": done.champion is not None and done.decision.is_worse,
        "checks": done.decision.as_json(),
    }


def _promoted_before(version: Version) -> dict[str, Any]:
    replaced = version.tags.get(registry.REPLACED)
    try:
        checks = json.loads(version.tags.get(registry.FIGURES, "[]"))
    except ValueError:  # cut at the length of a tag
        checks = []
    return {
        "decision": PROMOTED,
        "against": f"{version.name} version {replaced}" if replaced else "",
        "reason": "",
        "is_worse": False,
        "checks": checks,
    }


def report(settings: PipelineSettings, file: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Write the report, and run the command with it.

    Raises:
        SettingError: the command cannot be run, or fails.
    """
    atomic.write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    if settings.command is not None:
        words = [*shlex.split(settings.command), str(file)]
        try:
            status = subprocess.run(words).returncode
        except OSError as error:
            raise SettingError(
                f"command={settings.command} cannot be run ({error.strerror})"
            ) from None
        if status:
            raise SettingError(f"command={settings.command} has ended with status {status}")
    return {"file": str(file)}
