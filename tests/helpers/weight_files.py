"""Small random weight files in other formats, written without vit_keras."""

import numpy as np
import pytest

import jax2tf_saved_model
from vit_keras import SettingError, load_pretrained

SIZES = dict(patch=4, width=16, depth=3, heads=2, mlp_dim=24, side=16, classes=5)


def google_tree(seed=0, **sizes):
    """Google's weights as nested dicts."""
    return jax2tf_saved_model.random_tree(seed, **{**SIZES, **sizes})


def google(seed=0, **sizes):
    """Google's names -> arrays, as an `.npz` has them."""
    return flat(google_tree(seed, **sizes))


def flat(tree, prefix=""):
    names = {}
    for name, value in tree.items():
        inside = flat(value, f"{prefix}{name}/") if isinstance(value, dict) else None
        names |= {f"{prefix}{name}": value} if inside is None else inside
    return names


def write_npz(path, weights):
    np.savez(path, **weights)
    return path


def timm(seed=0, *, patch=4, width=16, depth=3, mlp_dim=24, side=16, classes=5):
    """timm's names -> arrays."""
    rng = np.random.default_rng(seed)
    weights = {
        "cls_token": rng.normal(0, 0.2, (1, 1, width)),
        "pos_embed": rng.normal(0, 0.2, (1, (side // patch) ** 2 + 1, width)),
    }

    def linear(name, *shape):
        fan_in = np.prod(shape[1:])
        weights[f"{name}.weight"] = rng.normal(0, 1.5 * fan_in**-0.5, shape)
        weights[f"{name}.bias"] = rng.normal(0, 0.2, shape[0])

    def norm(name):
        weights[f"{name}.weight"] = rng.normal(1, 0.2, width)
        weights[f"{name}.bias"] = rng.normal(0, 0.2, width)

    linear("patch_embed.proj", width, 3, patch, patch)
    for i in range(depth):
        norm(f"blocks.{i}.norm1")
        linear(f"blocks.{i}.attn.qkv", 3 * width, width)
        linear(f"blocks.{i}.attn.proj", width, width)
        norm(f"blocks.{i}.norm2")
        linear(f"blocks.{i}.mlp.fc1", mlp_dim, width)
        linear(f"blocks.{i}.mlp.fc2", width, mlp_dim)
    norm("norm")
    if classes:
        linear("head", classes, width)
    return {name: value.astype("float32") for name, value in weights.items()}


def pixels(*shape):
    return np.random.default_rng(2).integers(0, 256, shape).astype("uint8")


def refusal(handle, **settings):
    with pytest.raises(SettingError) as caught:
        load_pretrained(str(handle), **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message
