"""Preflight checks of a training run: everything that can be wrong, found before anything slow.

Each setting is checked against its declaration in `config/schema.py`; here stand the checks of
settings against each other, the data set and the environment. Nothing here imports Keras or
TensorFlow: a wrong setting is refused in about a second.
"""

import importlib.util
import json
import os
from pathlib import Path

from vit_keras import validators
from vit_keras.config import renamed_settings, stages
from vit_keras.config.compose import compose
from vit_keras.config.folds import check_folds, fold_config
from vit_keras.config.schema import Config, ModelConfig
from vit_keras.data import dataset, registry, splits
from vit_keras.data.value_range import as_setting
from vit_keras.errors import SettingError
from vit_keras.model import architecture as model_architecture
from vit_keras.model import architecture_checks
from vit_keras.pretrained import download
from vit_keras.runs.run_dir import CONFIG
from vit_keras.text import counted
from vit_keras.tracking.store import check_tracking
from vit_keras.training import (
    augment_checks,
    batch_size,
    class_weights,
    distribute_checks,
    task,
    teacher_checks,
)
from vit_keras.training.export_at_end import check_export_formats
from vit_keras.training.resume import resumed_config, saved_architecture
from vit_keras.training.unused_settings import check_effects
from vit_keras.validators import Bounds, check_bounds, check_choice

RATES = model_architecture.RATES
# The options of a model that its pretrained file does not decide.
OPEN = ("num_heads", "gelu", "norm_epsilon", "pixel_mean", "pixel_std", *RATES)
BACKENDS = ("tensorflow", "jax")


def check(config: Config, data: dataset.SourceData | None = None) -> None:
    """Refuse a configuration that cannot be trained on its data set, or on `data`.

    A configuration that was checked, and is as it was then, is not checked again.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    if data is None and _is_checked(config, "all"):
        return
    check_settings(config)
    if _is_new(config):
        check_effects(config)
    if config.train.folds is not None:
        check(fold_config(config, 1), data)  # the others are as large, to within an image
        return
    if data is not None:
        info = data.info
        counts: dict[str, int] | None = data.image_counts
    else:
        info = registry.dataset_info(config.data)
        counts = registry.image_counts(config.data)
    classes = splits.class_count(config.data, data)
    class_names = splits.class_names(config.data, data)
    class_weights.check(config, class_names)
    teacher_checks.check(config, class_names)
    size = splits.image_size(config.data, info.size)
    if config.pretrained.handle is not None:
        _check_pretrained(config)
    else:
        architecture_checks.check(
            architecture(config.model),
            size,
            info.channels,
            classes,
            prefix="model.",
            data_prefix="data.",
        )
        patch_size = architecture(config.model).patch_size
        stages.check_image_sizes(stages.plan(config), size, patch_size)
    if _is_new(config):
        augment_checks.check_channels(config.augment, info.channels)
    padding = Bounds(at_least=0, at_most=min(info.size))
    check_bounds("augment.crop_padding", config.augment.crop_padding, padding)
    if counts is not None:  # None before a download
        train_images = splits.train_image_count(config.data, counts)
        steps_per_epoch(batch_size.provisional(config, train_images), train_images)
    if data is None:
        _mark_checked(config, "all")


def check_settings(config: Config) -> None:
    """Refuse settings that are wrong with any data.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    if _is_checked(config, "settings"):
        return
    task.check(config)
    validators.check_fields(config)
    check_folds(config)
    _check_data_path(config)
    as_setting(config.data.value_range)
    _check_backend()
    _check_cluster()
    distribute_checks.check(config)
    if config.train.tensorboard:
        for package in ("tensorboard", "tensorflow"):  # Keras writes its logs through TensorFlow
            if not _is_installed(package):
                raise SettingError(
                    f"train.tensorboard=true needs {package}; install it (pip install {package}) "
                    "or leave the setting out: history.csv and curves.png are written anyway"
                )
    check_tracking(config)
    check_export_formats(config)
    augment_checks.check(config)
    class_weights.check(config, None)
    stages.check_stages(config)
    _mark_checked(config, "settings")


# A configuration carries what of it was checked, "settings" or "all", and how it read then:
# it may be changed afterwards, and is then to be checked again.
_CHECKED = "_checked"


def _is_checked(config: Config, part: str) -> bool:
    return getattr(config, _CHECKED, {}).get(part) == repr(config)


def _mark_checked(config: Config, part: str) -> None:
    setattr(config, _CHECKED, {**getattr(config, _CHECKED, {}), part: repr(config)})


def _is_new(config: Config) -> bool:
    """Whether the run is one of its own; one of an earlier version goes on as it was started."""
    within = Path(config.run.dir).absolute().parent if config.run.dir else None
    is_baseline = within is not None and (within / CONFIG).is_file()
    return config.run.resume is None and not is_baseline


def has_handle(config: Config) -> None:
    """Refuse fine-tuning without a pretrained model."""
    if config.pretrained.handle is None:
        raise SettingError(
            "pretrained.handle is not set, so there is nothing to fine-tune; set it, or pick a "
            "recipe that does (recipe=finetune_digits), or train from scratch by "
            "vit-keras train"
        )


def steps_per_epoch(config: Config, train_images: int) -> int:
    """Full batches per epoch, `train.limit_train_batches` at most; the remainder is left out.

    Under gradient accumulation they are those of whole updates, if an epoch has one.

    Raises:
        SettingError: there is no full batch, or too few for one update of the weights.
    """
    limited = f" (data.limit={config.data.limit})" if config.data.limit is not None else ""
    if config.train.batch_size > train_images:
        raise SettingError(
            f"train.batch_size={config.train.batch_size} is more than the "
            f"{counted(train_images, 'image[s]')} to train on{limited}; use {train_images} or less"
        )
    count = train_images // config.train.batch_size
    if (few := config.train.overfit_batches) is not None:
        if few > count:
            raise SettingError(
                f"train.overfit_batches={few} of train.batch_size={config.train.batch_size} are "
                f"more than the {counted(train_images, 'image[s]')} to train on{limited}; use "
                f"{count} or less"
            )
        count = few
    if config.train.limit_train_batches is not None:
        count = min(count, config.train.limit_train_batches)
    if config.optim.step_unit == "update" and few is None:
        count = _of_whole_updates(count, config.optim.gradient_accumulation_steps)
    _check_updates(config, count)
    return count


def _of_whole_updates(batches: int, per_update: int) -> int:
    return batches - batches % per_update if batches > per_update else batches


def _check_updates(config: Config, count: int) -> None:
    """Refuse a stage of which the batches, `count` an epoch, never update the weights."""
    per_update = config.optim.gradient_accumulation_steps
    for stage in stages.plan(config):
        if stage.end * count // per_update > stage.first_epoch * count // per_update:
            continue
        steps = stage.epochs * count
        what = f"stages.{stage.name}" if config.stages else "the whole run"
        raise SettingError(
            f"optim.gradient_accumulation_steps={per_update} is more than the "
            f"{counted(steps, 'step[s]')} of {what}, which would train nothing; use {steps} or less"
        )


def _check_pretrained(config: Config) -> None:
    """Refuse a handle that cannot be loaded, and options that its file decides."""
    settings = config.pretrained
    if not saved_architecture(config):  # which makes the file superfluous
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


def architecture(config: ModelConfig) -> model_architecture.Architecture:
    """The architecture that the settings `model.*` describe: a variant with changes."""
    settings = dict(vars(config))
    if config.variant in model_architecture.VARIANTS and all(
        settings[size] for size in model_architecture.SIZES
    ):
        raise SettingError(
            f"model.variant={config.variant} changes nothing, because all of "
            f"{', '.join(model_architecture.SIZES)} are set; use model={config.variant}"
        )
    return model_architecture.architecture(settings.pop("variant"), prefix="model.", **settings)


def _check_data_path(config: Config) -> None:
    name, path = config.data.name, config.data.path
    if path is not None and name not in registry.OF_PATH:
        raise SettingError(
            f"data.path={path} means nothing to data.name={name}; add data=folder (of images), "
            "data=csv (a table of images), data=huggingface (Parquet files) or data=npz (a file of "
            "arrays), or leave it out"
        )


def _check_backend() -> None:
    """Refuse a KERAS_BACKEND that is not supported or not installed."""
    backend = os.environ.get("KERAS_BACKEND")
    if backend is None:
        return
    check_choice("KERAS_BACKEND", backend, BACKENDS)
    if not _is_installed(backend):
        raise SettingError(
            f"KERAS_BACKEND={backend} is not installed; pip install {backend}, or "
            f"set KERAS_BACKEND to another of {', '.join(BACKENDS)}"
        )


def _check_cluster() -> None:
    """Refuse TF_CONFIG with several tasks: each of them would train the whole run."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster") or {}
        tasks = sum(len(cluster.get(job, ())) for job in ("chief", "master", "worker", "ps"))
    except (ValueError, TypeError, AttributeError):  # not what TensorFlow would read
        return
    if tasks > 1:
        raise SettingError(
            f"TF_CONFIG names a cluster of {tasks} tasks, and each of them would train the whole "
            "run for itself; train without it (env -u TF_CONFIG vit-keras ...), on one machine or, "
            "with KERAS_BACKEND=jax, on several (distribute.processes)"
        )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def load_config(*overrides: str) -> Config:
    """The checked configuration of a command line: `load_config("recipe=mnist", "train.epochs=3")`.

    `"data=arrays"` is for data that `train_model(config, data=...)` gets from a program.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    overrides = tuple(renamed_settings.current_words(overrides))
    result = compose(*overrides)
    if result.run.resume is not None:
        result = resumed_config(result, overrides)
    if result.data.name == "arrays":
        check_settings(result)  # the rest when `train_model` gets the arrays
    else:
        check(result)
    return result
