"""One start of a pipeline: ingest what is new, and train, decide and tell, as far as not done."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from vit_keras.errors import SettingError
from vit_keras.logs import log
from vit_keras.pipeline import steps, versions
from vit_keras.pipeline.incoming import read_incoming
from vit_keras.pipeline.ingest import ingest
from vit_keras.pipeline.settings import ANY_REFUSAL, PipelineSettings
from vit_keras.pipeline.state import IN_USE, QUARANTINED, Round, State, digest, locked, read_state
from vit_keras.pipeline.versions import TEST, TRAIN, LeftOut, Version
from vit_keras.registry.gate import Gate, read_gate
from vit_keras.text import abbreviated_list, counted, folder_name, now, one_line

REPORTS = "reports"  # folder of the reports, in that of the data
SHOWN = 10  # files that are left out, by name


class Outcome(NamedTuple):
    """What a start has come to.

    Attributes:
        decision: on the images in use, now or before: promoted, refused; empty without images.
        is_new: whether it was made now.
        report: the file; None without a decision.
    """

    decision: str
    is_new: bool
    report: Path | None


def run_pipeline(settings: PipelineSettings) -> Outcome:
    """Do what there is to do.

    Raises:
        SettingError: a step cannot be done; what was done before is kept, and the next start goes
            on there.
    """
    gate, data = read_gate(settings.gate), Path(settings.data)
    with locked(data):
        state = read_state(data)
        ingest_new(settings, state)
        used = _used(settings, state)
        if not used:
            log.info("there are no images yet; put some into %s", settings.incoming)
            return Outcome("", False, None)
        if not versions.counts(used)[TEST]:
            names = ", ".join(settings.leave_out)
            raise SettingError(f"leave_out has {names}, and no other version has test images")
        return _Decision(settings, gate, state, used).reach()


def _used(settings: PipelineSettings, state: State) -> list[Version]:
    there = versions.read_versions(Path(settings.data))
    return state.in_use(there, settings.release, settings.leave_out)


def ingest_new(settings: PipelineSettings, state: State) -> None:
    """Make a version of what is new in the incoming images, unless they were looked at before.

    Raises:
        SettingError: they cannot be ingested.
    """
    own = settings.training(settings.incoming, settings.runs).data
    config = replace(own, name="folder", path=settings.incoming)
    there, used = versions.read_versions(Path(settings.data)), _used(settings, state)
    incoming = read_incoming(config)
    asked = [settings.name, settings.new_classes, settings.test_fraction]
    asked += [settings.new_test_fraction, settings.release, settings.leave_out]
    key, left_out, new = digest([incoming.content, asked]), list[LeftOut](), None
    if key != state.ingested:
        has_champion = state.has_promoted(settings.name)
        new, left_out = ingest(settings, config, incoming, there, used, has_champion)
        state.ingested = key
        state.write()
    if new is None:
        log.info("ingest: nothing new in %s", settings.incoming)
    else:
        tested = f"{versions.counts([new])[TEST]:,}"
        images = counted(len(new.images), "new image[s]")
        log.info("ingest: %s has %s, %s of them to test on", new.name, images, tested)
    for one in left_out[:SHOWN]:
        log.info("  left out %s: %s", one_line(one.file), one.reason)
    if len(left_out) > SHOWN:
        log.info("  left out %s", counted(len(left_out) - SHOWN, "more file[s]"))


class _Decision:
    """The way from images to the decision on a model of them.

    Attributes:
        round: what is done of it.
        run: the folder of the run that is trained.
    """

    def __init__(
        self, settings: PipelineSettings, gate: Gate, state: State, used: Sequence[Version]
    ) -> None:
        self.settings, self.gate, self.state, self.used = settings, gate, state, used
        self.names = [version.name for version in used]
        how = [settings.name, settings.recipe, settings.settings, settings.from_champion]
        self.key = digest([versions.fingerprint(used), how])
        self.round = state.rounds.setdefault(self.key, Round(settings.name, self.names))
        folder = f"{folder_name(settings.name)}-{self.names[-1]}-{self.key[:8]}"
        self.run = Path(settings.runs) / folder

    def reach(self) -> Outcome:
        """Do the steps that are not done, with these inputs."""
        settings, told = self.settings, self.round.steps.get("report")
        table = versions.write_table(Path(settings.data), self.used)
        if told is None:
            self._log_images()
        began = self._step("start", self.key, partial(steps.start, settings))
        training = partial(steps.train, settings, table, self.run, began["weights"])
        trained = self._step("train", [self.key, began], training)
        run = trained["run"]
        evaluation = partial(steps.evaluate, settings, run)
        inputs = [trained, settings.robustness_images]
        evaluated = self._step("evaluate", inputs, evaluation)
        registration = partial(steps.register, settings, run)
        registered = self._step("register", [trained, evaluated, settings.uri], registration)
        decided = self._decide(registered)
        content = self._report(registered, decided)
        file = Path(settings.data) / REPORTS / f"{self.run.name}.json"
        telling = partial(steps.report, settings, file, content)
        self._step("report", [decided, settings.command], telling)
        is_new = told != self.round.steps["report"]
        _log_end(content, "" if is_new else self.round.steps["report"]["time"])
        return Outcome(decided["decision"], is_new, file)

    def _step(self, name: str, inputs: Any, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return self.state.step(self.round, name, inputs, work)

    def _log_images(self) -> None:
        counts = versions.counts(self.used)
        images = counted(counts[TRAIN], "image[s]")
        names = abbreviated_list(self.names)
        log.info("%s: %s to train on, %s to test on", names, images, f"{counts[TEST]:,}")

    def _decide(self, registered: dict[str, Any]) -> dict[str, Any]:
        """Promote or refuse, and note what becomes of the versions that were trained on."""
        kept = self.round.output("promote")
        if kept.get("decision") == steps.PROMOTED and kept["registered"] == registered:
            return kept  # another gate, or a rollback by hand, does not promote it again

        def work() -> dict[str, Any]:
            decided = steps.promote(self.settings, self.gate, registered["version"])
            is_bad = decided["is_worse"] or self.settings.quarantine == ANY_REFUSAL
            for name in self.names:
                if decided["decision"] == steps.PROMOTED:
                    self.state.versions[name] = IN_USE
                elif is_bad and decided["against"] and self.state.versions.get(name) != IN_USE:
                    self.state.versions[name] = QUARANTINED
            return {"registered": registered, **decided}

        return self._step("promote", [registered, asdict(self.gate)], work)

    def _report(self, registered: dict[str, Any], decided: dict[str, Any]) -> dict[str, Any]:
        new = self.used[-1]
        return {
            "name": self.settings.name,
            "version": f"{self.settings.name} version {registered['version']}",
            **{name: decided[name] for name in ("decision", "against", "reason", "checks")},
            "run": self.round.output("train")["run"],
            "started_from": self.round.output("start")["champion"] or self.settings.recipe,
            "evaluation": self.round.output("evaluate"),
            "trained_on": {"versions": self.names, **versions.counts(self.used)},
            "newest": {
                "version": new.name,
                "fingerprint": new.fingerprint,
                **versions.counts([new]),
                "left_out": [one._asdict() for one in new.left_out],
            },
            "set_aside": self.state.set_aside,
            "time": now(),
        }


def _log_end(content: dict[str, Any], time: str) -> None:
    """The decision in a line; `time` if it was made before."""
    when = f" at {time}, and nothing has changed since" if time else ""
    against = f", against {content['against']}" if content["against"] else ", the first champion"
    if content["decision"] == steps.PROMOTED:
        log.info("%s is promoted%s%s", content["version"], against, when)
    else:
        log.info("%s is refused%s%s: %s", content["version"], against, when, content["reason"])
    if content["set_aside"]:
        log.info("set aside: %s", abbreviated_list(content["set_aside"]))
