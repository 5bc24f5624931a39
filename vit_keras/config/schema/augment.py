"""The settings `augment.*`."""

from dataclasses import dataclass
from typing import Any

from vit_keras.validators import setting

# The strengths in `augment.color_jitter`, in order, with the largest of each.
JITTER = {"brightness": 1, "contrast": 1, "saturation": 1, "hue": 0.5}


@dataclass
class AugmentConfig:
    """Augmentation of a training batch on the device, in this order except that colors go first."""

    crop_padding: int = setting(
        0,
        "Pixels of padding before a random crop back to the image's size.",
        at_least=0,
        unit="pixels",
    )
    flip: Any = setting(
        False,
        # Jordan 2024, for `alternating`.
        "Flip images left to right: a random half of each batch (true), or each image in every "
        "second epoch, a random half of them first (alternating).",
        choices=("false", "true", "alternating"),
        label="Horizontal flip",
    )
    resized_crop: list[float] | None = setting(
        None,
        "Random resized crop of [smallest, largest] fraction of the area.",
        label="Random resized crop",
        unset="off",
    )
    color_jitter: list[float] | None = setting(
        None, "Strengths of the jitter of [brightness, contrast, saturation, hue].", unset="off"
    )
    policy: str = setting(
        "none",
        "Augmentation policy; three_augment is that of DeiT III.",
        choices=("none", "randaugment", "trivial_augment", "autoaugment_cifar10", "three_augment"),
        label="Augmentation policy",
    )
    policy_ops: int = setting(
        2, "RandAugment's number of operations.", at_least=1, at_most=8, label="Policy operations"
    )
    policy_magnitude: int = setting(9, "RandAugment's magnitude.", at_least=0, at_most=30)
    random_erasing: float = setting(
        0.0,
        "Probability that a box of an image is replaced by noise.",
        at_least=0,
        at_most=1,
        step=0.01,
    )
    mixup: float = setting(
        0.0,
        "Alpha of MixUp; 0 is off. With CutMix on too, a batch gets one of them.",
        at_least=0,
        label="MixUp alpha",
    )
    cutmix: float = setting(0.0, "Alpha of CutMix; 0 is off.", at_least=0, label="CutMix alpha")
    mix_probability: float = setting(
        1.0, "Probability that a batch is mixed at all.", at_least=0, at_most=1, step=0.01
    )
    repeated_augmentation: int = setting(
        1,
        # Hoffer et al. 2020, "Augment your batch".
        "Copies of each image in a batch, each augmented differently.",
        at_least=1,
    )
