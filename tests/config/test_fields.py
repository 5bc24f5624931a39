"""Every setting declares its help, type, default, bounds and choices in one place."""

import re
from dataclasses import fields, replace

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ValidationError

from vit_keras import SettingError, load_config, validators
from vit_keras.config.fields import options, stage_options
from vit_keras.config.schema import Config, StageConfig, setting_names
from vit_keras.model.architecture import RATES, Architecture
from vit_keras.training import preflight


def test_every_setting_is_there_with_its_help():
    assert {*options()} == {*setting_names()} - {"stages"}
    assert {*stage_options()} == {item.name for item in fields(StageConfig)}
    for option in (*options().values(), *stage_options().values()):
        assert re.fullmatch(r"[A-Z].*\.", option.help), option
    assert options()["data.limit"].help.startswith("Largest number of images")


def test_a_model_option_is_declared_once():
    ours = {name: option for name, option in options().items() if name.startswith("model.")}
    declared = {f"model.{item.name}": item for item in fields(Architecture)}
    assert [*ours] == ["model.variant", *declared]
    for name, item in declared.items():
        assert ours[name].help == item.metadata["help"]
        assert ours[name].default == (item.default if name[6:] in RATES else None)


def test_omegaconf_keeps_the_types_of_a_model_option():
    typed = OmegaConf.structured(Config)
    for name, value in {"depth": "x", "parallel": "x", "dropout": None, "layer_scale": "x"}.items():
        with pytest.raises(ValidationError):
            OmegaConf.update(typed, f"model.{name}", value)
    typed.model.depth = "3"
    assert typed.model.depth == 3
    typed.model.depth = None


def test_options_have_kind_default_bounds_and_choices():
    rate = options()["optim.learning_rate"]
    assert (rate.kind, rate.default, rate.bounds) == ("number", 1e-3, "above 0")
    position = options()["model.position"]
    assert position.kind == "choice"
    rotary = ("rope2d", "rope_mixed", "rope_dinov3")
    assert position.choices == ("learned", "sincos2d", *rotary, "none")
    assert position.is_optional
    kinds = {name: options()[name].kind for name in ("data.download", "train.seed", "data.path")}
    assert kinds == {"data.download": "switch", "train.seed": "whole", "data.path": "text"}
    assert options()["data.image_size"].kind == "value"
    assert stage_options()["layer_decay"].bounds == "above 0, 1 at most"


@pytest.mark.parametrize("name", [name for name, one in options().items() if one.choices])
def test_the_choices_are_those_that_are_checked(name):
    with pytest.raises(SettingError, match="is unknown") as refused:
        load_config(f"{name}=nonsense")
    for word in options()[name].choices:
        assert word in str(refused.value)


BOUNDED = [name for name, one in options().items() if one.bounds]


@pytest.mark.parametrize("name", BOUNDED)
def test_the_bounds_are_those_that_are_checked(name):
    beyond = "-1" if options()[name].bounds.startswith(("0 ", "1 ", "2 ", "above")) else "1e9"
    with pytest.raises(SettingError, match=f"{name}=.* out of range; use {options()[name].bounds}"):
        load_config(f"{name}={beyond}")


def test_a_value_of_another_type_is_refused_also_from_python():
    for group, name, value in [
        ("train", "batch_size", 1.5),
        ("train", "seed", True),
        ("data", "download", 1),
        ("optim", "clip_norm", "1"),
        ("train", "batch_size", None),
    ]:
        config = load_config()
        setattr(getattr(config, group), name, value)
        with pytest.raises(SettingError, match=f"^{group}.{name}={value} is n"):
            preflight.check(config)


def test_a_checked_configuration_is_checked_again_once_it_is_changed(monkeypatch):
    checks = []
    monkeypatch.setattr(validators, "check_fields", lambda *args: checks.append(args))
    config = load_config()
    assert len(checks) == 2  # the settings, and the architecture that they give
    preflight.check(config)
    preflight.check_settings(config)
    assert len(checks) == 2
    config.train.epochs = 3
    preflight.check(config)
    assert len(checks) == 4
    preflight.check(replace(config))
    assert len(checks) == 6
