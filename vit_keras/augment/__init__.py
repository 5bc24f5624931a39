"""Batch augmentation on the device, inside the compiled training step."""

from vit_keras.augment.pipeline import augment

__all__ = ["augment"]
