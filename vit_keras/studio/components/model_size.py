"""Choose the size of the model by a preset, named by its number of parameters."""

import functools
from collections.abc import Mapping
from typing import Any

import streamlit as st
import yaml

from vit_keras.model.architecture import SIZES, VARIANTS
from vit_keras.studio.components import kept_values
from vit_keras.studio.components.setting_inputs import slot_of
from vit_keras.studio.components.training_choice import FORM
from vit_keras.studio.jobs.command import CONF

OF_FILE = "pretrained"  # the preset that leaves all to the pretrained model's file


def select() -> str | None:
    """The preset `model=b16`; None for that of the recipe."""
    sizes = _presets()
    chosen: str = kept_values.control(
        st.selectbox,
        "Model size",
        slot_of(FORM, "model"),
        "",
        changed=lambda: kept_values.drop(lambda slot: slot.startswith(f"{FORM}model.")),
        options=["", *sorted(sizes, key=lambda name: parameters_of(sizes[name]))],
        format_func=lambda name: _title(name, sizes) if name else "As the recipe has it",
        help="Larger models need more images and more time. `model=...`",
    )
    return f"model={chosen}" if chosen else None


@functools.cache
def _presets() -> dict[str, Mapping[str, Any]]:
    """The sizes of each preset in `conf/model/`."""
    found: dict[str, Mapping[str, Any]] = {}
    for file in sorted((CONF / "model").glob("*.yaml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        if file.stem != OF_FILE:
            found[file.stem] = {**VARIANTS.get(str(content.get("variant")), {}), **content}
    return found


def _title(name: str, sizes: Mapping[str, Mapping[str, Any]]) -> str:
    millions, patch = parameters_of(sizes[name]) / 1e6, sizes[name]["patch_size"]
    return f"{name}: about {millions:.2g} M parameters, patches of {patch} pixels"


def parameters_of(sizes: Mapping[str, Any]) -> int:
    """The weights of the patch embedding and the blocks, which are nearly all there are."""
    patch, width, depth, _, mlp_dim = (int(sizes[name]) for name in SIZES)
    return depth * (4 * width**2 + 2 * width * mlp_dim) + 3 * patch**2 * width
