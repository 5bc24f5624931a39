"""Train a ViT from scratch: `python scripts/train_scratch.py recipe=cifar10 train.epochs=3`."""

from vit_keras.cli import hydra_app


@hydra_app.main
def main(config):
    from vit_keras.training.train import train_model

    return train_model(config).metrics["best_val_accuracy"]


if __name__ == "__main__":
    main()
