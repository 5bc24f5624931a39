"""Show images with captions, escaped text, tables, and errors without a traceback.

Streamlit renders text as Markdown, so the name of a class or of a file could contain a link or an
image of another server: every text from outside is escaped.
"""

import contextlib
import errno
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


def show_note(text: str) -> None:
    """Show a remark in small letters, as Markdown; those of `st.caption` lack contrast."""
    st.markdown(f":small[{text}]")


def is_dark() -> bool:
    """Whether the page is dark: what Streamlit does not draw itself does not follow it."""
    return st.context.theme.type == "dark"


def short_path(path: Path) -> Path:
    """The path relative to the folder that the studio was started in, if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


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


# Kind of an error of the file system -> the way out of it.
WAYS_OUT = {
    errno.ENOSPC: "free disk space, and reload",
    errno.EDQUOT: "free disk space within your quota, and reload",
    errno.EACCES: "give this user access to it, and reload",
    errno.EPERM: "give this user access to it, and reload",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOENT: "it was deleted or moved meanwhile; reload",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "the studio has too many open files; restart it",
}


def os_error_text(error: OSError) -> str:
    """What an error of the file system or the network says, of which file, and the way out."""
    file = f" ({error.filename})" if error.filename else ""
    way_out = WAYS_OUT.get(error.errno or 0, "reload to try again")
    return f"{error.strerror or error or type(error).__name__}{file}; {way_out}"


@contextlib.contextmanager
def show_errors() -> Iterator[None]:
    """Show an exception of this block on the page, which continues after it."""
    try:
        yield
    except SettingError as error:
        st.error(escape_markdown(error))
    except OSError as error:
        st.error(escape_markdown(os_error_text(error)))
    except Exception as error:
        log.exception("a page failed")
        st.error(
            escape_markdown(
                f"unexpected error: {type(error).__name__}: {error}; the terminal that the studio "
                "was started in has the traceback"
            )
        )
