"""Register a run, promote a challenger through the gate, and roll a promotion back."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.predict import engines
from vit_keras.registry import package
from vit_keras.registry.gate import Decision, Gate, decide
from vit_keras.registry.measure import measure
from vit_keras.registry.models import (
    CHALLENGER,
    CHAMPION,
    DIGEST,
    RegisteredModels,
    Version,
    check_name,
)
from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import open_run
from vit_keras.text import now
from vit_keras.tracking.state import locked
from vit_keras.tracking.sync import RunSync

REPLACED = "replaced"  # tag of a champion: the number of the version that it replaced
DECISION, FIGURES, DECIDED_AT = "gate.decision", "gate.figures", "gate.time"
LONGEST = 4900  # characters of a tag


@dataclass(frozen=True)
class Promotion:
    """What the gate decided.

    Attributes:
        challenger: which was measured.
        champion: which it was compared with; None for the first.
        decision: of the gate.
        is_done: whether the alias was moved.
    """

    challenger: Version
    champion: Version | None
    decision: Decision
    is_done: bool


def register(run: str | Path, name: str, uri: str | None = None) -> tuple[Version, bool]:
    """Register a run as the challenger of a model.

    It is exported to ONNX and sent to MLflow first, if need be.

    Returns:
        The version, and whether it is new: an equal package is registered once.

    Raises:
        SettingError: the run was not evaluated, or the registry cannot be used.
    """
    check_name(name)
    saved = open_run(run)
    package.check_packable(saved)
    engines.open_engine(saved, engines.ONNX, 1)  # exports if need be
    held = Run(saved.path)
    try:
        with locked(saved.path):
            sync = RunSync(saved.path, uri)
            if fault := sync.send(is_end=True):
                raise SettingError(f"run={run} cannot be sent to {sync.state.uri} ({fault})")
    finally:
        held.close()
    models = RegisteredModels(sync.state.uri)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "package"
        folder.mkdir()
        digest = package.write_package(saved, folder)
        for version in models.versions(name):
            if version.tags.get(DIGEST) == digest:
                champion = models.by_alias(name, CHAMPION)
                if champion is None or champion.number != version.number:
                    models.set_alias(name, CHALLENGER, version.number)
                return version, False
        artifact = f"package-{digest[:12]}"
        with models.in_one_line():
            models.client.log_artifacts(sync.state.run_id, str(folder), artifact)
        text = (folder / package.CARD).read_text(encoding="utf-8")
    tags = {DIGEST: digest, "run": saved.path.name, "registered": now()}
    number = models.add(name, sync.state.run_id, artifact, tags, text)
    models.set_alias(name, CHALLENGER, number)
    return models.by_number(name, number), True


def promote(
    name: str,
    gate: Gate,
    models: RegisteredModels,
    is_dry: bool = False,
    format: str = engines.ONNX,
) -> Promotion:
    """Make the challenger the champion if it passes the gate; keep the decision in the registry.

    Args:
        name: of the model.
        gate: the limits.
        models: the registry.
        is_dry: decide and keep nothing.
        format: of the export that is served, and measured.

    Raises:
        SettingError: there is no challenger, or the two cannot be compared.
    """
    challenger = models.by_alias(name, CHALLENGER)
    champion = models.by_alias(name, CHAMPION)
    if challenger is None:
        raise SettingError(
            f"name={name} has no challenger; vit-keras register RUN --name {name} makes one"
        )
    if champion is not None and champion.number == challenger.number:
        raise SettingError(f"name={name}: version {champion.number} is the champion already")
    versions = [one for one in (challenger, champion) if one is not None]
    ours, *theirs = measure([models.download(one) for one in versions], format)
    decision = decide(gate, ours, theirs[0] if theirs else None)
    is_done = decision.passed and not is_dry
    if not is_dry:
        against = f" against version {champion.number}" if champion else ""
        tags = {
            DECISION: ("promoted" if is_done else f"refused: {decision.reason}")[:LONGEST],
            FIGURES: json.dumps(decision.as_json(), ensure_ascii=False)[:LONGEST],
            DECIDED_AT: f"{now()}{against}",
        }
        if is_done:
            tags[REPLACED] = champion.number if champion else ""
        models.tag(challenger, tags)
    if is_done:
        models.set_alias(name, CHAMPION, challenger.number)
        models.delete_alias(name, CHALLENGER)
    return Promotion(challenger, champion, decision, is_done)


def rollback(name: str, models: RegisteredModels) -> tuple[Version, Version]:
    """Make the version that the champion replaced the champion again.

    Returns:
        The version that was the champion, and the one that is.

    Raises:
        SettingError: there is no champion, or it replaced none.
    """
    champion = models.by_alias(name, CHAMPION)
    if champion is None:
        raise SettingError(f"name={name} has no champion; vit-keras promote {name} makes one")
    number = champion.tags.get(REPLACED)
    if not number:
        raise SettingError(f"name={name}: version {champion.number} is its first champion")
    before = models.by_number(name, number)
    models.set_alias(name, CHAMPION, before.number)
    models.tag(champion, {"rolled_back": now()})
    return champion, before
