"""Everything that can be wrong in a configuration, found before anything slow starts.

Nothing here imports Keras or TensorFlow: a wrong setting is refused in about a second.
"""

import importlib.util
import os
import re

from vit_keras import checks_augment, data, fitting, limits, sources, stages, switches, variants
from vit_keras.config import Config, DataConfig, ModelConfig
from vit_keras.errors import SettingError, one_of
from vit_keras.pretrained import download

RATES = variants.RATES
# What a pretrained file may not say, and what it leaves open.
OPEN = ("num_heads", "gelu", "norm_epsilon", "pixel_mean", "pixel_std", *RATES)
BACKENDS = ("tensorflow", "jax")

# Setting -> the words that it may have.
CHOICES: dict[str, tuple[str, ...]] = {
    "data.fit": fitting.FITS,
    "data.on_bad_file": ("skip", "fail"),
    "model.variant": tuple(variants.VARIANTS),
    **{f"model.{name}": allowed for name, allowed in switches.CHOICES.items()},
    "pretrained.weights": ("file", "random"),
    "augment.policy": checks_augment.POLICIES,
    "optim.name": ("adamw", "adam", "sgd"),
    "train.precision": ("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    "train.jit": ("auto", "true", "false"),
}

MOST_EPOCHS = 1_000_000  # a schedule counts their steps in 64 bits
# Setting -> the smallest value, whether that value itself will do, and the largest (None: none).
RANGES: dict[str, tuple[float, bool, float | None]] = {
    "data.limit": (1, True, None),
    "data.train_limit": (1, True, None),
    "data.validation_fraction": (0, False, 0.9),
    "data.prefetch": (1, True, None),
    "data.cache_mb": (0, True, None),
    "data.workers": (1, True, 256),
    "augment.crop_padding": (0, True, None),
    "augment.policy_ops": (1, True, 8),
    "augment.policy_magnitude": (0, True, 30),
    "augment.erase": (0, True, 1),
    "augment.mixup": (0, True, None),
    "augment.cutmix": (0, True, None),
    "augment.mix_probability": (0, True, 1),
    "augment.repeats": (1, True, None),
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
    "train.epochs": (1, True, MOST_EPOCHS),
    "train.batch_size": (1, True, None),
    "train.seed": (0, True, 2**32 - 1),
    "train.early_stopping": (1, True, None),
    "train.overfit_batches": (1, True, None),
    "train.limit_steps": (1, True, None),
    "train.samples": (0, True, 64),
}
STAGE_RANGES: dict[str, tuple[float, bool, float | None]] = {
    "epochs": (1, True, MOST_EPOCHS),
    "learning_rate": (0, False, None),
    "warmup_ratio": (0, True, 0.9),
    "layer_decay": (0, False, 1),
    "lora_rank": (1, True, None),
}


def check(config: Config, given: data.Given | None = None) -> None:
    """Refuse a configuration that cannot train, on its data set or on what is given in its place.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    settings(config)
    if given is not None:
        known, has_test = given.known, given.test is not None
        published: int | None = sources.without_test(len(given.train.labels), has_test)
    else:
        known = sources.known(config.data)
        published = sources.check_prepared(config.data)
    classes = class_count(config.data, given)
    size = image_size(config.data, known.size)
    if config.pretrained.handle is not None:
        _pretrained(config)
    else:
        variants.check(
            architecture(config.model),
            size,
            known.channels,
            classes,
            prefix="model.",
            data_prefix="data.",
        )
    limits.in_range("augment.crop_padding", config.augment.crop_padding, 0, True, min(known.size))
    if published is not None:  # with data.classes there are fewer, seen once labels are read
        bounds = (config.data.limit, config.data.train_limit)
        images = min([published, *(bound for bound in bounds if bound)])
        carves = given.validation is None if given else not sources.has_validation(config.data)
        if carves:
            images -= data.validation_count(config.data, images)
        steps(config, images)


def settings(config: Config) -> None:
    """Refuse what is wrong whatever the data are.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    if not re.fullmatch(r"[\w.-]+", config.name):
        raise SettingError(
            f"name={config.name} cannot begin the name of a folder; use letters, digits, - and _"
        )
    for setting in ("optim.name", "train.precision", "train.jit", "data.fit", "data.on_bad_file"):
        group, name = setting.split(".")
        value = getattr(getattr(config, group), name)
        words = str(value).lower() if isinstance(value, bool) else value
        one_of(setting, words, CHOICES[setting])
    _data_path(config)
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
        limits.in_range(setting, getattr(getattr(config, group), name), *bounds)
    checks_augment.check(config)
    _stages(config)


def has_handle(config: Config) -> None:
    """Refuse a fine-tuning of nothing."""
    if config.pretrained.handle is None:
        raise SettingError(
            "pretrained.handle is not set, so there is nothing to fine-tune; set it, or pick a "
            "recipe that does (recipe=finetune_digits), or train from scratch by "
            "scripts/train_scratch.py"
        )


def steps(config: Config, train_images: int) -> int:
    """Batches an epoch, `train.limit_steps` at most; the few images over sit out.

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
    if config.train.limit_steps is not None:
        count = min(count, config.train.limit_steps)
    together = count * stages.epochs(config)
    if config.optim.accumulate_steps > together:
        raise SettingError(
            f"optim.accumulate_steps={config.optim.accumulate_steps} is more than the "
            f"{together} steps of the whole run, which would train nothing; use {together} or less"
        )
    return count


def _stages(config: Config) -> None:
    stages.check(config)
    for name, stage in config.stages.items():
        for field, bounds in STAGE_RANGES.items():
            limits.in_range(f"stages.{name}.{field}", getattr(stage, field), *bounds)


def _pretrained(config: Config) -> None:
    """The handle exists or can be fetched, and nothing is set that its file decides."""
    settings = config.pretrained
    download.check(str(settings.handle), "pretrained.handle")
    one_of("pretrained.weights", settings.weights, CHOICES["pretrained.weights"])
    if settings.train_all and not settings.opaque:
        raise SettingError(
            "pretrained.train_all=true is of a SavedModel that is used whole; set "
            "pretrained.opaque=true besides, or leave it out: a converted ViT trains as a whole"
        )
    for name, value in vars(config.model).items():
        if name not in OPEN and value is not None:
            raise SettingError(
                f"model.{name}={value} has no effect: pretrained.handle={settings.handle} says the "
                f"architecture; leave it out (model=pretrained), {', '.join(OPEN)} can be set"
            )
    one_of("model.gelu", config.model.gelu or "exact", CHOICES["model.gelu"])
    for name in RATES:
        limits.in_range(f"model.{name}", getattr(config.model, name), 0, True, 0.9999)


def architecture(config: ModelConfig) -> variants.Architecture:
    """The variant with what the configuration changes in it."""
    settings = dict(vars(config))
    if config.variant in variants.VARIANTS and all(settings[size] for size in variants.SIZES):
        raise SettingError(
            f"model.variant={config.variant} changes nothing, because all of "
            f"{', '.join(variants.SIZES)} are given; use model={config.variant}"
        )
    return variants.architecture(settings.pop("variant"), prefix="model.", **settings)


def image_size(config: DataConfig, own: tuple[int, int] | None = None) -> tuple[int, int]:
    """(height, width) in pixels that the model takes: as asked for, or the data's own."""
    if config.image_size is None:
        return own or sources.known(config).size
    return variants.height_and_width(config.image_size, "data.image_size")


def class_count(config: DataConfig, given: data.Given | None = None) -> int:
    """The number of classes that `data.classes` leaves of the data set's."""
    known = given.known if given else sources.known(config)
    if config.classes is None:
        return known.num_classes
    names = given.class_names if given else sources.class_names(config)
    return len(data.class_indices(config.classes, names) if names else config.classes)


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
    one_of("KERAS_BACKEND", backend, BACKENDS)
    if not _is_installed(backend):
        raise SettingError(
            f"KERAS_BACKEND={backend} is not installed; pip install {backend}, or "
            f"set KERAS_BACKEND to another of {', '.join(BACKENDS)}"
        )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
