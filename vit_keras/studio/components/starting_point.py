"""Choose what a training starts from: random weights, or a pretrained model."""

import re

import streamlit as st

from vit_keras.model.architecture import VARIANTS
from vit_keras.pretrained import download
from vit_keras.pretrained.backbones import BACKBONES
from vit_keras.studio.components import kept_values
from vit_keras.studio.components.display import escape_markdown
from vit_keras.studio.components.model_size import parameters_of
from vit_keras.studio.components.training_choice import (
    ADDRESS,
    EMBEDDED,
    MODEL,
    START,
    embedded,
)
from vit_keras.studio.jobs.command import recipes

SCRATCH, PRETRAINED = "From scratch", "From a pretrained model"
OTHER = "another"
OFFERED = ("dinov2_s14", "dinov2_b14")  # besides those that recipes are written for
TITLES = {EMBEDDED: "Small ViT, trained on CIFAR-10 (32 x 32 pixels)", OTHER: "Another model"}


def select() -> str | None:
    """The handle of the chosen model, "" from scratch; None until a choice is complete."""
    is_pretrained = kept_values.control(
        st.radio,
        "Starting point",
        START,
        False,
        options=(False, True),
        format_func=lambda pretrained: PRETRAINED if pretrained else SCRATCH,
        horizontal=True,
        help="A pretrained model has learned from many other images, and needs fewer of yours: "
        "right for up to some thousand images. From scratch the weights are random at first.",
    )
    return _select_model() if is_pretrained else ""


def _select_model() -> str | None:
    handles = [embedded(), *(recipe.handle for recipe in recipes()), *OFFERED]
    names = [*dict.fromkeys(one for one in handles if one and one != EMBEDDED), OTHER]
    if embedded() == EMBEDDED:
        names.insert(0, EMBEDDED)
    kept = kept_values.values().get(MODEL) or names[0]
    if kept not in names:  # of a run, or typed: it is an address
        kept_values.values().update({MODEL: OTHER, ADDRESS: kept})
    handle = kept_values.control(
        st.selectbox,
        "Pretrained model",
        MODEL,
        names[0],
        options=names,
        format_func=_title,
        help="Its file decides the architecture. `pretrained.handle`",
    )
    if handle == OTHER:
        handle = kept_values.control(
            st.text_input,
            "Path or address of the model",
            ADDRESS,
            "",
            placeholder="google/vit-base-patch16-224",
            help="A run, a file, a name of huggingface.co, or an address of kaggle.com",
        ).strip()
    if handle:
        _show_download(handle)
    return handle or None


def _title(handle: str) -> str:
    if handle in BACKBONES:
        return f"{BACKBONES[handle].family} {_variant_title(handle)} (224 x 224 pixels)"
    if found := re.search(r"vit-([a-z]+\d+)-classification", handle):
        return f"{_variant_title(found[1])}, trained on ImageNet (224 x 224 pixels)"
    return TITLES[EMBEDDED] if handle == embedded() else TITLES.get(handle, handle)


def _variant_title(name: str) -> str:
    """`dinov2_s14` -> `ViT-S/14`."""
    variant = name.rpartition("_")[2]
    return re.sub(r"([a-z]+)(\d+)", lambda found: f"ViT-{found[1].title()}/{found[2]}", variant)


def _show_download(handle: str) -> None:
    """Say what is downloaded before the training, or that nothing is."""
    site = download.pending(handle)
    if site is None:
        st.write("On this computer: nothing is downloaded.")
        return
    st.info(
        escape_markdown(
            f"{_megabytes(handle)}downloaded once from {site} when the training starts; that "
            "needs a network."
        )
    )


def _megabytes(handle: str) -> str:
    """How much is downloaded, where the variant is known: four bytes for each parameter."""
    found = re.search(r"[_-]([a-z]+\d+)(?:-classification/\d+)?$", handle)
    if found is None or found[1] not in VARIANTS:
        return "The model is "
    return f"About {4 * parameters_of(VARIANTS[found[1]]) / 1e6:,.0f} MB are "
