"""Pictures with words below them; Streamlit's own captions are too pale to be read by everybody.

Words from elsewhere on a page: as they are, whatever they hold; and errors, without a traceback.

Streamlit reads what it shows as Markdown, in which a class or a file could be called a picture of
somebody's server.
"""

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import streamlit as st

from vit_keras.errors import SettingError


def show_picture(picture: bytes | Path, said: str, width: int | None = None) -> None:
    """A picture, so many pixels wide or as wide as there is room."""
    image = str(picture) if isinstance(picture, Path) else picture
    with st.container(width=width or "stretch"):
        st.image(image, width=width or "stretch", alt=said)
        st.markdown(escape_markdown(said))


log = logging.getLogger("vit_keras.studio")


def escape_markdown(text: object) -> str:
    """A text that Markdown shows as it is, on one line."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:^&\"'])", r"\\\1", line)


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows, the head first, as Markdown that shows them as they are."""
    head, *body = [" | ".join(map(escape_markdown, row)) for row in rows]
    return "\n".join(
        [f"| {head} |", "| --- " * len(rows[0]) + "|", *(f"| {row} |" for row in body)]
    )


@contextlib.contextmanager
def show_errors() -> Iterator[None]:
    """What goes wrong in here is said on the page, and the page goes on."""
    try:
        yield
    except SettingError as error:
        st.error(escape_markdown(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        st.error(
            escape_markdown(
                f"{error.strerror or error}{where}; make room or give access, and reload"
            )
        )
    except Exception as error:  # it stands whole where the studio was started
        log.exception("a page failed")
        st.error(
            escape_markdown(
                f"unforeseen: {type(error).__name__}: {error}; the terminal has the rest"
            )
        )
