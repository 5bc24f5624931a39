"""Train a ViT from scratch: `vit-keras train recipe=cifar10 train.epochs=3`."""

from vit_keras.cli import hydra_app
from vit_keras.runs import history


@hydra_app.main
def main(config):
    from vit_keras.training.train import train_model  # imports Keras: after the checks

    return history.objective(train_model(config).metrics, history.monitor_of(config))
