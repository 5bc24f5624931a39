"""Go from one page of the studio to another, in the same browser tab."""

from typing import NoReturn

import streamlit as st
from streamlit.navigation.page import StreamlitPage

JUST_OPENED = "just_opened"  # session key: whether the page is drawn for the first time
PAGES = "pages"  # session key: the pages of the app by the last part of their addresses


def remember(pages: list[StreamlitPage]) -> None:
    """Have `open_page` know the pages of the app."""
    st.session_state[PAGES] = {page.url_path: page for page in pages}


def is_just_opened() -> bool:
    """Whether this page is drawn for the first time since it was opened."""
    return bool(st.session_state.get(JUST_OPENED, True))


def open_page(name: str, **query: str) -> NoReturn:
    """Leave this page for `training`, `inference`, `runs`, `data` or `labels`.

    Args:
        name: of the page.
        query: of its address, such as `run="digits"`.
    """
    st.switch_page(st.session_state[PAGES][name], query_params=query or None)


def link(name: str, label: str) -> None:
    """A link to a page; see `open_page`."""
    st.page_link(st.session_state[PAGES][name], label=label)
