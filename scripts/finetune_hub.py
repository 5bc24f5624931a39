"""Fine-tune a pretrained ViT: `python scripts/finetune_hub.py recipe=finetune_cifar10`."""

import functools

from vit_keras import checks, cli


@functools.partial(cli.main, recipe="finetune_digits", check=checks.has_handle)
def main(config):
    from vit_keras.finetune import finetune_model  # imports Keras: after the checks

    return finetune_model(config).metrics["best_val_accuracy"]


if __name__ == "__main__":
    main()
