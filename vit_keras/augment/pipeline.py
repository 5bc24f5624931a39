"""Augmentation pipeline: color operations, one geometric transform, random erasing, mixing.

All random numbers follow from a seed, an int or a `keras.random.SeedGenerator` (its next state, one
per batch), and are the same on every backend.

Letters: B batch, (x, y) and (X, Y) height and width before and after, C channels.
"""

import functools
from typing import Any

from keras import ops

from vit_keras.augment import geometric, mixing, policies, prng
from vit_keras.augment.color import apply_color_ops
from vit_keras.augment.ops import GEOMETRIC_OPS, Step
from vit_keras.config.schema import AugmentConfig


def augment(
    images: Any,
    targets: Any,
    config: AugmentConfig,
    seed: Any,
    size: tuple[int, int] | None = None,
    is_flipped: Any = None,
    first: Any = 0,
) -> tuple[Any, Any]:
    """Augment a batch: (B, x, y, C), (B, classes) -> (B, X, Y, C), (B, classes).

    Args:
        images: 0 to 255, one channel or three. The result is float32, or of the same dtype where
            pixels are only shifted or flipped.
        targets: probabilities of the classes, changed by MixUp and CutMix; None without mixing.
        config: the augmentation.
        seed: an int or a `keras.random.SeedGenerator`.
        size: (X, Y) of the model's input. A random resized crop produces it directly, unless it
            is smaller than the image; otherwise (X, Y) = (x, y).
        is_flipped: (B,) booleans, the images that `flip=alternating` mirrors in this epoch; a
            random half, as in a first epoch, if it is None.
        first: index in the batch of the first of these images, where they are a device's share.
    """
    needed = _needed_numbers(config, is_flipped)
    if not needed and is_flipped is None:
        return images, targets
    key, batch = prng.make_key(seed), ops.shape(images)[0]
    numbers = prng.random_numbers(key, batch, [name for name in needed if name != "mix"], first)
    if "flip" in numbers:
        is_flipped = numbers["flip"][:, 0] < 0.5
    # Color first, then one interpolation for all geometric operations, then erasing and mixing.
    # Interpolating once per operation, as Pillow would, blurs again and again; and equalize,
    # contrast and autocontrast would count the black borders that geometric operations bring in.
    steps = []
    if "policy" in numbers:
        steps += policies.policy_steps(config, numbers["policy"], images.shape[1:3])
    if config.color_jitter is not None:
        steps += policies.jitter_steps(config.color_jitter, numbers["jitter"])
    if steps:
        images = apply_color_ops(ops.cast(images, "float32"), steps)
    images = _apply_geometric(images, config, numbers, is_flipped, steps, size)
    if "erase" in numbers:
        images = mixing.erase(
            ops.cast(images, "float32"), config.random_erasing, key, numbers["erase"], first
        )
    if "mix" in needed:
        mix = prng.random_numbers(key, 1, ["mix"])["mix"][0]  # one for the batch: image 0's
        settings = config.mixup, config.cutmix, config.mix_probability
        images = ops.cast(images, "float32")
        images, targets = mixing.mix(images, targets, *settings, mix)
    return images, targets


def _needed_numbers(config: AugmentConfig, is_flipped: Any) -> list[str]:
    """The keys of `prng.NUMBERS_PER_IMAGE` that `config` needs."""
    needed = {
        "crop": config.crop_padding > 0,
        "flip": is_flipped is None and str(config.flip).lower() != "false",
        "resized_crop": config.resized_crop is not None,
        "jitter": config.color_jitter is not None,
        "policy": config.policy != "none",
        "erase": config.random_erasing > 0,
        "mix": (config.mixup > 0 or config.cutmix > 0) and config.mix_probability > 0,
    }
    return [name for name, is_needed in needed.items() if is_needed]


def _apply_geometric(
    images: Any,
    config: AugmentConfig,
    numbers: dict[str, Any],
    is_flipped: Any,
    steps: list[Step],
    size: tuple[int, int] | None,
) -> Any:
    """Resized crop, padded crop, flip and the geometric steps, composed in this order."""
    old = new = images.shape[1:3]
    geometric_steps = [step for step in steps if step.possible & GEOMETRIC_OPS]
    if not geometric_steps and "resized_crop" not in numbers:
        return _apply_shifts(images, config, numbers, is_flipped)
    maps = []
    if config.resized_crop is not None:
        if size is not None and size[0] >= old[0] and size[1] >= old[1]:
            new = size
        maps.append(
            geometric.resized_crop_map(numbers["resized_crop"], config.resized_crop, old, new)
        )
    if "crop" in numbers:
        maps.append(geometric.crop_map(numbers["crop"], config.crop_padding))
    if is_flipped is not None:
        maps.append(geometric.flip_map(is_flipped, new[1]))
    maps += [geometric.geometric_map(step, new) for step in geometric_steps]
    affine = functools.reduce(geometric.compose, maps)
    return geometric.warp(ops.cast(images, "float32"), affine, new)


def _apply_shifts(
    images: Any, config: AugmentConfig, numbers: dict[str, Any], is_flipped: Any
) -> Any:
    """Padded crop and flip by whole pixels, which need no interpolation."""
    if "crop" not in numbers and is_flipped is None:
        return images
    batch, padding = ops.shape(images)[0], config.crop_padding
    offset = ops.zeros((batch, 2), "int32")
    if "crop" in numbers:
        offset = prng.randint(numbers["crop"], 2 * padding + 1) - padding
    if is_flipped is None:
        is_flipped = ops.zeros((batch,), "bool")
    return geometric.shift_and_flip(images, offset, is_flipped)
