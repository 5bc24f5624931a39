"""Train a ViT from scratch: `python scripts/train_scratch.py recipe=cifar10 train.epochs=3`."""

from vit_keras.cli.train import main

if __name__ == "__main__":
    main()
