"""Old setting names are accepted in commands, dictionaries, references and files."""

import pytest
from omegaconf import OmegaConf

from helpers.paths import ROOT
from vit_keras import SettingError, load_config
from vit_keras.cli import hydra_app
from vit_keras.config import renamed_settings
from vit_keras.config.compose import compose, get_setting
from vit_keras.config.renamed_settings import NAMES, RENAMED, VALUES
from vit_keras.config.schema import setting_names
from vit_keras.runs.run_dir import read_config

FINETUNE = ("recipe=finetune_digits", "pretrained.handle=saved_models/digits/best.keras")
# A value of each setting that is not its default.
VALUES_OF = {
    "data.dir": "/sets",
    "data.fit": "pad",
    "pretrained.opaque": "true",
    "pretrained.allow": "[pooler.*]",
    "stages.*.trains": "{last: 2}",
    "augment.erase": "0.25",
    "augment.jitter": "[0.1,0.2,0.3,0.4]",
    "augment.repeats": "4",
    "optim.accumulate_steps": "2",
    "optim.ema": "0.9",
    "optim.final_learning_rate": "0.1",
    "train.jit": "false",
    "train.limit_steps": "3",
    "train.samples": "5",
}
ROWS = [row for row in RENAMED if "." in row]


def word_of(row):
    """(old word, new word, the setting's current name) of a row of the table."""
    old, _, value = row.partition("=")
    new = NAMES[old]
    now = RENAMED[row].partition("=")[2] if value else VALUES_OF[old]
    old, new = (name.replace("*", "head") for name in (old, new))
    return f"{old}={value or now}", f"{new}={now}", new


@pytest.fixture(autouse=True)
def unreported():
    renamed_settings._report.cache_clear()


@pytest.mark.parametrize("row", ROWS)
def test_an_old_word_sets_what_the_new_one_does_and_is_reported_once(row, capsys):
    old, new, _ = word_of(row)
    assert compose(*FINETUNE, new) == compose(*FINETUNE, old) == compose(*FINETUNE, old)
    is_default = new == "pretrained.load_weights=true"
    assert (compose(*FINETUNE, old) == compose(*FINETUNE)) == is_default
    reported = capsys.readouterr().err
    assert reported == f"{row} is now {RENAMED[row]}\n".replace("*", "head")


@pytest.mark.parametrize("row", ROWS)
def test_a_setting_by_both_names_is_refused(row):
    old, new, name = word_of(row)
    if name == old.partition("=")[0]:
        pytest.skip("only a value was renamed")
    with pytest.raises(SettingError, match=f"which is now {name}; leave .* out"):
        load_config(*FINETUNE, old, new)


@pytest.mark.parametrize("row", ROWS)
def test_an_old_file_is_read_as_a_new_one_silently(row, tmp_path, capsys):
    old, new, _ = word_of(row)
    files = []
    for word in (old, new):
        tree = OmegaConf.create({"stages": {"head": {}}, "run": {"resume": None}})
        setting, _, value = word.partition("=")
        given = OmegaConf.create(f"value: {value}").value
        OmegaConf.update(tree, setting, given, force_add=True)
        files.append(tmp_path / f"{len(files)}.yaml")
        OmegaConf.save(tree, files[-1])
    assert read_config(files[0]) == read_config(files[1])
    assert capsys.readouterr() == ("", "")


def has_an_old_name(file):
    tree = OmegaConf.load(file)
    return any("*" not in old and OmegaConf.select(tree, old) is not None for old in NAMES)


RUNS_OF_OLD_NAMES = sorted(filter(has_an_old_name, ROOT.glob("saved_models/*/config.yaml")))


def test_committed_runs_of_old_names_are_among_the_tests():
    assert {"digits", "cifar10_small"} <= {file.parent.name for file in RUNS_OF_OLD_NAMES}


@pytest.mark.parametrize("file", RUNS_OF_OLD_NAMES, ids=lambda file: file.parent.name)
def test_a_committed_run_has_the_settings_that_its_file_has(file):
    tree, config = OmegaConf.load(file), read_config(file)
    for old, new in NAMES.items():
        if "*" in old or (value := OmegaConf.select(tree, old)) is None:
            continue
        now = get_setting(config, new)
        assert now == value or str(now).lower() == VALUES[old, value]


def test_a_file_with_both_names_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("train: {jit: true, jit_compile: false}\nrun: {resume:}")
    with pytest.raises(SettingError, match=r"train.jit and train.jit_compile set the same"):
        read_config(tmp_path / "config.yaml")


def test_old_names_in_a_stage_of_a_command_line():
    new = "+stages.more={trainable: {last: 1}, epochs: 1}"
    old = new.replace("trainable", "trains")
    assert load_config(*FINETUNE, old) == load_config(*FINETUNE, new)
    with pytest.raises(SettingError, match="has trains and trainable"):
        load_config(*FINETUNE, "+stages.more={trains: all, trainable: head}")


def test_old_names_in_references_and_in_what_a_sweeper_is_told(capsys):
    words = ["train.epochs=${optim.accumulate_steps}", "hydra.sweeper.params={train.jit: true}"]
    assert renamed_settings.current_words(words) == [
        "train.epochs=${optim.gradient_accumulation_steps}",
        "hydra.sweeper.params={train.jit_compile: true}",
    ]
    assert renamed_settings.current_words(["name=train.jit", "x=a.b"]) == [
        "name=train.jit",
        "x=a.b",
    ]
    assert capsys.readouterr().err == ""


def test_old_names_and_values_in_a_sweep(refusal):
    words = ["train.jit=true,false", "augment.policy=three,none", "pretrained.weights=file,random"]
    assert renamed_settings.current_words(words) == [
        "train.jit_compile=true,false",
        "augment.policy=three_augment,none",
        "pretrained.load_weights=true,false",
    ]
    hydra_app.check_sweep(renamed_settings.current_words(["train.jit=true,false", "optim.ema=0.9"]))


def test_an_old_name_on_a_command_line_is_reported_in_a_line(script):
    status, text = script("-m", "train.jit=true,false", "optim.ema=0.9", "train=default")
    assert "import of keras halted" in text
    for line in ("train.jit is now train.jit_compile", "optim.ema is now optim.ema_momentum"):
        assert text.count(f"{line}\n") == 1
    assert text.count("train=default has no effect any more; leave it out\n") == 1
    assert status == 1


def test_every_current_name_is_a_setting():
    names = {*setting_names(), "stages.*.trainable"}
    assert {*NAMES.values()} <= names
    assert not {old for old, new in NAMES.items() if old != new} & names


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("1", True), ("off", False)])
def test_a_switch_that_got_a_third_value_takes_the_words_it_took(word, value):
    assert compose(f"augment.flip={word}").augment.flip is value
