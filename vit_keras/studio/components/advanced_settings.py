"""All settings that are not in view, in one expander with a search."""

import os
from collections.abc import Callable
from typing import Any

import streamlit as st

from vit_keras.config.compose import get_setting
from vit_keras.config.fields import Option, options, stage_options
from vit_keras.config.schema import Config
from vit_keras.data import registry
from vit_keras.model.architecture import VARIANTS, Architecture
from vit_keras.studio.components import data_source, kept_values, setting_inputs
from vit_keras.studio.components.setting_inputs import Form
from vit_keras.studio.components.training_choice import FORM, FURTHER
from vit_keras.studio.jobs.command import group_choices, to_text
from vit_keras.training.preflight import OPEN

# Chosen elsewhere on the page, or not applicable to a new run.
HIDDEN = (
    *("data.name", "data.path", "data.several_labels", *data_source.FOLDER_SETTINGS),
    *(*data_source.COLUMNS, "task", "name", "run.root", "run.resume", "pretrained.handle"),
    # A job is one process.
    *("distribute.processes", "distribute.process_id", "distribute.coordinator"),
    "tracking.sweep",
)
TITLES = {
    "data": "Data",
    "model": "Model",
    "pretrained": "Pretrained model",
    "augment": "Augmentation",
    "optim": "Optimizer",
    "loss": "Loss",
    "train": "Training",
    "stages": "Stages",
    "distribute": "Devices",
    "tracking": "Tracking",
    "run": "Run",
}
PRESETS = {"augment": "Augmentation preset", "optim": "Optimizer preset", "loss": "Loss preset"}
SEARCH = f"{FORM}search"

Field = tuple[Option, Any, str]  # a setting, its base value, and the prefix of a stage


def edit(form: Form, base: Config, hidden: tuple[str, ...], recipe: Callable[[], None]) -> None:
    """Draw the controls of all settings but the hidden ones, once the expander is open.

    Those that are not drawn keep what was typed for them.

    Args:
        form: gets the controls and their overrides.
        base: the settings of the recipe and the presets.
        hidden: settings that have a control elsewhere, or that this training does not have.
        recipe: draws the control of the recipe.
    """
    groups = _groups(base, (*HIDDEN, *hidden))
    panel = st.expander("Advanced settings", key="advanced", on_change="rerun")
    shown: list[Field] = []
    if panel.open:
        with panel:
            recipe()
            shown = _draw(form, groups)
    drawn = {prefix + option.name for option, _, prefix in shown}
    for option, value, prefix in (field for fields in groups.values() for field in fields):
        if prefix + option.name not in drawn:
            form.keep(option, value, prefix)


def further_overrides() -> list[str]:
    """What is to be set beyond the form: one override in a line."""
    return [word.strip() for word in kept_values.values().get(FURTHER, "").splitlines() if word]


def select_presets() -> list[str]:
    """The presets of groups that are kept; their controls are among those of the group."""
    kept = {group: kept_values.values().get(f"{FORM}{group}", "") for group in PRESETS}
    return [f"{group}={preset}" for group, preset in kept.items() if preset]


def _groups(base: Config, hidden: tuple[str, ...]) -> dict[str, list[Field]]:
    """The settings of each group that this training has."""
    found: dict[str, list[Field]] = {group: [] for group in TITLES}
    for name, option in options().items():
        if name not in hidden and not _belongs_to_other_start(name, base):
            found[name.partition(".")[0]].append((option, get_setting(base, name), ""))
    for stage, settings in base.stages.items():
        prefix = f"stages.{stage}."
        found["stages"] += [
            (option, getattr(settings, field), prefix)
            for field, option in stage_options().items()
            if prefix + field not in hidden
        ]
    return {group: fields for group, fields in found.items() if fields}


def _belongs_to_other_start(name: str, base: Config) -> bool:
    """Whether a setting is of pretrained models alone, or one that a pretrained file decides."""
    group, _, field = name.partition(".")
    if base.pretrained.handle is None:
        return group == "pretrained"
    return group == "model" and field not in OPEN


def _draw(form: Form, groups: dict[str, list[Field]]) -> list[Field]:
    """Draw the search and what it finds, or a tab for each group; the settings that are drawn."""
    search = kept_values.control(
        st.text_input,
        "Search the settings",
        SEARCH,
        "",
        placeholder="learning rate, dropout, seed",
        help="In their names and descriptions",
    )
    if words := search.casefold().split():
        found = [field for fields in groups.values() for field in fields if _matches(field, words)]
        named = [field for field in found if _is_named(field, words)]
        _draw_rows(form, named)
        _draw_rows(form, [field for field in found if field not in named])
        if not found:
            st.write("No setting matches.")
        return found
    for (group, fields), tab in zip(
        groups.items(), st.tabs([TITLES[group] for group in groups]), strict=True
    ):
        with tab:
            if group in PRESETS:
                setting_inputs.select_group(group, group_choices(group), FORM, PRESETS[group])
            _draw_rows(form, fields)
    _draw_further()
    return [field for fields in groups.values() for field in fields]


def _draw_further() -> None:
    kept_values.control(
        st.text_area,
        "Further overrides",
        FURTHER,
        "",
        placeholder="+stages.more={trainable: all, epochs: 5}",
        help="As on the command line, one in a line: for what the form has no control for",
        height=80,
    )


def _draw_rows(form: Form, fields: list[Field]) -> None:
    for prefix in dict.fromkeys(prefix for _, _, prefix in fields):
        form.edit_rows([(option, base) for option, base, own in fields if own == prefix], prefix)


def _matches(field: Field, words: list[str]) -> bool:
    option, _, prefix = field
    name = prefix + option.name
    text = f"{name} {name.replace('_', ' ')} {option.label} {option.help}".casefold()
    return all(word in text for word in words)


def _is_named(field: Field, words: list[str]) -> bool:
    """Whether the words are in the name or the label, and not in the description alone."""
    option, _, prefix = field
    text = f"{prefix}{option.name} {option.name.replace('_', ' ')} {option.label}".casefold()
    return all(word in text for word in words)


def unset_words(base: Config) -> Any:
    """A function of a setting and its name: what null means for it in this training, in a word."""

    def word(option: Option, name: str) -> str:
        if name.startswith("model."):
            return _of_model(option, base)
        if name == "data.workers":
            return f"auto ({os.cpu_count()})"
        if name == "data.image_size":
            return _of_data(base)
        return option.unset

    return word


def _of_model(option: Option, base: Config) -> str:
    """The variant's value of an option of the model, or that of the paper."""
    if base.pretrained.handle is not None:
        return "as in the model's file"
    field = option.name.partition(".")[2]
    if field == "variant":
        return option.unset
    sizes = VARIANTS.get(base.model.variant or "", {})
    default = Architecture.__dataclass_fields__[field].default
    value = sizes.get(field, default)
    is_known = isinstance(value, int | float | str)
    text = setting_inputs.SWITCH.get(to_text(value), to_text(value)) if is_known else ""
    return f"auto ({text})" if text else "auto"


def _of_data(base: Config) -> str:
    """The size of the data set's own images, where it is known."""
    info = registry.WELL_KNOWN.get(base.data.name)
    return f"auto ({info.size[0]})" if info else "auto"
