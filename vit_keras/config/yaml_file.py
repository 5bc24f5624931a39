"""A YAML file that has the fields of a dataclass, such as the limits of a gate."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from vit_keras.errors import SettingError, did_you_mean
from vit_keras.text import first_line


def read_fields(file: str | Path, schema: Any, named: str, no_mapping: str) -> dict[str, Any]:
    """The fields that the file sets; none of an empty file.

    Args:
        file: its path.
        schema: the dataclass.
        named: the file, as messages name it.
        no_mapping: what is said where it has a list or a text: `is no list of limits; write ...`.

    Raises:
        SettingError: it cannot be read, or has an unknown name.
    """
    try:
        found = yaml.safe_load(Path(file).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingError(f"{named} cannot be read ({first_line(error)})") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise SettingError(f"{named} {no_mapping}")
    known = [field.name for field in fields(schema)]
    for name in found:
        if name not in known:
            raise SettingError(f"{named}: {name} is unknown{did_you_mean(name, known)}")
    return found
