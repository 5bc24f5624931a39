"""Values as words of a command line. Imports no Hydra, which takes a tenth of a second."""

import os
import re
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
