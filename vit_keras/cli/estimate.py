"""Estimate parameters, memory and time of a training: `vit-keras estimate recipe=cifar10`."""

from vit_keras.cli import hydra_app


@hydra_app.main
def main(config):
    from vit_keras.training.estimate import estimate  # imports Keras: after the checks

    print("\n".join(estimate(config).lines()))
