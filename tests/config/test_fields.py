"""Every setting has what a control needs: help, kind, default, bounds."""

import pytest

from vit_keras import SettingError, load_config
from vit_keras.config import schema
from vit_keras.config.fields import options, stage_options
from vit_keras.config.schema import setting_names


def test_every_setting_is_there_with_its_help():
    assert {*options()} == {*setting_names()} - {"stages"}
    assert (
        options()["data.limit"].help
        == "at most so many images of the training and of the test split"
    )
    assert options()["data.classes"].help.startswith("names or numbers of the classes")


def test_options_have_kind_default_bounds_and_choices():
    rate = options()["optim.learning_rate"]
    assert (rate.kind, rate.default, rate.bounds) == ("number", 1e-3, "above 0")
    position = options()["model.position"]
    assert position.kind == "choice"
    assert position.choices == ("learned", "sincos2d", "rope2d", "rope_mixed", "none")
    assert position.is_optional
    kinds = {name: options()[name].kind for name in ("augment.flip", "train.seed", "data.path")}
    assert kinds == {"augment.flip": "switch", "train.seed": "whole", "data.path": "text"}
    assert options()["data.image_size"].kind == "value"
    assert stage_options()["layer_decay"].bounds == "above 0, 1 at most"


@pytest.mark.parametrize("setting", [s for s in schema.CHOICES if not s.startswith("pretrained.")])
def test_the_choices_are_those_that_are_checked(setting):
    with pytest.raises(SettingError, match="is unknown") as refused:
        load_config(f"{setting}=nonsense")
    for word in schema.CHOICES[setting]:
        assert word in str(refused.value)
