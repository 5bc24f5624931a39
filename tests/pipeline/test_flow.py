"""What is done again and what is not, with steps that train nothing."""

import csv
import json
import shutil
import sys

import pytest

from helpers import image_files
from vit_keras import SettingError
from vit_keras.config.schema import Config
from vit_keras.pipeline import flow, steps, versions
from vit_keras.pipeline.settings import PipelineSettings
from vit_keras.pipeline.state import locked


class Steps:
    """Steps that count, one of which can fail, and a registry of which versions there are."""

    def __init__(self):
        self.done, self.fails, self.versions = [], "", []
        self.champion, self.decision, self.is_worse = "", "promoted", False
        self.trained_on = []

    def begin(self, name):
        if name == self.fails:
            raise SettingError("the registry is away")
        self.done.append(name)

    def start(self, settings):
        self.begin("start")
        return {"champion": self.champion, "weights": ""}

    def train(self, settings, table, run, weights):
        self.begin("train")
        rows = csv.DictReader(table.read_text().splitlines())
        self.trained_on.append(sorted({row["image"].partition("/")[0] for row in rows}))
        return {"run": str(run), "test_accuracy": 0.5, "data_fingerprint": ""}

    def evaluate(self, settings, run):
        self.begin("evaluate")
        return {"accuracy": 0.5}

    def register(self, settings, run):
        self.begin("register")
        if run not in self.versions:
            self.versions.append(run)
        return {"version": str(self.versions.index(run) + 1), "registry": ""}

    def promote(self, settings, gate, number):
        self.begin("promote")
        against = self.champion
        if self.decision == "promoted":
            self.champion = f"pets version {number}"
        reason = "" if self.decision == "promoted" else "paired test: worse"
        return {
            **{"decision": self.decision, "against": against, "reason": reason, "checks": []},
            "is_worse": self.is_worse,
        }


ALL = ["start", "train", "evaluate", "register", "promote"]


@pytest.fixture
def fake(monkeypatch):
    fake = Steps()
    for name in ALL:
        monkeypatch.setattr(steps, name, getattr(fake, name))
    return fake


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PipelineSettings, "training", lambda *_: Config())  # Hydra takes its time
    for name in ("cat", "dog"):
        image_files.write(tmp_path / "inbox" / name, 5)
    return tmp_path


def run(**changes):
    settings = {"name": "pets", "incoming": "inbox", "data": "data", "runs": "runs", **changes}
    return flow.run_pipeline(PipelineSettings(**settings))


def more_images(here, name="more", count=3):
    image_files.write(here / "inbox" / "cat" / name, count)


def written(folder):
    """When each file was written, the lock aside."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("[!.]*") if path.is_file()}


def refuse(fake, is_worse):
    fake.decision, fake.is_worse = "refused", is_worse


def test_a_second_start_does_nothing(fake, here):
    first = run()
    assert (first.decision, first.is_new, fake.done) == ("promoted", True, ALL)
    report = first.report.read_text()
    before = written(here)
    second = run()
    assert (second.decision, second.is_new, fake.done) == ("promoted", False, ALL)
    assert written(here) == before
    assert json.loads(report)["version"] == "pets version 1"


@pytest.mark.parametrize("step", ALL)
def test_a_start_that_failed_goes_on_at_the_step(step, fake, here):
    fake.fails = step
    with pytest.raises(SettingError, match=rf"^{step}: the registry is away \(the next start goes"):
        run()
    assert fake.done == ALL[: ALL.index(step)]
    fake.fails = ""
    assert run().is_new
    assert fake.done == ALL
    assert [version.name for version in versions.read_versions(here / "data")] == ["v0001"]


def test_a_kill_between_the_version_and_the_state_makes_no_second_version(fake, here, monkeypatch):
    def killed(state):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flow.State, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert fake.done == []
    run()
    assert fake.done == ALL
    assert [version.name for version in versions.read_versions(here / "data")] == ["v0001"]


def test_new_images_make_a_round_and_the_test_images_stay(fake, here):
    first = json.loads(run().report.read_text())
    more_images(here)
    second = json.loads(run().report.read_text())
    assert fake.trained_on == [["v0001"], ["v0001", "v0002"]]
    assert second["trained_on"]["test"] == first["trained_on"]["test"] == 2
    assert second["against"] == "pets version 1"
    assert second["newest"]["train"] == 3


@pytest.mark.parametrize("change", [{"settings": ["train.epochs=3"]}, {"recipe": "digits"}])
def test_other_settings_train_again(change, fake, here):
    run()
    run(**change)
    assert fake.done == ALL * 2
    run(**change)
    run()  # those of before are decided
    assert fake.done == ALL * 2


def test_images_of_a_worse_challenger_are_set_aside(fake, here):
    run()
    more_images(here)
    refuse(fake, is_worse=True)
    refused = run()
    assert (refused.decision, refused.is_new) == ("refused", True)
    assert json.loads(refused.report.read_text())["set_aside"] == ["v0002"]
    assert not run().is_new  # and they are in the inbox still
    fake.decision = "promoted"
    more_images(here, "week_4")
    run()
    assert fake.trained_on[-1] == ["v0001", "v0003"]
    more_images(here, "week_5")
    run(release=["v0002"])
    assert fake.trained_on[-1] == ["v0001", "v0002", "v0003", "v0004"]


def test_images_of_a_challenger_that_is_only_no_better_wait(fake, here):
    run()
    more_images(here)
    refuse(fake, is_worse=False)
    assert json.loads(run().report.read_text())["set_aside"] == []
    more_images(here, "week_3")
    refuse(fake, is_worse=True)
    report = json.loads(run().report.read_text())
    assert fake.trained_on[-1] == ["v0001", "v0002", "v0003"]
    assert report["set_aside"] == ["v0002", "v0003"]  # either may be why


def test_every_refusal_can_set_aside(fake, here):
    run()
    more_images(here)
    refuse(fake, is_worse=False)
    assert json.loads(run(quarantine="refused").report.read_text())["set_aside"] == ["v0002"]


def test_the_first_images_are_not_set_aside(fake, here):
    refuse(fake, is_worse=True)
    assert json.loads(run().report.read_text())["set_aside"] == []


def test_another_gate_decides_again_but_not_what_was_promoted(fake, here):
    (here / "gate.yaml").write_text("max_p_value: 1")
    run()
    run(gate="gate.yaml")
    assert fake.done == ALL
    more_images(here)
    refuse(fake, is_worse=False)
    run()
    fake.decision = "promoted"
    assert run(gate="gate.yaml").decision == "promoted"
    assert fake.done == [*ALL, *ALL, "promote"]


def test_a_version_can_be_left_out(fake, here):
    run()
    more_images(here)
    run()
    assert not run(leave_out=["v0002"]).is_new  # which was decided in the first week
    with pytest.raises(SettingError, match="leave_out has v2, which is none of"):
        run(leave_out=["v2"])
    with pytest.raises(SettingError, match="leave_out has v0001, and no other version has test"):
        run(leave_out=["v0001"])


def test_an_empty_inbox_is_no_error(fake, here, caplog):
    shutil.rmtree(here / "inbox")
    (here / "inbox").mkdir()
    assert run() == flow.Outcome("", False, None)
    assert fake.done == []


def test_an_emptied_inbox_keeps_what_was_ingested(fake, here):
    run()
    shutil.rmtree(here / "inbox" / "cat")
    assert not run().is_new
    assert fake.done == ALL


def test_the_command_gets_the_report_and_is_tried_again_if_it_fails(fake, here):
    script = here / "tell.py"
    script.write_text("import shutil, sys; shutil.copy(sys.argv[1], 'told.json')")
    with pytest.raises(SettingError, match=r"report: command=false has ended with status 1"):
        run(command="false")
    told = run(command=f"{sys.executable} {script}")
    assert told.is_new
    assert json.loads((here / "told.json").read_text())["decision"] == "promoted"
    assert fake.done == ALL


def test_new_classes_need_another_name_where_there_is_a_champion(fake, here):
    run()
    image_files.write(here / "inbox" / "owl", 4)
    with pytest.raises(SettingError, match="the champion of pets does not have that class"):
        run(new_classes=["owl"])
    fake.champion = ""
    assert run(new_classes=["owl"], name="pets_and_owls").is_new


def test_two_pipelines_do_not_run_on_the_same_data(fake, here):
    with locked(here / "data"), pytest.raises(SettingError, match="in use by another pipeline"):
        run()


def test_a_damaged_state_is_named(fake, here):
    run()
    (here / "data" / "pipeline.json").write_text("{")
    with pytest.raises(SettingError, match=r"pipeline\.json is damaged.*restore"):
        run()
