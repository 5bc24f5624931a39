"""What a pipeline has done, in one file that is written atomically after each step.

A round is what follows from one set of images and settings, from the training to the decision. Each
of its steps is kept with a hash of its inputs, and done again only if they have changed.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import filelock

from vit_keras.errors import SettingError
from vit_keras.io import atomic
from vit_keras.logs import log
from vit_keras.pipeline.versions import Version
from vit_keras.text import format_duration, now

STATE, LOCK = "pipeline.json", ".pipeline.lock"
PROMOTED, REFUSED = "promoted", "refused"
# What a version is, beside one that waits for a model of it to be promoted.
IN_USE, QUARANTINED = "in use", "quarantined"


def digest(inputs: Any) -> str:
    """A hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


@dataclass
class Round:
    """One set of images and settings, and what has been done with it.

    Attributes:
        name: of the registered model.
        versions: names of those whose images it is of.
        steps: name -> hash of the inputs, output, seconds and time of each step that is done.
    """

    name: str
    versions: list[str]
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    def output(self, step: str) -> dict[str, Any]:
        """What a step has given; empty if it is not done."""
        return dict(self.steps.get(step, {}).get("output", {}))


@dataclass
class State:
    """What is done.

    Attributes:
        file: in which it is kept.
        ingested: hash of the incoming images that were looked at last.
        versions: version -> IN_USE or QUARANTINED; a version without either waits.
        rounds: key -> round.
    """

    file: Path
    ingested: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    rounds: dict[str, Round] = field(default_factory=dict)

    def write(self) -> None:
        content = asdict(self)
        del content["file"]
        text = json.dumps(content, indent=1, ensure_ascii=False)
        atomic.write_text(self.file, text + "\n", shared=False)

    def step(self, round: Round, name: str, inputs: Any, work: Callable[[], Any]) -> Any:
        """The output of a step, which is done unless it was with these inputs.

        Raises:
            SettingError: it cannot be done; what was done before is kept.
        """
        key, kept = digest(inputs), round.steps.get(name)
        if kept is not None and kept["key"] == key:
            return kept["output"]
        log.info("%s", name)
        started = time.perf_counter()
        try:
            output = work()
        except SettingError as error:
            raise SettingError(f"{name}: {error} (the next start goes on at {name})") from None
        seconds = time.perf_counter() - started
        log.info("%s: done in %s", name, format_duration(seconds))
        kept = {"key": key, "output": output, "seconds": float(f"{seconds:.1f}"), "time": now()}
        round.steps[name] = kept
        self.write()
        return output

    def has_promoted(self, name: str) -> bool:
        """Whether a model of this name was promoted."""
        return any(
            one.name == name and one.output("promote").get("decision") == PROMOTED
            for one in self.rounds.values()
        )

    @property
    def set_aside(self) -> list[str]:
        """The names of the versions that are in quarantine."""
        return [name for name, what in self.versions.items() if what == QUARANTINED]

    def in_use(
        self, versions: Sequence[Version], release: Sequence[str], leave_out: Sequence[str]
    ) -> list[Version]:
        """The versions that are trained and tested on.

        Raises:
            SettingError: `release` or `leave_out` names none.
        """
        names = [version.name for version in versions]
        for setting, asked in (("release", release), ("leave_out", leave_out)):
            for name in asked:
                if name not in names:
                    raise SettingError(f"{setting} has {name}, which is none of {names}")
        return [
            version
            for version in versions
            if version.name not in leave_out
            and (self.versions.get(version.name) != QUARANTINED or version.name in release)
        ]


def read_state(data: Path) -> State:
    """The state in the folder of the data; an empty one if there is none.

    Raises:
        SettingError: it is damaged.
    """
    file = data / STATE
    if not file.exists():
        return State(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["rounds"] = {key: Round(**one) for key, one in content["rounds"].items()}
        return State(file, **content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingError(
            f"{file} is damaged ({error}); restore an intact copy of it: it says which versions "
            "are set aside"
        ) from None


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the folder of the data.

    Raises:
        SettingError: another process does.
    """
    data.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(data / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise SettingError(
            f"data={data} is in use by another pipeline; wait for it, or choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()
