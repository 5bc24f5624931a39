"""What was typed into a form, as the value of a setting, and what is wrong with it, in plain words.

Only what can be said of one field: settings are checked against each other by the training itself.
"""

import math
import re
from collections.abc import Callable, Mapping

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from vit_keras.config.fields import Option

DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)
# A name of a setting in an error, and its value.
NAMED = re.compile(
    r"\b((?:stages\.[\w-]+\.|[a-z]+\.)?\w+)"
    r"(=(?:\[[^]]*\]|\"[^\"]*\"|[^\s;,)]*[^\s;,):.]))?"
)
WORDS = {"=true": "=on", "=false": "=off", "=null": "=none"}


def as_value(option: Option, typed: str) -> str:
    """The text of the value: `0,001` -> `0.001` where a number is expected."""
    text = typed.strip()
    if option.kind == "number" and DECIMAL_COMMA.fullmatch(text):
        return text.replace(",", ".")
    return text


def problem(option: Option, text: str) -> str:
    """What is wrong with the text of a value; empty if nothing is."""
    if not text:
        return "" if option.is_optional else f"no value; use {_expected(option)}"
    if option.kind in ("whole", "number") and text not in option.words:
        return _number_problem(option, text)
    return _syntax_problem(text) if option.kind == "value" else ""


def _number_problem(option: Option, text: str) -> str:
    number = _number(text)
    if number is None or (option.kind == "whole" and number != int(number)):
        return f"{text} is not {_expected(option)}"
    if number not in option.limits:
        return f"{text} is out of range; use {option.bounds}"
    if option.usual_at_most is not None and number > option.usual_at_most:
        return f"{text} is far too large to train with; use {option.usual_at_most:g} or less"
    return ""


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _expected(option: Option) -> str:
    kinds = {"whole": "a whole number", "number": "a number"}
    parts = [part for part in (kinds.get(option.kind, "a value"), option.bounds) if part]
    return " or ".join([", ".join(parts), *option.words])


def _syntax_problem(text: str) -> str:
    try:
        is_sweep = OverridesParser.create().parse_override(f"a={text}").is_sweep_override()
    except HydraException:
        return f"{text} cannot be read; write a list as [1,2], and names with spaces in quotes"
    if is_sweep:
        return f"{text} is several values; write a list as [{text}], and a decimal point as 0.5"
    return ""


def in_words(error: object, label_of: Callable[[str], str | None]) -> str:
    """An error of the command line with the labels of a form in place of the settings' names.

    Args:
        error: such as `train.epochs=0 is out of range; use 1 or more`.
        label_of: the label of a setting; None for what is no setting.
    """

    def replaced(found: re.Match) -> str:
        label = label_of(found[1]) if "." in found[1] else None
        if label is None:
            return found[0]
        value = WORDS.get(found[2] or "", found[2] or "").replace("=", " = ", 1)
        return f"“{label}{value}”"

    return NAMED.sub(replaced, str(error))


def names_in(error: object, known: Mapping[str, object]) -> list[str]:
    """The settings that an error names, in its order."""
    named = (found[1] for found in NAMED.finditer(str(error)))
    return [name for name in dict.fromkeys(named) if name in known]
