"""Values as words of a command line. Imports no Hydra, which takes a tenth of a second."""

import os
import re
import urllib.parse
import urllib.request
from typing import Any

WORDS_OF_YAML = ("null", "true", "false", "nan", "inf")  # read as values, not as text


def quote_override(value: Any) -> str:
    """A text as a value in Hydra's grammar: as it is, or in quotes."""
    text = os.path.expanduser(str(value))  # nothing expands it within quotes
    if re.fullmatch(r"[\w./:-]+", text, re.ASCII) and text.lower() not in WORDS_OF_YAML:
        return text
    # Backslashes count twice before a quote, and there alone.
    escaped = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + ('\\"' if found[2] else ""), text)
    return f'"{escaped}"'


def local_path(text: str) -> str:
    """A path as it was copied -> the path: without quotes around it, and of a `file://` address.

    A path that exists as it is written stays so.
    """
    path = text.strip()
    if os.path.lexists(path):
        return path
    if len(path) > 1 and path[0] == path[-1] and path[0] in "'\"":
        path = path[1:-1].strip()
    address = urllib.parse.urlsplit(path)
    if address.scheme == "file" and address.netloc in ("", "localhost"):
        path = urllib.request.url2pathname(address.path)
    return path
