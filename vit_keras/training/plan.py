"""The training plan: stages, steps per epoch and the configuration to train with, resolved once."""

from dataclasses import dataclass

from vit_keras.config import stages
from vit_keras.config.schema import Config
from vit_keras.config.stages import Stage
from vit_keras.training import overfit_check, preflight


@dataclass(frozen=True)
class TrainingPlan:
    """What a run trains, and for how long.

    Attributes:
        config: the run's settings; without regularisation under `train.overfit_batches`, and then
            not the ones that are stored in the run.
        stages: in order, one at least.
        steps_per_epoch: batches in an epoch, the same in each stage.
    """

    config: Config
    stages: tuple[Stage, ...]
    steps_per_epoch: int

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages."""
        return self.stages[-1].end


def resolve_plan(config: Config, train_images: int) -> TrainingPlan:
    """The plan of a run on a training split of `train_images` images.

    Raises:
        SettingError: the images do not fill a batch, or too few batches update the weights.
    """
    return TrainingPlan(
        config=overfit_check.disable_regularisation(config),
        stages=tuple(stages.plan(config)),
        steps_per_epoch=preflight.steps_per_epoch(config, train_images),
    )
