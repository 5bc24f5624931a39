"""Batch augmentation on the device, inside the compiled training step.

Every number that is drawn follows from a seed, an int (the same each time) or a
`keras.random.SeedGenerator` (its next state, one for a batch), and is the same on every backend.

Colours are changed first, then all that moves pixels is done at once, by one interpolation, then
boxes are hidden and images mixed. Applied one by one, as Pillow would, each operation would blur
the image again; and equalize, contrast and autocontrast would count the black that earlier ones
had brought in, or not see what a crop had cut away. The other way round, what one shift has moved
out of sight another can bring back here.
"""

from typing import Any

from keras import ops

from vit_keras.augment import geometric, mixing, policies, prng
from vit_keras.augment.color import apply_color_ops
from vit_keras.augment.ops import MOVES, Step
from vit_keras.config.schema import AugmentConfig


def augment(
    images: Any,
    targets: Any,
    config: AugmentConfig,
    seed: Any,
    size: tuple[int, int] | None = None,
) -> tuple[Any, Any]:
    """All that `config` asks for: (B, x, y, C), (B, classes) -> (B, X, Y, C), (B, classes).

    Args:
        images: levels of 0 to 255, of one channel or three. What comes out is float32, or the
            same dtype where pixels are only moved.
        targets: shares of each class, which mixing changes; may be None where nothing is mixed.
        config: what to do.
        seed: an int or a `keras.random.SeedGenerator`.
        size: (X, Y) that is wanted in the end. A resized crop makes it directly, unless it is
            smaller than the image; otherwise the size stays, for `resize` to change.
    """
    wanted = _draws(config)
    if not wanted:
        return images, targets
    key, batch = prng.key_of(seed), ops.shape(images)[0]
    drawn = prng.draw(key, batch, wanted)
    steps = []
    if "policy" in drawn:
        steps += policies.steps(config, drawn["policy"], images.shape[1:3])
    if config.color_jitter is not None:
        steps += policies.jitter_steps(config.color_jitter, drawn["jitter"])
    if steps:
        images = apply_color_ops(ops.cast(images, "float32"), steps)
    images = _moved(images, config, drawn, steps, size)
    if "erase" in drawn:
        images = mixing.erase(
            ops.cast(images, "float32"), config.random_erasing, key, drawn["erase"]
        )
    if "mix" in drawn:
        settings = config.mixup, config.cutmix, config.mix_probability
        images = ops.cast(images, "float32")
        images, targets = mixing.mix(images, targets, *settings, drawn["mix"][0])
    return images, targets


def random_crop(images: Any, padding: int, seed: Any) -> Any:
    """Pad by `padding` black pixels and cut each image out again at a place of its own.

    He et al. 2016, section 4.2, with a padding of 4 at 32x32.
    """
    return augment(images, None, AugmentConfig(crop_padding=padding), seed)[0]


def random_flip(images: Any, seed: Any) -> Any:
    """Mirror each image left to right with probability 1/2."""
    return augment(images, None, AugmentConfig(flip=True), seed)[0]


def _draws(config: AugmentConfig) -> list[str]:
    """The names of `draws.COUNTS` that `config` needs."""
    needed = {
        "crop": config.crop_padding > 0,
        "flip": config.flip,
        "resized_crop": config.resized_crop is not None,
        "jitter": config.color_jitter is not None,
        "policy": config.policy != "none",
        "erase": config.random_erasing > 0,
        "mix": (config.mixup > 0 or config.cutmix > 0) and config.mix_probability > 0,
    }
    return [name for name, is_needed in needed.items() if is_needed]


def _moved(
    images: Any,
    config: AugmentConfig,
    drawn: dict[str, Any],
    steps: list[Step],
    size: tuple[int, int] | None,
) -> Any:
    """Crop, mirror, and what the steps shear, shift and turn, in this order."""
    old = new = images.shape[1:3]
    moves = [step for step in steps if step.among & MOVES]
    if not moves and "resized_crop" not in drawn:
        return _shifted(images, config, drawn)
    maps = []
    if config.resized_crop is not None:
        if size is not None and size[0] >= old[0] and size[1] >= old[1]:
            new = size
        maps.append(geometric.resized_crop(drawn["resized_crop"], config.resized_crop, old, new))
    if "crop" in drawn:
        maps.append(geometric.padded_crop(drawn["crop"], config.crop_padding))
    if "flip" in drawn:
        maps.append(geometric.mirrored(drawn["flip"], new[1]))
    maps += [geometric.geometric_map(step, new) for step in moves]
    places = maps[0]
    for then in maps[1:]:
        places = geometric.after(places, then)
    return geometric.warp(ops.cast(images, "float32"), places, new)


def _shifted(images: Any, config: AugmentConfig, drawn: dict[str, Any]) -> Any:
    """Whole pixels, which need no interpolation."""
    if not {"crop", "flip"} & set(drawn):
        return images
    batch, padding = ops.shape(images)[0], config.crop_padding
    offset, is_mirrored = ops.zeros((batch, 2), "int32"), ops.zeros((batch,), "bool")
    if "crop" in drawn:
        offset = prng.whole(drawn["crop"], 2 * padding + 1) - padding
    if "flip" in drawn:
        is_mirrored = drawn["flip"][:, 0] < 0.5
    return geometric.shift_and_mirror(images, offset, is_mirrored)
