"""Batch augmentation on the device, inside the compiled training step.

Keras' augmentation layers are not used: every image of a batch draws its own operations here, the
same seed gives the same images on TensorFlow and JAX, and RandAugment is 54 to 62 times faster than
`keras.layers.RandAugment` on 2 CPU cores (benchmarks/README.md).
"""

from vit_keras.augment.pipeline import augment

__all__ = ["augment"]
