"""The settings of a run as flat names, and what it ran on: to be described and compared."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from vit_keras.config import Config
from vit_keras.errors import SettingError

ENVIRONMENT = "environment.json"


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """`{"data.name": "digits", ..., "stages.head.epochs": 5}`, but for where the run was put."""
    result: dict[str, Any] = {}
    for item in fields(config):
        value, name = getattr(config, item.name), prefix + item.name
        if name == "run":
            continue
        if is_dataclass(value):
            result |= flat(value, f"{name}.")
        elif name == "stages":
            for stage, settings in value.items():
                result |= flat(settings, f"stages.{stage}.")
        else:
            result[name] = value
    return result


def chosen(config: Config) -> dict[str, Any]:
    """The settings that differ from what they are unless set."""
    defaults = flat(Config())
    return {
        name: value
        for name, value in flat(config).items()
        if name not in defaults or value != defaults[name]
    }


def environment(run: Path) -> dict[str, Any]:
    """What the run ran on, its packages as `packages.keras`; empty before it had begun.

    Raises:
        SettingError: `environment.json` is damaged.
    """
    file = run / ENVIRONMENT
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        packages = {f"packages.{name}": version for name, version in found["packages"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(f"{file} is damaged ({error}); put a whole copy of it back") from None
    return {**{name: value for name, value in found.items() if name != "packages"}, **packages}
