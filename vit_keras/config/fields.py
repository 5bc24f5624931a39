"""Every setting as something to choose: its name, what it is for, its kind, default and bounds.

Read from `config.py`, where each is one line: the type says the kind, and the comment beside it is
the help. Nothing here imports Keras.
"""

import ast
import functools
import inspect
import io
import tokenize
import typing
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

from vit_keras.config import schema as config_schema


@dataclass(frozen=True)
class Option:
    """One setting.

    Attributes:
        name: as on the command line, `optim.learning_rate`; of a stage without `stages.<name>.`.
        help: what it is for.
        kind: `choice`, `switch` (true or false), `whole` or `number`, `text`, or `value`: a number,
            a list or a word.
        default: of the dataclass; a recipe may have another.
        is_optional: whether null is one of its values.
        choices: the words that there are, for a `choice`.
        bounds: of a number, in words; empty where there are none.
    """

    name: str
    help: str
    kind: str
    default: Any
    is_optional: bool
    choices: tuple[str, ...] = ()
    bounds: str = ""


KINDS = {bool: "switch", int: "whole", float: "number", str: "text"}


@functools.cache
def options() -> dict[str, Option]:
    """Every setting of a run by its name; those of a stage are `stage_options`."""
    found = _of(config_schema.Config, "")
    for item in fields(config_schema.Config):
        if is_dataclass(item.default_factory):
            found |= _of(item.default_factory, f"{item.name}.")
    return {name: option for name, option in found.items() if name != "stages"}


@functools.cache
def stage_options() -> dict[str, Option]:
    """The settings of a stage."""
    return _of(config_schema.StageConfig, "", config_schema.STAGE_RANGES)


def _of(schema: Any, prefix: str, ranges: dict | None = None) -> dict[str, Option]:
    helps, types = _comments(schema), typing.get_type_hints(schema)
    found = {}
    for item in fields(schema):
        if is_dataclass(item.default_factory):
            continue
        name = prefix + item.name
        members = typing.get_args(types[item.name])
        choices = () if ranges else config_schema.CHOICES.get(name, ())
        default = item.default if item.default is not MISSING else item.default_factory()  # type: ignore
        bare = next((m for m in members if m is not type(None)), types[item.name])
        found[name] = Option(
            name=name,
            help=helps.get(item.name, ""),
            kind="choice" if choices else KINDS.get(bare, "value"),
            default=default,
            is_optional=type(None) in members,
            choices=tuple(choices),
            bounds=_bounds((config_schema.RANGES if ranges is None else ranges).get(name)),
        )
    return found


def _bounds(bounds: tuple[float, bool, float | None] | None) -> str:
    if bounds is None:
        return ""
    low, closed, high = bounds
    least = f"{low:g} or more" if closed else f"above {low:g}"
    return least if high is None else f"{least}, {high:g} at most"


def _comments(schema: Any) -> dict[str, str]:
    """Field -> the comment on its lines in the source."""
    source = inspect.getsource(schema)
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (tree,) = ast.parse(source).body
    found: dict[str, str] = {}
    for node in tree.body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            said = " ".join(comments[line] for line in lines if line in comments)
            found[ast.unparse(node.target)] = said
    return found
