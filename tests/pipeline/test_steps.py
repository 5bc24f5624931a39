"""The steps that ask the registry, which is one in memory here."""

import pytest

from helpers import image_files
from vit_keras import SettingError
from vit_keras.pipeline import steps
from vit_keras.pipeline.settings import PipelineSettings
from vit_keras.registry.gate import Check, Decision, Gate
from vit_keras.registry.models import Version
from vit_keras.registry.promote import FIGURES, REPLACED, Promotion


class Models:
    """Versions 1 and 2, and aliases of them."""

    def __init__(self, **aliases):
        figures = {FIGURES: '[{"name": "accuracy"}]', REPLACED: "1"}
        self.all = {"1": Version("signs", "1", "", {"run": "signs-v0001"})}
        self.all["2"] = Version("signs", "2", "", {"run": "signs-v0002", **figures})
        self.aliases = aliases

    def versions(self, name):
        return list(self.all.values())

    def by_number(self, name, number):
        return self.all[number]

    def by_alias(self, name, alias):
        return self.all.get(self.aliases.get(alias))

    def set_alias(self, name, alias, number):
        self.aliases[alias] = number

    def delete_alias(self, name, alias):
        del self.aliases[alias]


@pytest.fixture
def settings(tmp_path):
    return PipelineSettings(name="signs", incoming="inbox", runs=str(tmp_path))


@pytest.fixture
def registry(monkeypatch):
    def use(**aliases):
        models = Models(**aliases)
        monkeypatch.setattr(steps, "RegisteredModels", lambda uri: models)
        return models

    return use


def test_the_start_is_the_champion_and_its_run_has_to_be_there(settings, registry, tmp_path):
    registry()
    assert steps.start(settings) == {"champion": "", "weights": ""}
    registry(champion="2")
    with pytest.raises(SettingError, match=r"signs version 2, .*best\.keras, are not there; bring"):
        steps.start(settings)
    file = tmp_path / "signs-v0002" / "best.keras"
    file.parent.mkdir()
    file.touch()
    assert steps.start(settings) == {"champion": "signs version 2", "weights": str(file)}


def test_a_kill_after_the_alias_was_moved_does_not_decide_again(settings, registry, monkeypatch):
    monkeypatch.setattr(steps.registry, "promote", None)  # would be called to decide
    models = registry(champion="2", challenger="2")
    decided = steps.promote(settings, Gate(), "2")
    assert (decided["decision"], decided["against"]) == ("promoted", "signs version 1")
    assert decided["checks"] == [{"name": "accuracy"}]
    assert models.aliases == {"champion": "2"}


def test_the_version_of_the_round_is_decided_on_whatever_was_registered_since(
    settings, registry, monkeypatch
):
    models = registry(champion="1", challenger="1")

    def decide(name, gate, models):
        challenger, champion = (models.by_alias(name, one) for one in ("challenger", "champion"))
        decision = Decision((Check("paired test", False, "worse: 0.5 against 0.6"),))
        return Promotion(challenger, champion, decision, is_done=False)

    monkeypatch.setattr(steps.registry, "promote", decide)
    decided = steps.promote(settings, Gate(), "2")
    assert models.aliases["challenger"] == "2"
    assert (decided["decision"], decided["is_worse"]) == ("refused", True)
    assert decided["against"] == "signs version 1"


@pytest.mark.parametrize("weights", ["", "champion.keras"])
def test_the_champions_file_says_the_architecture_in_the_place_of_the_recipe(
    weights, settings, tmp_path, monkeypatch
):
    table = tmp_path / "images.csv"
    rows = ["image,label,split"]
    for name in ("cat", "dog"):
        image_files.write(tmp_path / name, 60)
        rows += [f"{name}/{n}.png,{name},{'test' if n < 10 else 'train'}" for n in range(60)]
    table.write_text("\n".join(rows))
    monkeypatch.setattr(steps.preflight.download, "check", lambda *_: None)
    config = steps.training_config(settings, table, tmp_path / "run", weights)
    assert config.pretrained.handle == (weights or None)
    assert config.model.width == (None if weights else 128)
    assert config.data.path == str(table)
