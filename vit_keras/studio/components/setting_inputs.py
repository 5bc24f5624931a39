"""A control for every setting, made from what `options.py` says of it."""

from collections.abc import Iterable
from typing import Any

import streamlit as st

from vit_keras.config.fields import Option, options
from vit_keras.studio.jobs.command import text_of, word

COLUMNS = 3  # controls side by side, where the window is wide enough
UNSET = "as it comes"  # null: as the file, the variant, the data set or the machine has it


def ask_all(asked: Iterable[tuple[Option, Any]], key: str, prefix: str = "") -> list[str]:
    """Controls for options, each with its base, in rows; gives the words that say otherwise."""
    words, left = [], list(asked)
    while left:
        row, left = left[:COLUMNS], left[COLUMNS:]
        for (option, base), column in zip(row, st.columns(COLUMNS), strict=False):
            with column:
                words.append(ask(option, base, key, prefix))
    return [word for word in words if word]


def ask(option: Option, base: Any, key: str, prefix: str = "") -> str | None:
    """A control that shows `base`; gives the word that says otherwise, or None.

    Args:
        base: the value that the recipe and the groups give the setting; for another one it is
            another control, or a browser would go on showing what it showed.
        key: of all controls that are to forget what was chosen together.
        prefix: before the option's name on the command line, `stages.head.`.
    """
    name = prefix + option.name
    label, given = _label(option.name), text_of(base)
    own = f"{key}{name}={given}"
    help = f"`{name}`: {described(option)}"
    if option.kind == "switch" and not option.is_optional:
        typed = text_of(st.checkbox(label, value=bool(base), key=own, help=help))
    elif option.kind in ("choice", "switch"):
        typed = _picked(option, label, given, own, help)
    else:
        typed = st.text_input(
            label,
            value=given,
            key=own,
            help=help,
            placeholder=UNSET if option.is_optional else "",
        )
    if typed.strip() == given:
        return None
    return word(name, option.kind, option.is_optional, typed)


def _label(name: str) -> str:
    """`batch size` of train.batch_size; with its group where two have the same name: `run dir`."""
    last = name.rpartition(".")[2]
    is_alone = sum(other.rpartition(".")[2] == last for other in options()) == 1
    return (last if is_alone else name).replace("_", " ").replace(".", " ")


def _picked(option: Option, label: str, given: str, key: str, help: str) -> str:
    choices = list(option.choices or ("true", "false"))
    if option.is_optional:
        choices.insert(0, "")
    if given not in choices:
        choices.append(given)
    return st.selectbox(
        label,
        choices,
        index=choices.index(given),
        key=key,
        help=help,
        format_func=lambda choice: choice or UNSET,
    )


def described(option: Option) -> str:
    """What a setting is for, its bounds and its default, for a control's help."""
    bounds = f" Use {option.bounds}." if option.bounds else ""
    default = text_of(option.default) or "null"
    return f"{option.help}{bounds} Default: `{default}`."


def ask_choice(group: str, choices: dict[str, str], key: str) -> str | None:
    """A named choice of a group, `augment=light`; None leaves the recipe's own."""
    picked = st.selectbox(
        group,
        ["", *choices],
        key=f"{key}{group}",
        format_func=lambda choice: choice or "the recipe's own",
        help=f"`{group}=...`: a named choice of all settings of this group",
    )
    if picked and choices[picked]:
        st.markdown(choices[picked])
    return f"{group}={picked}" if picked else None
