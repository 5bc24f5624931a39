"""Everything that can be wrong in a configuration, found before anything slow starts.

Nothing here imports Keras or TensorFlow: a wrong setting is refused in about a second.
"""

import importlib.util
import math
import os
import re
from typing import Any

from vit_keras import data, sources, variants
from vit_keras.config import Config, DataConfig, ModelConfig
from vit_keras.errors import SettingError, one_of

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
OPTIMIZERS = ("adamw", "adam", "sgd")
BACKENDS = ("tensorflow", "jax")

# Setting -> the smallest value, whether that value itself will do, and the largest (None: none).
RANGES: dict[str, tuple[float, bool, float | None]] = {
    "data.limit": (1, True, None),
    "data.validation_fraction": (0, False, 0.9),
    "data.prefetch": (1, True, None),
    "augment.crop_padding": (0, True, None),
    "optim.learning_rate": (0, False, None),
    "optim.warmup_ratio": (0, True, 0.9),
    "optim.final_learning_rate": (0, True, 1),
    "optim.weight_decay": (0, True, None),
    "optim.momentum": (0, True, 0.9999),
    "optim.beta_1": (0, True, 0.9999),
    "optim.beta_2": (0, True, 0.999999),
    "optim.clip_norm": (0, False, None),
    "optim.label_smoothing": (0, True, 0.9),
    "optim.ema": (0, False, 0.999999),
    "optim.accumulate_steps": (1, True, None),
    "train.epochs": (1, True, None),
    "train.batch_size": (1, True, None),
    "train.seed": (0, True, 2**32 - 1),
    "train.early_stopping": (1, True, None),
}


def check(config: Config) -> None:
    """Refuse a configuration that cannot train.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    if not re.fullmatch(r"[\w.-]+", config.name):
        raise SettingError(
            f"name={config.name} cannot begin the name of a folder; use letters, digits, - and _"
        )
    one_of("data.name", config.data.name, sources.KNOWN)
    one_of("optim.name", config.optim.name, OPTIMIZERS)
    one_of("train.precision", config.train.precision, PRECISIONS)
    one_of("train.jit", str(config.train.jit).lower(), ("auto", "true", "false"))
    _backend()
    if config.train.tensorboard:
        for package in ("tensorboard", "tensorflow"):  # Keras writes its logs through TensorFlow
            if not _is_installed(package):
                raise SettingError(
                    f"train.tensorboard=true needs {package}; install it (pip install {package}) "
                    "or leave the setting out: history.csv and curves.png are written anyway"
                )
    for setting, bounds in RANGES.items():
        group, name = setting.split(".")
        _in_range(setting, getattr(getattr(config, group), name), *bounds)
    known = sources.KNOWN[config.data.name]
    published = sources.check_prepared(config.data)
    variants.check(
        architecture(config.model),
        image_size(config.data),
        known.channels,
        class_count(config.data),
        prefix="model.",
        data_prefix="data.",
    )
    _in_range("augment.crop_padding", config.augment.crop_padding, 0, True, min(known.size))
    if published is not None:  # with data.classes there are fewer, seen once labels are read
        images = min(published, config.data.limit or published)
        steps(config, images - data.validation_count(config.data, images))


def steps(config: Config, train_images: int) -> int:
    """Batches an epoch; the few images over sit out.

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
    if config.optim.accumulate_steps > count * config.train.epochs:
        raise SettingError(
            f"optim.accumulate_steps={config.optim.accumulate_steps} is more than the "
            f"{count * config.train.epochs} steps of the whole run, which would train nothing; use "
            f"{count * config.train.epochs} or less"
        )
    return count


def architecture(config: ModelConfig) -> variants.Architecture:
    """The variant with what the configuration changes in it."""
    settings = dict(vars(config))
    if config.variant in variants.VARIANTS and all(settings[size] for size in variants.SIZES):
        raise SettingError(
            f"model.variant={config.variant} changes nothing, because all of "
            f"{', '.join(variants.SIZES)} are given; use model={config.variant}"
        )
    return variants.architecture(settings.pop("variant"), prefix="model.", **settings)


def image_size(config: DataConfig) -> tuple[int, int]:
    """(height, width) in pixels that the model takes: as asked for, or the data set's own."""
    if config.image_size is None:
        return sources.KNOWN[config.name].size
    return variants.height_and_width(config.image_size, "data.image_size")


def class_count(config: DataConfig) -> int:
    """The number of classes that `data.classes` leaves of the data set's."""
    known = sources.KNOWN[config.name]
    if config.classes is None:
        return known.num_classes
    names = sources.class_names(config)
    return len(data.class_indices(config.classes, names) if names else config.classes)


def _backend() -> None:
    """Keras' own choice, as far as the environment makes it, has to be one that we train on."""
    backend = os.environ.get("KERAS_BACKEND")
    if backend is None:
        return
    one_of("KERAS_BACKEND", backend, BACKENDS)
    if not _is_installed(backend):
        raise SettingError(
            f"KERAS_BACKEND={backend} is not installed; pip install {backend}, or "
            f"set KERAS_BACKEND to another of {', '.join(BACKENDS)}"
        )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _in_range(setting: str, value: Any, low: float, closed: bool, high: float | None) -> None:
    if value is None:
        return
    good = value >= low if closed else value > low
    if math.isfinite(value) and good and (high is None or value <= high):
        return
    above = f"{low:g} or more" if closed else f"above {low:g}"
    below = f", {high} at most" if high is not None else ""
    raise SettingError(f"{setting}={value} is out of range; use {above}{below}")
