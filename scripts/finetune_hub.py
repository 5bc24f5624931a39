"""Fine-tune a pretrained ViT: `python scripts/finetune_hub.py recipe=finetune_cifar10`."""

from vit_keras.cli.finetune import main

if __name__ == "__main__":
    main()
