"""The command line shown on the page does exactly what is selected."""

import shlex
import subprocess
import sys

import pytest
import yaml

from helpers.paths import ROOT

pytest.importorskip("psutil", reason="needs the extra `studio`")
pytest.importorskip("streamlit", reason="needs the extra `studio`")

from helpers.training_form import field, open_form, shown_words
from vit_keras import SettingError, load_config
from vit_keras.config.fields import options
from vit_keras.config.quoting import quote_override
from vit_keras.studio.jobs.command import Command, override, recipes, to_text

TYPED = {  # setting: what is typed -> what the configuration then has
    "train.epochs": ("7", 7),
    "optim.learning_rate": ("3e-4", 3e-4),
    "optim.clip_norm": ("", None),
    "augment.flip": ("true", True),
    "augment.color_jitter": ("[0.3,0.3,0.3,0]", [0.3, 0.3, 0.3, 0]),
    "model.pixel_mean": ("0.4", 0.4),
    "model.position": ("rope2d", "rope2d"),
    "data.tfds_dir": ("my \"sets\", a=b {c} $HOME 'ü' \\", "my \"sets\", a=b {c} $HOME 'ü' \\"),
    "run.dir": ("null", "null"),
    "data.classes": ("[3,5]", [3, 5]),
}


@pytest.mark.parametrize(("name", "typed"), TYPED.items())
def test_typed_settings_reach_the_command(name, typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    option, (text, value) = options()[name], typed
    command = Command("train", (override(name, option.kind, option.is_optional, text),))
    program, subcommand, *words = shlex.split(command.text())
    assert (program, subcommand) == ("vit-keras", "train")
    group, field = name.split(".")
    assert getattr(getattr(load_config(*words), group), field) == value


@pytest.mark.parametrize(
    "text", ["a b", "ü", '"', "\\", 'a\\"', "{}", "[x", "1,2", "true", "$x", "~"]
)
def test_any_text_can_be_a_path(text):
    assert load_config(f"data.tfds_dir={quote_override('x' + text)}").data.tfds_dir == f"x{text}"


def test_a_wrong_value_is_refused_in_the_scripts_words():
    with pytest.raises(SettingError, match=r"model.patch_size=3 does not divide .* use 2, 4 or 8"):
        Command("train", ("model.patch_size=3",)).check()
    with pytest.raises(SettingError, match=r"train.epochs=1000000000000.* is out of range"):
        Command("train", ("train.epochs=1000000000000000000000",)).check()
    with pytest.raises(SettingError, match=r"pretrained.handle is not set"):
        Command("finetune", ("recipe=digits",)).check()


def test_a_sweep_is_checked_run_by_run():
    rates = ("recipe=digits", "optim.learning_rate=1e-3,3e-4")
    sweep = Command("train", rates, ("optim.learning_rate",))
    assert sweep.check().name == "digits"
    assert "--multirun recipe=digits optim.learning_rate=1e-3,3e-4" in sweep.text()
    with pytest.raises(SettingError, match=r"train.epochs=0 is out of range"):
        Command("train", ("train.epochs=1,0",), ("train.epochs",)).check()
    with pytest.raises(SettingError, match=r"train.epochs=3 is a single value, not a sweep"):
        Command("train", ("train.epochs=3",), ("train.epochs",)).check()
    for typed, message in {
        "0.001,": "cannot be read",
        "0.001 0.003": "a single value, not a sweep; separate several by commas",
        "0.001,0.001": "optim.learning_rate=0.001 is listed twice",
        "range(1,4": "cannot be read",
        "interval(1e-4,1e-2)": r"is an interval, which a grid cannot try; list values",
        "range(1,100000)": r"would start 99,999 runs, more than 1,000",
    }.items():
        with pytest.raises(SettingError, match=message):
            Command("train", (f"optim.learning_rate={typed}",), ("optim.learning_rate",)).check()


def open_advanced(app):
    app.session_state["advanced"] = True
    return app.run()


def test_what_was_typed_stays_when_something_else_is_chosen(tmp_path, monkeypatch):
    app = open_form(tmp_path, monkeypatch)
    field(app, "number_input", "Epochs").set_value(7).run()
    open_advanced(app)
    field(app, "text_input", "MixUp alpha").set_value("0.1").run()
    assert {"train.epochs=7", "augment.mixup=0.1"} <= {*shown_words(app)}
    # A preset is for its whole group, what was typed for it before included.
    field(app, "selectbox", "Augmentation preset").set_value("heavy").run()
    assert {"augment=heavy", "train.epochs=7"} <= {*shown_words(app)}
    assert "augment.mixup=0.1" not in shown_words(app)
    mixup = load_config("recipe=digits", "augment=heavy").augment.mixup
    assert float(field(app, "text_input", "MixUp alpha").value) == mixup > 0


def test_each_recipe_says_what_it_is_for():
    known = {recipe.name: recipe for recipe in recipes()}
    assert known["digits"].data == "digits"
    assert not known["digits"].is_pretrained
    assert known["finetune_folder"].is_pretrained
    assert known["finetune_folder"].data == "folder"
    assert all(recipe.help for recipe in known.values())


def test_values_are_shown_as_one_types_them():
    shown = [to_text(value) for value in (None, True, 5e-4, [0.08, 1], {"last": 4}, "crop", 64)]
    assert shown == ["", "true", "0.0005", "[0.08,1]", "{last: 4}", "crop", "64"]


@pytest.mark.slow
def test_a_search_by_optuna_runs_as_the_page_writes_it(tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra `sweep`")
    app = open_form(tmp_path, monkeypatch)
    field(app, "radio", "Runs to train").set_value("Optuna").run()
    field(app, "multiselect", "Settings to vary").set_value(["optim.learning_rate"]).run()
    field(app, "number_input", "Number of runs").set_value(2).run()
    field(app, "text_input", "Lowest Learning rate").set_value("0,0001").run()
    field(app, "text_input", "Highest Learning rate").set_value("0.01").run()
    assert not app.error
    assert not app.exception
    (shown,) = (code.value for code in app.code if "--multirun" in code.value)
    _program, *words = shlex.split(shown)
    small = ["train.epochs=1", "train.jit_compile=false", "data.limit=300", "model.depth=1"]
    done = subprocess.run(
        [sys.executable, "-m", "vit_keras", *words, *small],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rates = [
        yaml.safe_load(file.read_text())["optim"]["learning_rate"]
        for file in sorted(tmp_path.glob("runs/**/[01]/config.yaml"))
    ]
    assert len({*rates}) == 2
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    (results,) = tmp_path.glob("runs/**/optimization_results.yaml")
    assert yaml.safe_load(results.read_text())["best_params"]["optim.learning_rate"] in rates
