"""Values of controls in plain session state, which outlive the page that shows the controls.

Streamlit forgets the value of a control as soon as another page is drawn. Each control here has a
slot, a name that does not depend on what is shown, and begins with what its slot holds.
"""

import zlib
from collections.abc import Callable
from typing import Any

import streamlit as st

VALUES = "kept_values"  # session key: slot -> value
VERSION = "kept_version"  # session key: number of times that values were set from outside


def values() -> dict[str, Any]:
    """The values by their slots, as they are now."""
    kept: dict[str, Any] = st.session_state.setdefault(VALUES, {})
    return kept


def put(slots: dict[str, Any]) -> None:
    """Set the values of controls, on whatever page they are; they are drawn again with them."""
    values().update(slots)
    redraw()


def drop(is_dropped: Callable[[str], bool]) -> None:
    """Forget the slots for which `is_dropped(slot)`: their controls begin at their defaults."""
    for slot in [slot for slot in values() if is_dropped(slot)]:
        del values()[slot]
    redraw()


def redraw() -> None:
    """Have all controls begin with the values of their slots again."""
    st.session_state[VERSION] = st.session_state.get(VERSION, 0) + 1


def key_of(slot: str, shown: str = "") -> str:
    """The key of a control; another one once its value is set from outside, or `shown` differs."""
    # With what is shown: a browser keeps showing the old one in a control with the same key.
    return f"{slot}={shown} {st.session_state.get(VERSION, 0)}"


def control(
    draw: Callable[..., Any],
    label: str,
    slot: str,
    default: Any,
    changed: Callable[[], None] = lambda: None,
    **options: Any,
) -> Any:
    """A control that begins with the value of its slot, and keeps it there.

    Args:
        draw: a function of Streamlit, such as `st.radio`.
        label: of the control.
        slot: where its value is kept; a new one is there before the page is drawn with it.
        default: its value while the slot is empty, or holds none of `options["options"]`.
        changed: called when the user has changed it.
        options: further arguments of `draw`.
    """
    value = values().get(slot, default)
    choices = None if "options" not in options else list(options["options"])
    if choices is not None and isinstance(value, list):
        value = [one for one in value if one in choices]
    elif choices is not None and value not in choices:
        value = default
    key = key_of(slot, "" if choices is None else str(zlib.crc32(repr(choices).encode())))
    if key not in st.session_state:
        st.session_state[key] = value

    def keep() -> None:
        values()[slot] = st.session_state[key]
        changed()

    values()[slot] = draw(label, key=key, on_change=keep, **options)
    return values()[slot]
