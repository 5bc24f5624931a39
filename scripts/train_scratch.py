"""Train a ViT from scratch: `python scripts/train_scratch.py recipe=cifar10 train.epochs=3`."""

from vit_keras import cli


@cli.main
def main(config):
    from vit_keras.train import train_model  # imports Keras: only once the settings are checked

    return train_model(config).metrics["best_val_accuracy"]


if __name__ == "__main__":
    main()
