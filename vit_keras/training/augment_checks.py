"""Checks of the augmentation settings against each other and the batch size."""

from vit_keras.config import schema
from vit_keras.config.schema import AugmentConfig, Config
from vit_keras.errors import SettingError
from vit_keras.training import batch_size
from vit_keras.validators import Bounds, check_bounds


def check(config: Config) -> None:
    """Refuse augmentation that cannot be done.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    _check_augment(config.augment)
    _check_repeated_augmentation(config)


def _check_augment(config: AugmentConfig) -> None:
    if config.color_jitter is not None:
        if len(config.color_jitter) != len(schema.JITTER):
            raise SettingError(
                f"augment.color_jitter={config.color_jitter} has {len(config.color_jitter)} "
                f"values; give {len(schema.JITTER)}, of {', '.join(schema.JITTER)}, such as "
                "[0.3,0.3,0.3,0]"
            )
        for value, (name, most) in zip(config.color_jitter, schema.JITTER.items(), strict=True):
            strength = f"augment.color_jitter={config.color_jitter}: {name}"
            check_bounds(strength, value, Bounds(at_least=0, at_most=most))
    crop = config.resized_crop
    if crop is None:
        return
    if len(crop) != 2 or not 0 < crop[0] <= crop[1] <= 1:
        raise SettingError(
            f"augment.resized_crop={crop} is not the smallest and the largest area; use "
            "two fractions above 0, 1 at most, such as [0.08,1]"
        )
    if config.crop_padding:
        raise SettingError(
            f"augment.resized_crop={crop} and augment.crop_padding={config.crop_padding} are two "
            "ways to crop; set augment.resized_crop=null or augment.crop_padding=0"
        )


def check_channels(config: AugmentConfig, channels: int) -> None:
    """Refuse color operations on images that are neither grey nor RGB.

    Raises:
        SettingError: naming the setting.
    """
    for name, off in (("policy", "none"), ("color_jitter", None)):
        value = getattr(config, name)
        if value != off and channels not in (1, 3):
            raise SettingError(
                f"augment.{name}={value} changes colors of grey or RGB images, and these have "
                f"{channels} channels; leave it out"
            )


def _check_repeated_augmentation(config: Config) -> None:
    """Refuse copies that do not fill a batch with two images or more.

    MixUp and CutMix would mix the copies of a single image with themselves.
    """
    repeats, batch = config.augment.repeated_augmentation, config.train.batch_size
    if batch_size.is_auto(config):
        batch = max(batch_size.SIZES)
    if repeats > 1 and (batch % repeats or repeats == batch):
        fitting = [str(count) for count in range(2, min(batch, 9)) if not batch % count]
        raise SettingError(
            f"augment.repeated_augmentation={repeats} does not divide train.batch_size="
            f"{config.train.batch_size} into copies of two images or more; use "
            f"{' or '.join(['1', *fitting])}, or another batch size"
        )
