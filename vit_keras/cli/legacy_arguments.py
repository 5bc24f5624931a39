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

    Raises:
        SettingError: a setting that the command never had, a switch that is not true or false, or
            a setting beside an option, which has today's syntax.
    """
    if command not in SETTINGS:
        return words
    if any(word.startswith("-") for word in words):
        _refuse_mixed(command, words)
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


def _refuse_mixed(command: str, words: list[str]) -> None:
    """Refuse `output=a.csv` beside options; a file of that name or a value of an option stays."""
    for before, word in zip(["", *words], words, strict=False):
        name, sign, value = word.partition("=")
        is_setting = name == "run" or name.partition(".")[0] in SETTINGS[command]
        if not (sign and is_setting) or os.path.lexists(word) or _is_value(name, before, words):
            continue
        new = [value] if name == "run" else _options(name, value)
        way_out = f"write {shlex.join(new)}" if new else "leave it out"
        raise SettingError(
            f"{word} is the syntax of version 0.1, and the options beside it are today's; {way_out}"
        )


def _is_value(name: str, before: str, words: list[str]) -> bool:
    """Whether a word is the value of an option, or one of those of `--data`."""
    switches = [f"--{switch}" for switch in SWITCHES]
    follows_option = before.startswith("-") and "=" not in before and before not in switches
    return follows_option or ("--data" in words and name.partition(".")[0] == "data")


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
