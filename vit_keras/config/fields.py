"""Every setting as data: name, help, kind, default, choices and bounds.

Read from `schema.py`, for the studio's forms and the reference of the documentation. Nothing here
imports Keras.
"""

import functools
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any

from vit_keras.config.schema import Config, StageConfig
from vit_keras.validators import Bounds, field_types


@dataclass(frozen=True)
class Option:
    """One setting.

    Attributes:
        name: as on the command line, `optim.learning_rate`; of a stage without `stages.<name>.`.
        help: what it is for.
        kind: `choice`, `switch` (true or false), `whole` or `number`, `text`, or `value`: a number,
            a list or a word.
        default: of the schema; a recipe may have another.
        is_optional: whether null is one of its values.
        choices: the words of a `choice`.
        bounds: of a number, in words; empty where there are none.
        words: what a number may be instead: `auto`.
        label: what a form calls it.
        unit: of a number; empty without one.
        unset: what null means, in a word; empty where the model or its file decides.
        step: of a slider; None where it is typed.
        usual_at_most: what a form refuses more than; None where it takes any.
        limits: of a number, `bounds` as numbers.
    """

    name: str
    help: str
    kind: str
    default: Any
    is_optional: bool
    choices: tuple[str, ...] = ()
    bounds: str = ""
    words: tuple[str, ...] = ()
    label: str = ""
    unit: str = ""
    unset: str = ""
    step: float | None = None
    usual_at_most: float | None = None
    limits: Bounds = field(default_factory=Bounds)

    @property
    def expected(self) -> str:
        """The values that it takes, in words: `an integer, 1 or more`."""
        if self.choices:
            return " or ".join(self.choices)
        kind = {"switch": "true or false", "whole": "an integer", "number": "a number"}
        text = ", ".join(part for part in (kind.get(self.kind, ""), self.bounds) if part)
        return " or ".join([text, *self.words])


KINDS = {bool: "switch", int: "whole", float: "number", str: "text"}


@functools.cache
def options() -> dict[str, Option]:
    """Every setting of a run by its name; those of a stage are `stage_options`."""
    found = _options_of(Config, "")
    for item in fields(Config):
        if is_dataclass(item.default_factory):
            found |= _options_of(item.default_factory, f"{item.name}.")
    return {name: option for name, option in found.items() if name != "stages"}


@functools.cache
def stage_options() -> dict[str, Option]:
    """The settings of a stage by their names in it."""
    return _options_of(StageConfig, "")


def _options_of(schema: Any, prefix: str) -> dict[str, Option]:
    found = {}
    for item in fields(schema):
        if is_dataclass(item.default_factory):
            continue
        kind, is_optional = field_types(schema)[item.name]
        metadata: Any = item.metadata
        choices, words = metadata["choices"], metadata["words"]
        default = item.default if item.default is not MISSING else item.default_factory()  # type: ignore
        found[prefix + item.name] = Option(
            name=prefix + item.name,
            help=metadata["help"],
            kind="choice" if choices else "whole" if words else KINDS.get(kind, "value"),
            default=default,
            is_optional=is_optional or default is None,  # of any type, null included
            choices=choices,
            bounds=str(metadata["bounds"]),
            words=words,
            label=metadata["label"] or item.name.replace("_", " ").capitalize(),
            unit=metadata["unit"],
            unset=metadata["unset"],
            step=metadata["step"],
            usual_at_most=metadata["usual_at_most"],
            limits=metadata["bounds"],
        )
    return found
