"""Build the model of a configuration: from scratch, or from a pretrained file."""

import dataclasses
import re
from pathlib import Path

import keras

from vit_keras.config.schema import Config
from vit_keras.data.dataset import Splits
from vit_keras.data.splits import image_size
from vit_keras.errors import SettingError
from vit_keras.model.vit import build_vit, describe
from vit_keras.pretrained import download
from vit_keras.text import counted
from vit_keras.training import preflight, resume
from vit_keras.training.class_weights import class_weights
from vit_keras.training.teacher import load_teacher
from vit_keras.training.training_model import TrainingModel

# Argument of `load_pretrained`, as its messages write it -> the setting of the configuration.
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
    """The model that `fit` trains, not yet compiled, and a report of its pretrained weights.

    Args:
        config: a checked configuration.
        splits: their images' channels, the class names and the training labels are used.
        policy: the Keras dtype policy of the model.

    Raises:
        SettingError: the pretrained weights or the teacher cannot be loaded, or do not fit the
            data; or weights are of classes that there are not.
    """
    weights = class_weights(config, splits.train.labels, splits.class_names)
    vit, report = _build_vit(config, splits, policy)
    # After the model, whose initial weights are then the same with and without a teacher.
    teacher = load_teacher(config, splits, policy)
    return TrainingModel(vit, config, weights, teacher, dtype=policy, name="training"), report


def _build_vit(config: Config, splits: Splits, policy: str) -> tuple[keras.Model, str]:
    if config.pretrained.handle is not None:
        file = resume.saved_architecture(config)
        if file and not download.is_on_disk(config.pretrained.handle):
            return _rebuild(file, policy), ""
        return _load_pretrained(config, splits, policy)
    vit = build_vit(
        None,
        image_size=image_size(config.data, splits.train.images.shape[1:3]),
        num_classes=len(splits.class_names),
        channels=splits.train.images.shape[-1],
        dtype=policy,
        # Valid in TensorFlow.
        name=re.sub(r"[^\w.-]+", "_", f"vit_{config.model.variant or config.name}", flags=re.ASCII),
        **dataclasses.asdict(preflight.architecture(config.model)),
    )
    return vit, ""


def _rebuild(file: Path, policy: str) -> keras.Model:
    """The model of a run to resume without its pretrained file: its checkpoint has the weights."""
    from vit_keras.pretrained.saved_model_layer import trusting_the_file

    with trusting_the_file():  # which a SavedModel was wrapped into by this run
        vit = keras.models.load_model(file, compile=False)
    if _is_wrapped(vit) or vit.get_layer("encoder_block_0").dtype_policy.name == policy:
        return vit
    return build_vit(None, dtype=policy, name=vit.name, **describe(vit))


def _is_wrapped(vit: keras.Model) -> bool:
    return "patch_embedding" not in {layer.name for layer in vit.layers}


def _load_pretrained(config: Config, splits: Splits, policy: str) -> tuple[keras.Model, str]:
    from vit_keras.pretrained import load

    settings = config.pretrained
    overrides = {name: getattr(config.model, name) for name in preflight.OPEN}
    # A rate of 0 is the default, which leaves the file's own rate.
    overrides |= {name: overrides[name] or None for name in preflight.RATES}
    overrides["train_all"] = settings.train_all or None
    channels = splits.train.images.shape[-1]
    # Grey images are repeated to the file's channels; a wrapped SavedModel has its own.
    overrides["channels"] = None if channels in (1, 3) else channels
    try:
        vit, report = load.load_with_report(
            str(settings.handle),
            image_size=config.data.image_size,
            num_classes=len(splits.class_names),
            allow=settings.ignore_weights,
            opaque=settings.wrap_saved_model,
            dtype=policy,
            **{name: value for name, value in overrides.items() if value is not None},
        )
    except SettingError as error:
        raise SettingError(_as_settings(str(error))) from None
    if _is_wrapped(vit) and (settings.baseline or not settings.load_weights):
        raise SettingError(
            f"pretrained.handle={settings.handle} is a wrapped SavedModel, which cannot "
            "be trained from random weights; set pretrained.baseline=false and "
            "pretrained.load_weights=true"
        )
    needed = vit.input_shape[-1]
    if channels not in (1, needed):
        raise SettingError(
            f"data.name={config.data.name} has {channels} channels and pretrained.handle="
            f"{settings.handle} takes {needed}; choose other data or another model"
        )
    if settings.prompts:
        vit = _with_prompts(vit, settings.prompts, policy)
    if not settings.load_weights:
        untrained = build_vit(None, dtype=policy, name=vit.name, **describe(vit))
        return untrained, "random initial weights"
    return vit, str(report)


def _with_prompts(vit: keras.Model, count: int, policy: str) -> keras.Model:
    """The ViT with `count` register tokens, which have no position and which no pooling reads.

    Those are the prompts of VPT-shallow (Jia et al. 2022, https://arxiv.org/abs/2203.12119, eq. 4).
    """
    setting = f"pretrained.prompts={count}"
    if _is_wrapped(vit):
        raise SettingError(f"{setting} needs a ViT, and {vit.name} is a wrapped SavedModel")
    architecture = describe(vit)
    if architecture["registers"]:
        raise SettingError(
            f"{setting} would stand beside the {counted(architecture['registers'], 'token[s]')} "
            f"that {vit.name} has as registers; leave it out, and trainable=prompt trains those"
        )
    result = build_vit(None, dtype=policy, name=vit.name, **{**architecture, "registers": count})
    own = {weight.path: weight for weight in vit.weights}
    for weight in result.weights:
        if weight.path in own:
            weight.assign(own[weight.path])
    return result
