"""The settings of a pipeline, and what is refused before anything slow."""

from dataclasses import fields

import pytest

from helpers.paths import ROOT
from vit_keras import SettingError
from vit_keras.pipeline import settings as pipeline_settings
from vit_keras.pipeline.settings import read_settings

BAD = {
    "names: signs\nincoming: inbox": "names is unknown; did you mean name?",
    "incoming: inbox": "name is missing; add it (of the registered model)",
    "name: signs": "incoming is missing",
    "- name": "has no settings; write name: and incoming:",
    "name: [a": "cannot be read",
    "name: 3\nincoming: inbox": "name=3 is no text; write it in quotes, name: '3'",
    "name: signs\nincoming: inbox\nsettings: train.epochs=5": (
        "settings=train.epochs=5 is no list; write settings: [train.epochs=5]"
    ),
    "name: signs\nincoming: inbox\nnew_classes: [10]": "new_classes has 10, which is no text",
    "name: signs\nincoming: inbox\ntest_fraction: 0": "test_fraction=0 is out of range",
    "name: signs\nincoming: inbox\ntest_fraction: half": "test_fraction=half is not a number",
    "name: signs\nincoming: inbox\nfrom_champion: often": "from_champion=often is neither yes",
    "name: signs\nincoming: inbox\nquarantine: worst": "quarantine=worst is unknown; did you",
}


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_file_is_refused_in_a_line_that_names_it(text, tmp_path):
    file = tmp_path / "pipeline.yaml"
    file.write_text(text)
    with pytest.raises(SettingError) as refused:
        read_settings(file)
    assert str(refused.value).startswith(str(file))
    assert BAD[text] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(SettingError, match=r"no_such\.yaml cannot be read"):
        read_settings("no_such.yaml")


CANNOT_WORK = {
    "name: a/b": "name=a/b is no name of a model",
    "incoming: inbax": "incoming=inbax is no folder in",
    "data: inbox/data": "incoming=inbox and data=inbox/data are in one another",
    "runs: file.txt": "runs=file.txt: file.txt is a file",
    "registry: mlflow.db": "registry=mlflow.db is no store of MLflow",
    "gate: gate.yaml": "gate=gate.yaml: max_p is unknown; did you mean max_p_value?",
    "settings: [train.epocs=5]": "train.epocs is no setting",
    "settings: [train.epochs=0]": "train.epochs=0 is out of range",
    "settings: [data.path=photos]": "settings has data.path=photos, which the pipeline decides",
    "settings: [run.dir=here]": "settings has run.dir=here, which the pipeline decides",
    "settings: [task=multilabel]": "which the gate does not compare yet",
    "recipe: foldr": "recipe=foldr",
}


@pytest.mark.parametrize("line", CANNOT_WORK)
def test_what_no_step_could_work_with_is_refused_first(line, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="needs the extra `tracking`")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "gate.yaml").write_text("max_p: 0.1")
    content = {"name": "name: signs", "incoming": "incoming: inbox"}
    content[line.partition(":")[0]] = line
    (tmp_path / "pipeline.yaml").write_text("\n".join(content.values()))
    with pytest.raises(SettingError) as refused:
        pipeline_settings.check(read_settings("pipeline.yaml"))
    assert CANNOT_WORK[line] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_champions_weights_come_in_the_place_of_the_recipes_architecture(tmp_path):
    settings = pipeline_settings.PipelineSettings(
        name="signs", incoming="inbox", recipe="folder", settings=["train.epochs=3"]
    )
    config = settings.training("images.csv", tmp_path)
    assert (config.data.name, config.data.path) == ("csv", "images.csv")
    assert (config.train.epochs, config.run.dir) == (3, str(tmp_path))


def test_the_guide_has_every_setting():
    page = (ROOT / "docs/guides/retrain.md").read_text(encoding="utf-8")
    table = page.partition("## All settings")[2]
    names = [field.name for field in fields(pipeline_settings.PipelineSettings)]
    assert [name for name in names if f"`{name}`" not in table] == []
