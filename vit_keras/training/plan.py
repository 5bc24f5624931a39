"""The training plan: stages, steps per epoch and the configuration to train with, resolved once."""

import math
from dataclasses import dataclass, replace

from vit_keras import backend
from vit_keras.config import stages
from vit_keras.config.schema import Config
from vit_keras.config.stages import Stage
from vit_keras.text import counted
from vit_keras.training import overfit_check, preflight

BASE_BATCH = 256  # images per update that peak learning rates are meant for, if they are scaled
MAX_FIRST_WEIGHTS = 0.05  # share of the first weights in an average, above which is a warning
ON_GPU = 32  # `train.steps_per_execution=auto`


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

    @property
    def average_problem(self) -> str | None:
        """What is wrong with an average of the weights that outlasts the training.

        The average begins with the first weights, and keeps the share momentum^updates of them.
        """
        optim = self.config.optim
        updates = self.total_epochs * self.steps_per_epoch // optim.gradient_accumulation_steps
        if optim.ema_momentum is None or optim.ema_momentum**updates <= MAX_FIRST_WEIGHTS:
            return None
        way_out = f"set {1 - 20 / updates:.3g} or less, or null" if updates > 40 else "set null"
        return (
            f"after {counted(updates, 'update[s]')} the average of the weights still has "
            f"{optim.ema_momentum**updates:.0%} of those that the training begins with "
            f"(optim.ema_momentum={optim.ema_momentum:g}); {way_out}"
        )

    @property
    def images_per_update(self) -> int:
        return self.config.train.batch_size * self.config.optim.gradient_accumulation_steps

    @property
    def rate_factor(self) -> float:
        """What peak learning rates are multiplied by, see `optim.scale_rate`."""
        batches = self.images_per_update / BASE_BATCH
        factors = {"none": 1.0, "linear": batches, "sqrt": math.sqrt(batches)}
        return factors[self.config.optim.scale_rate]

    @property
    def steps_per_execution(self) -> int:
        """Training steps in a call: a divisor of `steps_per_epoch`.

        Keras would go on into the next epoch otherwise: the batches have no end.
        """
        asked = self.config.train.steps_per_execution
        if asked == "auto":
            asked = ON_GPU if backend.has_gpu() else 1
        most = min(asked, self.steps_per_epoch)
        return next(n for n in range(most, 0, -1) if self.steps_per_epoch % n == 0)

    def from_step(self, step: int) -> "TrainingPlan":
        """The plan of which a call begins at `step` of an epoch, as at 0 in any plan."""
        calls = math.gcd(self.steps_per_execution, step)
        train = replace(self.config.train, steps_per_execution=calls)
        return replace(self, config=replace(self.config, train=train)) if step else self


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


def with_single_steps(config: Config) -> Config:
    """`config` with a call for each training step, so that callbacks see every one."""
    return replace(config, train=replace(config.train, steps_per_execution=1))
