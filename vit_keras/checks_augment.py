"""What can be wrong in the settings of augmentation, found without Keras."""

from vit_keras.config import AugmentConfig, Config
from vit_keras.errors import SettingError, one_of
from vit_keras.limits import in_range

POLICIES = ("none", "randaugment", "trivial", "autoaugment_cifar10", "three")
JITTER = {"brightness": 1, "contrast": 1, "saturation": 1, "hue": 0.5}  # the most of each


def check(config: Config) -> None:
    """Refuse an augmentation that cannot be.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    _augment(config.augment)
    _repeats(config)


def _repeats(config: Config) -> None:
    """Copies fill a batch, of two images or more: one alone would be mixed with itself."""
    repeats, batch = config.augment.repeats, config.train.batch_size
    if repeats > 1 and (batch % repeats or repeats == batch):
        fitting = [str(count) for count in range(2, min(batch, 9)) if not batch % count]
        raise SettingError(
            f"augment.repeats={repeats} does not divide train.batch_size={batch} into copies of "
            f"two images or more; use {' or '.join(['1', *fitting])}, or another batch size"
        )


def _augment(config: AugmentConfig) -> None:
    one_of("augment.policy", config.policy, POLICIES)
    if config.jitter is not None:
        if len(config.jitter) != len(JITTER):
            raise SettingError(
                f"augment.jitter={config.jitter} has {len(config.jitter)} values; give "
                f"{len(JITTER)}, of {', '.join(JITTER)}, such as [0.3,0.3,0.3,0]"
            )
        for value, (name, most) in zip(config.jitter, JITTER.items(), strict=True):
            in_range(f"augment.jitter={config.jitter}: {name}", value, 0, True, most)
    crop = config.resized_crop
    if crop is None:
        return
    if len(crop) != 2 or not 0 < crop[0] <= crop[1] <= 1:
        raise SettingError(
            f"augment.resized_crop={crop} is no least and most share of the area; use two numbers "
            "above 0, 1 at most, such as [0.08,1]"
        )
    if config.crop_padding:
        raise SettingError(
            f"augment.resized_crop={crop} and augment.crop_padding={config.crop_padding} are two "
            "ways to crop; set augment.resized_crop=null or augment.crop_padding=0"
        )
