"""The settings of a run: type, default, bounds, choices and help of each, in one place.

The dataclasses are Hydra's schema; `conf/` holds named groups of values. The field `learning_rate`
of `OptimConfig` is `optim.learning_rate=3e-4` on a command line. None means "as the data set, the
variant or the machine has it".
"""

from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from vit_keras.config.schema.augment import JITTER, AugmentConfig
from vit_keras.config.schema.data import GROUP_DUPLICATES, DataConfig
from vit_keras.config.schema.distribute import DistributeConfig
from vit_keras.config.schema.model import ModelConfig
from vit_keras.config.schema.optim import LossConfig, OptimConfig
from vit_keras.config.schema.pretrained import PretrainedConfig
from vit_keras.config.schema.tracking import TrackingConfig
from vit_keras.config.schema.train import StageConfig, TrainConfig
from vit_keras.validators import setting

__all__ = [
    "CLASSIFICATION",
    "GROUP_DUPLICATES",
    "JITTER",
    "MULTILABEL",
    "TASKS",
    "AugmentConfig",
    "Config",
    "DataConfig",
    "DistributeConfig",
    "LossConfig",
    "ModelConfig",
    "OptimConfig",
    "PretrainedConfig",
    "RunConfig",
    "StageConfig",
    "TrackingConfig",
    "TrainConfig",
    "register",
    "setting_names",
]
CLASSIFICATION, MULTILABEL = TASKS = ("classification", "multilabel")


@dataclass
class RunConfig:
    """Where everything is written."""

    root: str = setting(
        "saved_models", "Folder in which new run directories are made.", label="Folder of the runs"
    )
    dir: str | None = setting(
        None,
        "The run directory itself, instead of a new one in run.root.",
        label="Folder of this run",
        unset="a new one",
    )
    resume: str | None = setting(
        None,
        "The run directory to resume; its settings are kept.",
        label="Run to resume",
        unset="none",
    )


@dataclass
class Config:
    """All settings of one run."""

    name: str = setting(
        "custom", "The recipe's name, and the first part of the run directory's name."
    )
    task: str = setting(
        CLASSIFICATION,
        "What is predicted of an image: its class, or any number of labels (multilabel), each by a "
        "probability of its own.",
        choices=TASKS,
    )
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    pretrained: PretrainedConfig = field(default_factory=PretrainedConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    stages: dict[str, StageConfig] = setting(
        dict, "The stages of a fine-tuning, in order; without any, all layers train at once."
    )
    distribute: DistributeConfig = field(default_factory=DistributeConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        # Data are read by their own settings alone.
        if self.task == MULTILABEL:
            self.data = replace(self.data, several_labels=True)


def setting_names(schema: Any = Config, prefix: str = "") -> list[str]:
    """Every dotted name that can be set: `data.name`, `optim.learning_rate`, ..."""
    names = []
    for item in fields(schema):
        group = item.default_factory if is_dataclass(item.default_factory) else None
        names += setting_names(group, f"{item.name}.") if group else [prefix + item.name]
    return names


def register() -> None:
    """Register with Hydra the schema that `conf/config.yaml` starts from, and that of a stage."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config)
    ConfigStore.instance().store(group="stage", name="new", node=StageConfig)
