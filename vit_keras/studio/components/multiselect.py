"""A choice of several values that outlives its page, as those of `kept_values`."""

import zlib
from collections.abc import Callable, Sequence

import streamlit as st

from vit_keras.studio.components import kept_values


def multiselect(
    label: str,
    slot: str,
    choices: Sequence[str],
    default: Sequence[str] = (),
    format_func: Callable[[str], str] = str,
    help: str | None = None,
) -> list[str]:
    """Choose some of `choices`; of those chosen before, what is no choice any more is left out.

    Args:
        label: of the control.
        slot: where the values are kept.
        choices: in the order that they are shown.
        default: the values while the slot is empty.
        format_func: what is shown of a value.
        help: shown beside the label.
    """
    kept = [one for one in kept_values.values().get(slot, default) if one in choices]
    key = kept_values.key_of(slot, str(zlib.crc32(repr([*choices]).encode())))
    if key not in st.session_state:
        st.session_state[key] = kept
    result: list[str] = st.multiselect(label, choices, key=key, format_func=format_func, help=help)
    kept_values.values()[slot] = result
    return result
