"""Staged training: which layers are trained, for how many epochs, at which learning rate."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vit_keras.config.schema import Config, OptimConfig, StageConfig
from vit_keras.errors import SettingError
from vit_keras.validators import check_int, check_patch_multiple, height_and_width, size_text

PARTS = ("bias", "norm", "lora")  # kinds of stages that train parts of all layers


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes:
        name: its key under `stages`.
        kind: what is trained: `head`; `all`; `last`, which is the last `blocks` encoder blocks, the
            last norm, the pooling and the head; `prompt`, which is the head and the register
            tokens (Jia et al. 2022); or the head and, of all layers, one of `PARTS`: the biases
            (`bias`, Ben Zaken et al. 2022), the layer normalisations (`norm`, Basu et al. 2024), or
            low-rank updates of each block's QKV and MLP kernels (`lora`, Hu et al. 2022).
        first_epoch: number of epochs in earlier stages.
        schedule_epochs: of its learning-rate schedule; more than `epochs` where it is cut short, or
            where it spans the run.
        schedule_start: epoch of the run with which that schedule begins.
        optim: the run's optimizer settings, with the stage's own learning rate and warm-up.
        layer_decay: the learning rate of a layer as a fraction of that of the layer above it.
        augment: whether the run's augmentation is applied.
        image_size: (height, width) of the images that it trains on; None for the model's own.
    """

    name: str
    kind: str
    blocks: int
    epochs: int
    first_epoch: int
    schedule_epochs: int
    schedule_start: int
    optim: OptimConfig
    layer_decay: float
    lora_rank: int
    augment: bool
    image_size: tuple[int, int] | None

    @property
    def end(self) -> int:
        return self.first_epoch + self.epochs


def plan(config: Config) -> list[Stage]:
    """The stages of a run, in order.

    Where none are set, `all`, and `all_2`, ... for the further schedules of
    `train.schedule_epochs`.
    """
    if not config.stages:
        return _plan_schedules(config)
    result: list[Stage] = []
    for name, settings in config.stages.items():
        first = result[-1].end if result else 0
        result.append(_stage(name, settings, first, config.optim))
    if config.optim.schedule_scope == "run":
        total = result[-1].end
        return [replace(stage, schedule_epochs=total, schedule_start=0) for stage in result]
    return result


def _plan_schedules(config: Config) -> list[Stage]:
    result: list[Stage] = []
    left, lengths = config.train.epochs or 0, list(config.train.schedule_epochs)
    while left or not result:
        length = lengths.pop(0) if lengths else left
        settings = StageConfig(epochs=min(length, left))
        name = f"all_{len(result) + 1}" if result else "all"
        first = result[-1].end if result else 0
        stage = _stage(name, settings, first, config.optim)
        result.append(replace(stage, schedule_epochs=length))
        left -= settings.epochs
    return result


def total_epochs(config: Config) -> int:
    """Epochs of all stages."""
    return plan(config)[-1].end


def _stage(name: str, settings: StageConfig, first_epoch: int, optim: OptimConfig) -> Stage:
    overrides = {
        field: getattr(settings, field)
        for field in ("learning_rate", "warmup_ratio")
        if getattr(settings, field) is not None
    }
    kind, blocks = _trainable(name, settings.trainable)
    return Stage(
        name=name,
        kind=kind,
        blocks=blocks,
        epochs=settings.epochs,
        first_epoch=first_epoch,
        schedule_epochs=settings.epochs,
        schedule_start=first_epoch,
        optim=replace(optim, **overrides),
        layer_decay=settings.layer_decay,
        lora_rank=settings.lora_rank,
        augment=settings.augment,
        image_size=_image_size(name, settings.image_size),
    )


def _trainable(name: str, value: Any) -> tuple[str, int]:
    """`head`, `all`, `prompt` or one of `PARTS`; or `{last: 4}`."""
    if isinstance(value, Mapping) and list(value) == ["last"]:
        blocks = value["last"]
        if isinstance(blocks, int) and not isinstance(blocks, bool) and blocks > 0:
            return "last", blocks
    elif value in ("head", "all", "prompt", *PARTS):
        return value, 0
    raise SettingError(
        f"stages.{name}.trainable={value} is unknown; use head, all, prompt, {', '.join(PARTS)}, "
        "or {last: 4} for the last four blocks"
    )


def _image_size(name: str, value: Any) -> tuple[int, int] | None:
    return None if value is None else height_and_width(value, f"stages.{name}.image_size")


def check_stages(config: Config) -> None:
    """Check the lengths of the stages and their order.

    Raises:
        SettingError: a length is missing or given twice, a warm-up and a decay overlap, or a LoRA
            stage is not the last.
    """
    if bool(config.stages) == (config.train.epochs is not None):
        raise SettingError(
            f"train.epochs={config.train.epochs} has no effect: the stages "
            f"({', '.join(config.stages)}) have their own epochs, such as "
            f"stages.{next(iter(config.stages))}.epochs; set train.epochs=null"
            if config.stages
            else "train.epochs=null leaves a run without stages no epochs; set train.epochs"
        )
    _check_schedules(config)
    stages = plan(config)
    for stage in stages:
        _check_warmup(config, stage)
        if stage.image_size is not None:
            _check_kind(config, stage, stage.image_size)
    for stage in stages[:-1]:
        if stage.kind == "lora":
            raise SettingError(
                f"stages.{stage.name}.trainable=lora has to be the last stage, whose low-rank "
                "factors are merged into the weights when it is saved; put it last"
            )


def _check_schedules(config: Config) -> None:
    lengths = config.train.schedule_epochs
    if lengths and config.stages:
        raise SettingError(
            f"train.schedule_epochs={lengths} has no effect: schedules follow from the epochs of "
            "the stages; leave it out"
        )
    for length in lengths:
        check_int("train.schedule_epochs", length)
    for name, settings in config.stages.items():
        if config.optim.schedule_scope == "run" and settings.warmup_ratio is not None:
            raise SettingError(
                f"stages.{name}.warmup_ratio={settings.warmup_ratio:g} has no effect: with "
                "optim.schedule_scope=run one warm-up begins the run; set optim.warmup_ratio"
            )


def _check_warmup(config: Config, stage: Stage) -> None:
    """Refuse a warm-up that ends after the decay has begun."""
    warmup, decay = stage.optim.warmup_ratio, stage.optim.decay_ratio
    if stage.optim.schedule != "wsd" or warmup + decay <= 1 + 1e-9:
        return
    has_own = config.stages and config.stages[stage.name].warmup_ratio is not None
    name = f"stages.{stage.name}" if has_own else "optim"
    raise SettingError(
        f"{name}.warmup_ratio={warmup:g} and optim.decay_ratio={decay:g} are together more than "
        f"all steps; use optim.decay_ratio={1 - warmup:g} or less"
    )


def _check_kind(config: Config, stage: Stage, size: tuple[int, int]) -> None:
    """Refuse images of another size for what cannot be trained on them."""
    name = f"stages.{stage.name}.image_size={size_text(size)}"
    if stage.kind == "head":
        raise SettingError(
            f"{name} has no place in a stage with trainable=head, whose features are those of the "
            "model's own size; leave it out"
        )
    if config.pretrained.wrap_saved_model:
        raise SettingError(
            f"{name} needs a ViT, and pretrained.wrap_saved_model=true has a graph of one image "
            "size; leave one of them out"
        )


def check_image_sizes(stages: Iterable[Stage], model: tuple[int, int], patch_size: int) -> None:
    """Check the image sizes of the stages against the model's.

    Args:
        stages: of a run.
        model: (height, width) of the model's own images.
        patch_size: of the model.

    Raises:
        SettingError: patches do not divide a size, or it is larger than the model's own.
    """
    for stage in stages:
        if stage.image_size is None:
            continue
        name = f"stages.{stage.name}.image_size"
        check_patch_multiple(name, stage.image_size, patch_size)
        height, width = (max(sides) for sides in zip(stage.image_size, model, strict=True))
        if (height, width) != model:
            raise SettingError(
                f"{name}={size_text(stage.image_size)} is larger than the images of the saved "
                f"model; use {size_text(model)} or less, or "
                f"data.image_size={size_text((height, width))}"
            )
