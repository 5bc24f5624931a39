"""The model of a configuration: from scratch, or from a pretrained file."""

import re

import keras

from vit_keras.config import stages
from vit_keras.config.schema import Config
from vit_keras.data.dataset import Splits
from vit_keras.data.splits import image_size
from vit_keras.errors import SettingError
from vit_keras.model import architecture
from vit_keras.model.vit import build_vit, describe
from vit_keras.training import freezing, preflight
from vit_keras.training.training_model import TrainingModel

# What an argument of `load_pretrained` is called in a configuration, as messages write it.
SETTINGS = {
    r"^handle=": "pretrained.handle=",
    r"^image_size=": "data.image_size=",
    r"\bpass allow=": "set pretrained.ignore_weights=",
    r"\bpass opaque=True": "set pretrained.wrap_saved_model=true",
    r"\bpass num_heads=": "set model.num_heads=",
}


def _as_settings(message: str) -> str:
    for argument, setting in SETTINGS.items():
        message = re.sub(argument, setting, message)
    return message


def build_training_model(config: Config, splits: Splits, policy: str) -> tuple[TrainingModel, str]:
    """The model that `fit` trains, for a stage to `begin`, and a report of its weights.

    Args:
        config: a checked configuration.
        splits: gives the channels and the classes.
        policy: the Keras dtype policy that it computes in.

    Raises:
        SettingError: the pretrained weights cannot be had, or do not fit the data or the stages.
    """
    vit, report = _vit(config, splits, policy)
    for stage in stages.plan(config):  # all, and not each when its turn comes
        freezing.check_layers(vit, stage)
    return TrainingModel(vit, config, dtype=policy, name="training"), report


def _vit(config: Config, splits: Splits, policy: str) -> tuple[keras.Model, str]:
    if config.pretrained.handle is not None:
        return _pretrained(config, splits, policy)
    vit = build_vit(
        None,
        image_size=image_size(config.data, splits.train.images.shape[1:3]),
        num_classes=len(splits.class_names),
        channels=splits.train.images.shape[-1],
        dtype=policy,
        name=f"vit_{config.model.variant or config.name}",
        **architecture.as_overrides(preflight.architecture(config.model)),
    )
    return vit, ""


def _pretrained(config: Config, splits: Splits, policy: str) -> tuple[keras.Model, str]:
    from vit_keras.pretrained import load

    settings = config.pretrained
    own = {name: getattr(config.model, name) for name in preflight.OPEN}
    own |= {name: own[name] or None for name in preflight.RATES}  # 0, unless the file has another
    own["train_all"] = settings.train_all or None
    try:
        vit, report = load.load_with_report(
            str(settings.handle),
            image_size=config.data.image_size,
            num_classes=len(splits.class_names),
            allow=settings.ignore_weights,
            opaque=settings.wrap_saved_model,
            dtype=policy,
            **{name: value for name, value in own.items() if value is not None},
        )
    except SettingError as error:
        raise SettingError(_as_settings(str(error))) from None
    is_wrapped = "patch_embedding" not in {layer.name for layer in vit.layers}
    if is_wrapped and (settings.baseline or not settings.load_weights):
        raise SettingError(
            f"pretrained.handle={settings.handle} is wrapped whole, and has no fresh weights to "
            "train from; set pretrained.baseline=false and pretrained.load_weights=true"
        )
    channels, needed = splits.train.images.shape[-1], vit.input_shape[-1]
    if channels not in (1, needed):
        raise SettingError(
            f"data.name={config.data.name} has {channels} channels and pretrained.handle="
            f"{settings.handle} takes {needed}; choose other data or another model"
        )
    if not settings.load_weights:
        return build_vit(None, dtype=policy, name=vit.name, **describe(vit)), "fresh weights"
    return vit, str(report)
