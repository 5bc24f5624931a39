"""See what an augmentation does: `python scripts/show_augment.py data=cifar10 augment=heavy`."""

from vit_keras.cli.show_augment import main

if __name__ == "__main__":
    main()
