"""Translate `run=x format=csv`, the syntax of version 0.1, into options; removed after 0.2.

The new form of the command is printed once, as a deprecation warning.
"""

import os
import shlex
import sys

from vit_keras.errors import SettingError, did_you_mean

# Command -> its settings in version 0.1, other than `run`.
SETTINGS = {
    "evaluate": ("data", "split", "sizes", "images", "output"),
    "explain": ("image", "target", "layer", "output"),
    "export": ("format", "output", "images"),
    "predict": ("top_k", "format", "flip", "output", "overwrite"),
}
SWITCHES = ("flip", "overwrite")


def translate(command: str, words: list[str]) -> list[str]:
    """`["run=x", "sizes=24,48"]` -> `["x", "--sizes=24", "--sizes=48"]`; other words unchanged.

    A command line that contains an option has the new syntax and is returned unchanged.

    Raises:
        SettingError: a setting that the command never had, or a switch that is not true or false.
    """
    if command not in SETTINGS or any(word.startswith("-") for word in words):
        return words
    runs, options, others = [], [], []
    for word in words:
        name, sign, value = word.partition("=")
        if sign and name == "run":
            runs.append(value)
        elif sign and name.partition(".")[0] in SETTINGS[command]:
            options += _options(name, value)
        elif sign and name.replace(".", "_").isidentifier() and not os.path.lexists(word):
            raise SettingError(f"{name} is no setting{did_you_mean(name, SETTINGS[command])}")
        else:
            others.append(word)
    if not runs and not options:
        return words
    new = [*runs, *others, *options]
    print(f"deprecated: write it as vit-keras {command} {shlex.join(new)}", file=sys.stderr)
    return new


def _options(name: str, value: str) -> list[str]:
    """The options that replace a setting of version 0.1."""
    if not value:
        raise SettingError(f"{name}= has no value; write one after the =, or leave {name} out")
    if name in SWITCHES:
        if value.lower() not in ("true", "false"):
            raise SettingError(f"{name}={value} is not a switch value; use true or false")
        return [f"--{name}"] if value.lower() == "true" else []
    if name.partition(".")[0] == "data":
        return [f"--data={name}={value}"]
    values = value.split(",") if name == "sizes" else [value]
    return [f"--{name.replace('_', '-')}={one}" for one in values]
