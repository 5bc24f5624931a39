"""MkDocs hook: fill in the reference pages from the package, so that they cannot go out of date.

A page holds a line `<!-- generated: settings -->`, which `on_page_markdown` replaces by the
generated Markdown, together with the lines below it, which say on GitHub where to look instead.
Nothing here imports Keras.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
MARKER = re.compile(r"^<!-- generated: (\w+) -->(?:\n.+)*", re.MULTILINE)

KINDS = {"switch": "`true`, `false`", "whole": "whole number", "value": "number, list or word"}
# Pictures of released runs, at the same paths in the site as in the repository.
PICTURES = (
    "saved_models/digits/curves.png",
    "saved_models/cifar10_small/evaluation/reliability.png",
    "saved_models/cifar10_small/explanations/test-7/overview.png",
)


def on_config(config: Any) -> Any:
    """Called by MkDocs before the pages: import the checkout's package, not an installed one."""
    sys.path.insert(0, str(ROOT))
    return config


def on_files(files: Files, config: Any) -> Files:
    """Called by MkDocs with the files of the site."""
    for name in PICTURES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page."""
    for name in PICTURES:  # from docs/ in the repository, from the root in the site
        markdown = markdown.replace(f"../{name}", name)
    return MARKER.sub(lambda match: GENERATORS[match[1]](), markdown)


def settings() -> str:
    """A table of settings for each configuration group."""
    from vit_keras.config import fields

    groups: dict[str, list[fields.Option]] = {}
    for option in fields.options().values():
        group, _, name = option.name.rpartition(".")
        groups.setdefault(group if name else "", []).append(option)
    parts = []
    for group, options in groups.items():
        parts += [f"## `{group}`" if group else "## Top level", _settings_table(options)]
    stage = [_settings_table(fields.stage_options().values(), prefix="stages.<name>.")]
    return "\n\n".join([*parts, "## `stages.<name>`", *stage])


def _settings_table(options: Iterable[Any], prefix: str = "") -> str:
    rows = [
        (
            f"`{prefix}{option.name}`",
            f"`{_yaml(option.default)}`",
            _values(option),
            _text(option.help),
        )
        for option in options
    ]
    return _table(("setting", "default", "values", "meaning"), rows)


def _text(help: str) -> str:
    """Help as Markdown: `<class>` is a placeholder there, not HTML."""
    return help.replace("<", "&lt;")


def _values(option: Any) -> str:
    values = ", ".join(f"`{choice}`" for choice in option.choices) or option.bounds
    values = values or KINDS.get(option.kind, option.kind)
    return f"{values}, or `null`" if option.is_optional or option.default is None else values


def _yaml(value: Any) -> str:
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)


def layers() -> str:
    """The import contract of pyproject.toml as a Mermaid diagram; arrows point at imports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [
        contract
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers" and contract["containers"] == ["vit_keras"]
    ]
    lines = ["```mermaid", "flowchart TD"]
    for index, layer in enumerate(contract["layers"]):
        label = " · ".join(part.strip() for part in re.split(r"[|:]", layer))
        lines.append(f'    L{index}["{label}"]')
    lines += [f"    L{index} --> L{index + 1}" for index in range(len(contract["layers"]) - 1)]
    return "\n".join([*lines, "```"])


def renamed() -> str:
    """A table of the old names of settings."""
    from vit_keras.config.renamed_settings import RENAMED

    rows = [(f"`{old}`", f"`{new}`" if new else "") for old, new in sorted(RENAMED.items())]
    return _table(("old name", "name"), rows)


def contributing() -> str:
    return (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def words() -> str:
    """The section "Words" of CONTRIBUTING.md."""
    found = re.search(r"^## Words\n.*?(?=^## )", contributing(), re.MULTILINE | re.DOTALL)
    assert found, "CONTRIBUTING.md has no section Words"
    return found[0]


def commands() -> str:
    """Every command with its usage and its arguments, from the parser that completion reads."""
    from vit_keras.cli.completion import HYDRA_COMMANDS, full_parser
    from vit_keras.cli.main import COMMANDS

    parsers = _subparsers(full_parser())
    parts = []
    for name, parser in parsers.items():
        if name in HYDRA_COMMANDS:
            usage = f"usage: vit-keras {name} [--multirun] [setting=value ...]"
            parts.append(_command(name, COMMANDS[name], usage, []))
            continue
        parts.append(_command(name, COMMANDS[name], parser.format_usage(), _arguments(parser)))
        parts += [
            _command(
                f"{name} {inner}",
                own.description or "",
                own.format_usage(),
                _arguments(own),
                level=3,
            )
            for inner, own in _subparsers(parser).items()
        ]
    return "\n\n".join(parts)


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _command(
    name: str, help: str, usage: str, arguments: list[tuple[str, ...]], level: int = 2
) -> str:
    parts = [f"{'#' * level} `vit-keras {name}`", f"{help[:1].upper()}{help[1:]}." if help else ""]
    parts += [f"```text\n{usage.strip()}\n```"]
    if arguments:
        parts.append(_table(("argument", "meaning"), arguments))
    return "\n\n".join(part for part in parts if part)


def _arguments(parser: argparse.ArgumentParser) -> list[tuple[str, ...]]:
    formatter = parser._get_formatter()
    return [
        (
            f"`{formatter._format_action_invocation(action)}`",
            _text(formatter._expand_help(action)) if action.help else "",
        )
        for action in parser._actions
        if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
    ]


GENERATORS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "contributing": contributing,
    "layers": layers,
    "renamed": renamed,
    "settings": settings,
    "words": words,
}
