"""The parts of the program as one file, which needs neither vit_keras nor Keras."""

import ast
import pprint
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from vit_keras.data.preprocess import colors, load, png, resizing, values


def program_text(settings: dict[str, Any]) -> str:
    """`preprocess.py` with `settings` as its INPUT."""
    parts = [_part(module) for module in (load, values, png, colors, resizing)]
    imports = _joined_imports([node for _, nodes, _ in parts for node in nodes])
    text = "\n\n\n".join([f"{parts[0][0]}\n\n{imports}", *(body for _, _, body in parts)]) + "\n"
    shown = pprint.pformat(settings, sort_dicts=False)
    return re.sub(r"(?ms)^INPUT = \{.*?^\}$", lambda _: f"INPUT = {shown}", text, count=1)


def _part(module: ModuleType) -> tuple[str, list[ast.Import | ast.ImportFrom], str]:
    """Of a module: its docstring, its imports, and the rest."""
    text = Path(str(module.__file__)).read_text(encoding="utf-8")
    lines, nodes = text.splitlines(), ast.parse(text).body
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    docstring = "\n".join(lines[: nodes[0].end_lineno])
    return docstring, imports, "\n".join(lines[imports[-1].end_lineno :]).strip()


def _joined_imports(nodes: list[ast.Import | ast.ImportFrom]) -> str:
    """A line for each module; the other parts need none."""
    whole: set[str] = set()
    names: dict[str | None, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            whole.add(ast.unparse(node))
        elif not str(node.module).startswith("vit_keras"):
            names.setdefault(node.module, set()).update(alias.name for alias in node.names)
    found = [f"from {module} import {', '.join(sorted(names[module]))}" for module in names]
    return "\n".join([*sorted(whole), *sorted(found)])
