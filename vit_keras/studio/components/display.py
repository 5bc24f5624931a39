"""Show images with captions, escaped text, tables, and errors without a traceback.

Streamlit renders text as Markdown, so the name of a class or of a file could contain a link or an
image of another server: every text from outside is escaped.
"""

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import streamlit as st

from vit_keras.errors import SettingError

log = logging.getLogger("vit_keras.studio")


def show_image(image: bytes | Path, caption: str, width: int | None = None) -> None:
    """Show an image with a caption, `width` pixels wide or as wide as the page allows."""
    content = str(image) if isinstance(image, Path) else image
    with st.container(width=width or "stretch"):
        st.image(content, width=width or "stretch", alt=caption)
        st.markdown(escape_markdown(caption))  # Streamlit's own captions lack contrast


def escape_markdown(text: object) -> str:
    """Escape a text so that Markdown shows it literally, on one line."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:^&\"'])", r"\\\1", line)


def table(rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table of escaped cells; the first row is the header."""
    head, *body = [" | ".join(map(escape_markdown, row)) for row in rows]
    return "\n".join(
        [f"| {head} |", "| --- " * len(rows[0]) + "|", *(f"| {row} |" for row in body)]
    )


@contextlib.contextmanager
def show_errors() -> Iterator[None]:
    """Show an exception of this block on the page, which continues after it."""
    try:
        yield
    except SettingError as error:
        st.error(escape_markdown(error))
    except OSError as error:
        file = f" ({error.filename})" if error.filename else ""
        st.error(
            escape_markdown(
                f"{error.strerror or error}{file}; free disk space or give access, and reload"
            )
        )
    except Exception as error:
        log.exception("a page failed")
        st.error(
            escape_markdown(
                f"unexpected error: {type(error).__name__}: {error}; the terminal that the studio "
                "was started in has the traceback"
            )
        )
