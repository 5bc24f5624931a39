"""Keep the values of controls over a reload of the page, in `<root>/.studio/choices.json`.

Each load of a page is a new session of Streamlit, which knows nothing of the one before. The file
is of one person: a studio behind a password, which several may share, has none.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.io import atomic
from vit_keras.studio.components import kept_values
from vit_keras.studio.jobs.queue import STUDIO

FILE = "choices.json"
MAX_AGE = 24 * 3600  # seconds; whoever comes back later starts from the defaults
STORED = "stored_choices"  # session key: what the file holds, or the first page would store
PASSWORD = "VIT_KERAS_STUDIO_PASSWORD"
PLAIN = (str, bool, int, float, type(None))


def restore(root: Path) -> None:
    """Begin a new session with the values of the last one."""
    if kept_values.VALUES in st.session_state or os.environ.get(PASSWORD):
        return
    try:
        file = root / STUDIO / FILE
        is_recent = time.time() - file.stat().st_mtime < MAX_AGE
        found = json.loads(file.read_text(encoding="utf-8")) if is_recent else {}
    except (OSError, ValueError):
        return
    if isinstance(found, dict):
        kept_values.values().update(_plain(found))
        st.session_state[STORED] = _plain(found)


def store(root: Path) -> None:
    """Keep the values of this session, if they have changed."""
    if os.environ.get(PASSWORD):
        return
    values = _plain(kept_values.values())
    if values == st.session_state.setdefault(STORED, values):
        return
    st.session_state[STORED] = values
    try:
        atomic.write_text(root / STUDIO / FILE, json.dumps(values), flush=False)
    except OSError:  # a full or read-only disk: they are lost with the session
        return


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {slot: value for slot, value in values.items() if isinstance(value, PLAIN)}
