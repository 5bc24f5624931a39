"""Everything that can be wrong in a configuration, found before anything slow starts.

Nothing here imports Keras or TensorFlow: a wrong setting is refused in about a second.

What can be wrong in the settings of augmentation, found without Keras.
"""

import importlib.util
import os
import re

from vit_keras import validators
from vit_keras.config import renamed, schema, stages
from vit_keras.config.compose import compose
from vit_keras.config.schema import AugmentConfig, Config, ModelConfig
from vit_keras.data import dataset, registry, splits
from vit_keras.errors import SettingError
from vit_keras.model import architecture as model_architecture
from vit_keras.model import architecture_checks
from vit_keras.pretrained import download
from vit_keras.training.resume import resumed_config
from vit_keras.validators import check_choice, check_range

RATES = model_architecture.RATES
# What a pretrained file may not say, and what it leaves open.
OPEN = ("num_heads", "gelu", "norm_epsilon", "pixel_mean", "pixel_std", *RATES)
BACKENDS = ("tensorflow", "jax")


def check(config: Config, given: dataset.InMemoryData | None = None) -> None:
    """Refuse a configuration that cannot train, on its data set or on what is given in its place.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    check_settings(config)
    if given is not None:
        known, has_test = given.known, given.test is not None
        published: int | None = registry.train_size_without_test(len(given.train.labels), has_test)
    else:
        known = registry.dataset_info(config.data)
        published = registry.check_prepared(config.data)
    classes = splits.class_count(config.data, given)
    size = splits.image_size(config.data, known.size)
    if config.pretrained.handle is not None:
        _pretrained(config)
    else:
        architecture_checks.check(
            architecture(config.model),
            size,
            known.channels,
            classes,
            prefix="model.",
            data_prefix="data.",
        )
    validators.check_range(
        "augment.crop_padding", config.augment.crop_padding, 0, True, min(known.size)
    )
    if published is not None:  # with data.classes there are fewer, seen once labels are read
        bounds = (config.data.limit, config.data.train_limit)
        images = min([published, *(bound for bound in bounds if bound)])
        carves = given.validation is None if given else not registry.has_validation(config.data)
        if carves:
            images -= splits.validation_count(config.data, images)
        steps_per_epoch(config, images)


def check_settings(config: Config) -> None:
    """Refuse what is wrong whatever the data are.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    if not re.fullmatch(r"[\w.-]+", config.name):
        raise SettingError(
            f"name={config.name} cannot begin the name of a folder; use letters, digits, - and _"
        )
    for setting in (
        "optim.name",
        "train.precision",
        "train.jit_compile",
        "data.resize_mode",
        "data.on_bad_file",
    ):
        group, name = setting.split(".")
        value = getattr(getattr(config, group), name)
        words = str(value).lower() if isinstance(value, bool) else value
        check_choice(setting, words, schema.CHOICES[setting])
    _data_path(config)
    _backend()
    if config.train.tensorboard:
        for package in ("tensorboard", "tensorflow"):  # Keras writes its logs through TensorFlow
            if not _is_installed(package):
                raise SettingError(
                    f"train.tensorboard=true needs {package}; install it (pip install {package}) "
                    "or leave the setting out: history.csv and curves.png are written anyway"
                )
    for setting, bounds in schema.RANGES.items():
        group, name = setting.split(".")
        validators.check_range(setting, getattr(getattr(config, group), name), *bounds)
    check_augment(config)
    _stages(config)


def has_handle(config: Config) -> None:
    """Refuse a fine-tuning of nothing."""
    if config.pretrained.handle is None:
        raise SettingError(
            "pretrained.handle is not set, so there is nothing to fine-tune; set it, or pick a "
            "recipe that does (recipe=finetune_digits), or train from scratch by "
            "vit-keras train"
        )


def steps_per_epoch(config: Config, train_images: int) -> int:
    """Batches an epoch, `train.limit_train_batches` at most; the few images over sit out.

    Raises:
        SettingError: there is no whole batch, or too few for one update of the weights.
    """
    limited = f" (data.limit={config.data.limit})" if config.data.limit is not None else ""
    if config.train.batch_size > train_images:
        raise SettingError(
            f"train.batch_size={config.train.batch_size} is more than the {train_images} images "
            f"to train on{limited}; use {train_images} or less"
        )
    count = train_images // config.train.batch_size
    if (few := config.train.overfit_batches) is not None:
        if few > count:
            raise SettingError(
                f"train.overfit_batches={few} of train.batch_size={config.train.batch_size} are "
                f"more than the {train_images} images to train on{limited}; use {count} or less"
            )
        count = few
    if config.train.limit_train_batches is not None:
        count = min(count, config.train.limit_train_batches)
    together = count * stages.total_epochs(config)
    if config.optim.gradient_accumulation_steps > together:
        raise SettingError(
            f"optim.gradient_accumulation_steps={config.optim.gradient_accumulation_steps} is more "
            f"than the {together} steps of the whole run, which would train nothing; use "
            f"{together} or less"
        )
    return count


def _stages(config: Config) -> None:
    stages.check_stages(config)
    for name, stage in config.stages.items():
        for field, bounds in schema.STAGE_RANGES.items():
            validators.check_range(f"stages.{name}.{field}", getattr(stage, field), *bounds)


def _pretrained(config: Config) -> None:
    """The handle exists or can be fetched, and nothing is set that its file decides."""
    settings = config.pretrained
    download.check(str(settings.handle), "pretrained.handle")
    if settings.train_all and not settings.wrap_saved_model:
        raise SettingError(
            "pretrained.train_all=true is of a SavedModel that is used whole; set "
            "pretrained.wrap_saved_model=true too, or leave it out: a converted ViT trains as a "
            "whole"
        )
    for name, value in vars(config.model).items():
        if name not in OPEN and value is not None:
            raise SettingError(
                f"model.{name}={value} has no effect: pretrained.handle={settings.handle} says the "
                f"architecture; leave it out (model=pretrained), {', '.join(OPEN)} can be set"
            )
    check_choice("model.gelu", config.model.gelu or "exact", schema.CHOICES["model.gelu"])
    for name in RATES:
        validators.check_range(f"model.{name}", getattr(config.model, name), 0, True, 0.9999)


def architecture(config: ModelConfig) -> model_architecture.Architecture:
    """The variant with what the configuration changes in it."""
    settings = dict(vars(config))
    if config.variant in model_architecture.VARIANTS and all(
        settings[size] for size in model_architecture.SIZES
    ):
        raise SettingError(
            f"model.variant={config.variant} changes nothing, because all of "
            f"{', '.join(model_architecture.SIZES)} are given; use model={config.variant}"
        )
    return model_architecture.architecture(settings.pop("variant"), prefix="model.", **settings)


def _data_path(config: Config) -> None:
    name, path = config.data.name, config.data.path
    if path is not None and name not in ("folder", "npz"):
        raise SettingError(
            f"data.path={path} means nothing to data.name={name}; add data=folder (of images) or "
            "data=npz (a file of arrays), or leave it out"
        )


def _backend() -> None:
    """Keras' own choice, as far as the environment makes it, has to be one that we train on."""
    backend = os.environ.get("KERAS_BACKEND")
    if backend is None:
        return
    check_choice("KERAS_BACKEND", backend, BACKENDS)
    if not _is_installed(backend):
        raise SettingError(
            f"KERAS_BACKEND={backend} is not installed; pip install {backend}, or "
            f"set KERAS_BACKEND to another of {', '.join(BACKENDS)}"
        )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def check_augment(config: Config) -> None:
    """Refuse an augmentation that cannot be.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    _augment(config.augment)
    _repeats(config)


def _repeats(config: Config) -> None:
    """Copies fill a batch, of two images or more: one alone would be mixed with itself."""
    repeats, batch = config.augment.repeated_augmentation, config.train.batch_size
    if repeats > 1 and (batch % repeats or repeats == batch):
        fitting = [str(count) for count in range(2, min(batch, 9)) if not batch % count]
        raise SettingError(
            f"augment.repeated_augmentation={repeats} does not divide train.batch_size={batch} "
            f"into copies of two images or more; use {' or '.join(['1', *fitting])}, or another "
            "batch size"
        )


def _augment(config: AugmentConfig) -> None:
    check_choice("augment.policy", config.policy, schema.POLICIES)
    if config.color_jitter is not None:
        if len(config.color_jitter) != len(schema.JITTER):
            raise SettingError(
                f"augment.color_jitter={config.color_jitter} has {len(config.color_jitter)} "
                f"values; give {len(schema.JITTER)}, of {', '.join(schema.JITTER)}, such as "
                "[0.3,0.3,0.3,0]"
            )
        for value, (name, most) in zip(config.color_jitter, schema.JITTER.items(), strict=True):
            check_range(f"augment.color_jitter={config.color_jitter}: {name}", value, 0, True, most)
    crop = config.resized_crop
    if crop is None:
        return
    if len(crop) != 2 or not 0 < crop[0] <= crop[1] <= 1:
        raise SettingError(
            f"augment.resized_crop={crop} is no least and most share of the area; use two numbers "
            "above 0, 1 at most, such as [0.08,1]"
        )
    if config.crop_padding:
        raise SettingError(
            f"augment.resized_crop={crop} and augment.crop_padding={config.crop_padding} are two "
            "ways to crop; set augment.resized_crop=null or augment.crop_padding=0"
        )


def load_config(*overrides: str) -> Config:
    """The checked configuration of a command line: `load_config("recipe=mnist", "train.epochs=3")`.

    With `"data=arrays"`, of a training on data that `train_model(config, data=...)` is given.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    overrides = tuple(renamed.current_words(overrides))
    result = compose(*overrides)
    if result.run.resume is not None:
        result = resumed_config(result, overrides)
    if result.data.name == "arrays":
        check_settings(result)  # the rest when `train_model` gets the arrays
    else:
        check(result)
    return result
