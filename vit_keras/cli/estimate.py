"""Estimate parameters, memory and time of a training: `vit-keras estimate recipe=cifar10`."""

import functools

from vit_keras.cli import hydra_app
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError


def check(config: Config) -> None:
    """Refuse several trainings at once."""
    if config.train.folds is not None:
        raise SettingError(
            f"train.folds={config.train.folds} trains as many runs; estimate one of them by "
            f"data.fold=1/{config.train.folds} in its place"
        )


@functools.partial(hydra_app.main, check=check)
def main(config):
    from vit_keras.training.estimate import estimate  # imports Keras: after the checks

    print("\n".join(estimate(config).lines()))
