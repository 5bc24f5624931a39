"""Train a ViT from scratch: `vit-keras train recipe=cifar10 train.epochs=3`."""

from vit_keras.cli import hydra_app


@hydra_app.main
def main(config):
    from vit_keras.training.train import train_model  # imports Keras: after the checks

    return train_model(config).metrics["best_val_accuracy"]
