"""The folder in which the package keeps what it can make again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/vit_keras` (~/.cache/vit_keras); it need not exist.

    Raises:
        RuntimeError: there is no home directory.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path("~/.cache").expanduser()
    return base / "vit_keras"
