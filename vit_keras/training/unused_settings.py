"""Settings that change nothing beside the others, such as a momentum that AdamW does not have.

A setting with which the training would be the same is refused. What only finds or speeds up the
data, or what a recipe may have set, is reported when the training starts.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from vit_keras.config.compose import get_setting
from vit_keras.config.fields import options, stage_options
from vit_keras.config.schema import Config, setting_names
from vit_keras.config.stages import PARTS, plan
from vit_keras.data import registry
from vit_keras.errors import SettingError
from vit_keras.training import teacher_checks


class Rule(NamedTuple):
    """Settings that have no effect where `applies`, and why."""

    settings: tuple[str, ...]
    applies: Callable[[Config], bool]
    reason: str


def _group(prefix: str) -> tuple[str, ...]:
    return tuple(name for name in setting_names() if name.startswith(prefix))


def _is_optimizer(*names: str) -> Callable[[Config], bool]:
    return lambda config: config.optim.name in names


def _is_schedule(*names: str) -> Callable[[Config], bool]:
    return lambda config: config.optim.schedule in names


def _is_muon_without_blocks(config: Config) -> bool:
    kinds, without = {stage.kind for stage in plan(config)}, {"head", "prompt", *PARTS}
    return config.optim.name == "muon" and not config.pretrained.baseline and kinds <= without


def _trains_no_prompts(config: Config) -> bool:
    return not {"all", "prompt"} & {stage.kind for stage in plan(config)}


def _has_not_source(*names: str) -> Callable[[Config], bool]:
    return lambda config: config.data.name not in names


def _all_stages_have(name: str, has_baseline: bool) -> Callable[[Config], bool]:
    """Whether every stage has its own `optim.<name>`, in a run with or without a baseline."""

    def applies(config: Config) -> bool:
        own = [getattr(stage, name) is not None for stage in config.stages.values()]
        return bool(own) and all(own) and config.pretrained.baseline is has_baseline

    return applies


def _is_never_patient(config: Config) -> bool:
    return (config.train.early_stopping or 0) >= max(stage.epochs for stage in plan(config))


def _teaches_hard_labels(config: Config) -> bool:
    is_distilled = bool(config.model.distillation_token)
    return teacher_checks.teacher_labels(config.train, is_distilled) == "hard"


REFUSED = (
    Rule(
        ("optim.momentum",),
        _is_optimizer("adamw", "adam", "lion"),
        "only optim.name=sgd and optim.name=muon have it",
    ),
    Rule(("optim.beta_1", "optim.beta_2"), _is_optimizer("sgd"), "optim.name=sgd does not have it"),
    Rule(("optim.name",), _is_muon_without_blocks, "no stage trains kernels of encoder blocks"),
    Rule(
        ("optim.decay_ratio",),
        _is_schedule("cosine", "linear", "constant"),
        "only optim.schedule=wsd has it",
    ),
    Rule(
        ("optim.final_lr_fraction",),
        _is_schedule("constant"),
        "optim.schedule=constant stays at the peak",
    ),
    Rule(
        ("train.class_weight_beta",),
        lambda config: config.train.class_weight != "effective",
        "only train.class_weight=effective has it",
    ),
    Rule(
        ("train.teacher_temperature", "train.teacher_weight", "train.teacher_labels"),
        lambda config: config.train.teacher is None,
        "train.teacher is not set",
    ),
    Rule(("train.teacher_temperature",), _teaches_hard_labels, "hard labels have none"),
    Rule(
        ("loss.gamma",),
        lambda config: config.loss.name == "cross_entropy",
        "only loss.name=focal and loss.name=asymmetric have it",
    ),
    Rule(
        ("loss.margin",),
        lambda config: config.loss.name != "asymmetric",
        "only loss.name=asymmetric has it",
    ),
    Rule(
        ("optim.learning_rate",),
        _all_stages_have("learning_rate", has_baseline=False),
        "every stage has its own, stages.<name>.learning_rate",
    ),
    Rule(
        ("optim.schedule_scope",),
        lambda config: not config.stages,
        "a run without stages has one schedule",
    ),
    Rule(
        _group("pretrained."),
        lambda config: config.pretrained.handle is None,
        "pretrained.handle is not set",
    ),
    Rule(("pretrained.prompts",), _trains_no_prompts, "no stage trains them"),
    Rule(
        ("augment.policy_ops", "augment.policy_magnitude"),
        lambda config: config.augment.policy != "randaugment",
        "only augment.policy=randaugment has it",
    ),
    Rule(
        ("augment.mix_probability",),
        lambda config: not (config.augment.mixup or config.augment.cutmix),
        "neither augment.mixup nor augment.cutmix is above 0",
    ),
    Rule(
        ("augment.mixup", "augment.cutmix"),
        lambda config: config.augment.mix_probability == 0,
        "augment.mix_probability=0 mixes no batch",
    ),
    Rule(
        ("tracking.uri", "tracking.experiment", "tracking.artifacts"),
        lambda config: config.tracking.name == "none",
        "tracking.name is none",
    ),
    Rule(
        ("data.follow_links",),
        _has_not_source(*registry.OF_FILES),
        "only data.name=folder and data.name=csv read image files",
    ),
    Rule(
        ("data.on_bad_file",),
        _has_not_source(*registry.LAZY),
        "only data.name=folder, data.name=csv and data.name=huggingface scan encoded images",
    ),
    Rule(
        ("data.image_column", "data.label_column"),
        _has_not_source("csv", "huggingface"),
        "only data.name=csv and data.name=huggingface have columns",
    ),
    Rule(
        ("data.label_separator", "data.split_column", "data.group_column"),
        _has_not_source("csv"),
        "only data.name=csv has such columns",
    ),
    Rule(
        ("data.value_range", "data.channels"),
        _has_not_source(*registry.OF_PATH, registry.IN_MEMORY),
        "only files and arrays of your own can have more than 8 bits or 3 channels",
    ),
    Rule(
        ("data.channels",),
        lambda config: config.data.name in registry.LAZY and config.data.value_range is None,
        "files are read as RGB unless data.value_range is set",
    ),
)
REPORTED = (
    Rule(
        ("data.workers", "data.cache_mb"),
        lambda config: not registry.is_lazy(config.data),
        "images of this data set are all decoded at the start",
    ),
    Rule(
        ("data.validation_fraction",),
        lambda config: config.data.fold is not None or config.train.folds is not None,
        "a fold is validated on its own part of the images",
    ),
    Rule(
        ("data.layout", "data.suffixes"),
        _has_not_source("folder"),
        "only data.name=folder is read by the names of folders and files",
    ),
    Rule(
        ("data.tfds_dir",),
        lambda config: config.data.name in (*registry.READERS, registry.IN_MEMORY),
        "the data are not of TensorFlow Datasets",
    ),
    Rule(
        ("data.download",),
        lambda config: (
            config.data.name != "huggingface"
            and config.data.name in (*registry.READERS, registry.IN_MEMORY)
        ),
        "the data are not of TensorFlow Datasets",
    ),
    Rule(
        ("optim.warmup_ratio",),
        _all_stages_have("warmup_ratio", has_baseline=False),
        "every stage has its own, stages.<name>.warmup_ratio",
    ),
    Rule(
        ("optim.learning_rate",),
        _all_stages_have("learning_rate", has_baseline=True),
        "on these stages, which have their own; the baseline takes it",
    ),
    Rule(
        _group("augment."),
        lambda config: not any(stage.augment for stage in plan(config)),
        "every stage has augment=false",
    ),
    Rule(("train.early_stopping",), _is_never_patient, "no stage has more epochs than that"),
)
# Settings of a stage -> the kinds of stage that they have no effect on.
OF_STAGES = {
    "lora_rank": ("head", "last", "all", "prompt", "bias", "norm"),
    "layer_decay": ("head",),
}


def check_effects(config: Config) -> None:
    """Refuse a setting without which the training would be the same.

    Raises:
        SettingError: naming the setting, its value, and the one that makes it meaningless.
    """
    for name, value, default, reason in (*_unused(config, REFUSED), *_unused_in_stages(config)):
        raise SettingError(
            f"{name}={_text(value)} has no effect: {reason}; leave it out, or set "
            f"{name}={_text(default)}, the default"
        )


def effect_remarks(config: Config, counts: Mapping[str, int] | None) -> list[str]:
    """What to report of settings that have no effect, and need not be refused.

    Args:
        config: of the run.
        counts: number of images of each split that the data source has, if they are known.
    """
    found = [
        f"{name}={_text(value)} has no effect: {reason}"
        for name, value, _, reason in _unused(config, REPORTED)
    ]
    fraction = config.data.validation_fraction
    if "validation" in (counts or {}) and fraction != options()["data.validation_fraction"].default:
        found.append(
            f"data.validation_fraction={fraction:g} has no effect: the data have their own "
            "validation split"
        )
    return found


def _unused(config: Config, rules: tuple[Rule, ...]) -> Iterator[tuple[str, Any, Any, str]]:
    """(name, value, default, reason) of each setting that has no effect."""
    for rule in rules:
        if not rule.applies(config):
            continue
        for name in rule.settings:
            value, default = get_setting(config, name), options()[name].default
            if value != default:
                yield name, value, default, rule.reason


def _unused_in_stages(config: Config) -> Iterator[tuple[str, Any, Any, str]]:
    for stage in plan(config) if config.stages else ():
        for field, kinds in OF_STAGES.items():
            value = getattr(config.stages[stage.name], field)
            default = stage_options()[field].default
            if stage.kind in kinds and value != default:
                name = f"stages.{stage.name}"
                reason = f"{name}.trainable={stage.kind} does not use it"
                yield f"{name}.{field}", value, default, reason


def _text(value: Any) -> str:
    """A value as it is typed."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
