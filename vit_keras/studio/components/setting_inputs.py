"""A form control for each setting, built from its declaration in `config.fields`."""

from collections.abc import Iterable
from typing import Any

import streamlit as st

from vit_keras.config.fields import Option, options
from vit_keras.studio.jobs.command import override, to_text

COLUMNS = 3  # controls side by side, where the window is wide enough
UNSET = "not set"  # shown for null: the file, variant, data set or machine decides


def edit_settings(settings: Iterable[tuple[Option, Any]], key: str, prefix: str = "") -> list[str]:
    """Controls for (option, base value) pairs, in rows; the overrides of the changed ones."""
    words, rest = [], list(settings)
    while rest:
        row, rest = rest[:COLUMNS], rest[COLUMNS:]
        for (option, base), column in zip(row, st.columns(COLUMNS), strict=False):
            with column:
                words.append(edit_setting(option, base, key, prefix))
    return [word for word in words if word]


def edit_setting(option: Option, base: Any, key: str, prefix: str = "") -> str | None:
    """A control that starts at `base`; its override if the value differs, else None.

    Args:
        option: declaration of the setting.
        base: value of the setting in the recipe and the chosen presets.
        key: prefix of the control's key; with another one the control starts at `base` again.
        prefix: of the option's name on the command line, `stages.head.`.
    """
    name = prefix + option.name
    label, initial = _label(option.name), to_text(base)
    own_key = key_of(name, base, key)
    help = f"`{name}`: {help_text(option)}"
    if option.kind == "switch" and not option.is_optional:
        typed = to_text(st.checkbox(label, value=bool(base), key=own_key, help=help))
    elif option.kind in ("choice", "switch"):
        typed = _select_value(option, label, initial, own_key, help)
    else:
        typed = st.text_input(
            label,
            value=initial,
            key=own_key,
            help=help,
            placeholder=UNSET if option.is_optional else "",
        )
    if typed.strip() == initial:
        return None
    return override(name, option.kind, option.is_optional, typed)


def key_of(name: str, base: Any, key: str) -> str:
    """The key of the control of a setting."""
    # With the value: a browser keeps showing the old one in a control with the same key.
    return f"{key}{name}={to_text(base)}"


def _label(name: str) -> str:
    """`batch size` for train.batch_size; with the group if the name is not unique."""
    last = name.rpartition(".")[2]
    is_unique = sum(other.rpartition(".")[2] == last for other in options()) == 1
    return (last if is_unique else name).replace("_", " ").replace(".", " ")


def _select_value(option: Option, label: str, initial: str, key: str, help: str) -> str:
    choices = list(option.choices or ("true", "false"))
    if option.is_optional:
        choices.insert(0, "")
    if initial not in choices:
        choices.append(initial)
    return st.selectbox(
        label,
        choices,
        index=choices.index(initial),
        key=key,
        help=help,
        format_func=lambda choice: choice or UNSET,
    )


def help_text(option: Option) -> str:
    """Help, bounds and default of a setting."""
    bounds = f" Use {option.bounds}." if option.bounds else ""
    default = to_text(option.default) or "null"
    return f"{option.help}{bounds} Default: `{default}`."


def select_group(group: str, choices: dict[str, str], key: str) -> str | None:
    """Choose a preset of a group, `augment=light`; None keeps that of the recipe."""
    selected = st.selectbox(
        group,
        ["", *choices],
        key=f"{key}{group}",
        format_func=lambda choice: choice or "from the recipe",
        help=f"`{group}=...`: a preset for all settings of this group",
    )
    if selected and choices[selected]:
        st.markdown(choices[selected])
    return f"{group}={selected}" if selected else None
