"""Execute the notebooks in place, or check their committed outputs.

    python notebooks/execute.py             execute every notebook on the full budget
    python notebooks/execute.py --check     only check the outputs; exit status 1 on a fault

A notebook reads its budget from VIT_KERAS_NOTEBOOK_BUDGET: `full` for the outputs that are
committed, `small` to see that every cell runs.
"""

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
MAX_BYTES = 1_500_000
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<])/\w[\w.-]*/\w")


def execute(path: Path, budget: str, **environment: str) -> nbformat.NotebookNode:
    """Execute a notebook in a fresh kernel and return it; the file is not changed.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    metadata = dict(notebook.metadata)
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,  # timestamps would change hundreds of lines at each execution
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(env={**os.environ, "VIT_KERAS_NOTEBOOK_BUDGET": budget, **environment})
    outputs_of = {"budget": budget, "sources": fingerprint(notebook)}
    notebook.metadata = nbformat.from_dict({**metadata, "outputs_of": outputs_of})
    return notebook


def fingerprint(notebook: nbformat.NotebookNode) -> str:
    """SHA-256 of the sources of all code cells."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()


def faults(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Faults of the committed outputs, such as stale or missing ones, one line each."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    made_by = notebook.metadata.get("outputs_of", {})
    if made_by.get("budget") != "full":
        yield f"outputs are of the budget {made_by.get('budget')}, not full"
    if made_by.get("sources") != fingerprint(notebook):
        yield "a code cell was changed after it was executed"
    for number, cell in enumerate(cells, 1):
        start = f"code cell {number} ({cell.source.splitlines()[0]})"
        if cell.execution_count != number:
            yield f"{start} has the execution count {cell.execution_count}"
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"{start} shows an error or a warning"
            if found := ABSOLUTE_PATH.search(_text(output)):
                yield f"{start} shows a path of the machine: {found.group()}..."
    if (size := len(nbformat.writes(notebook))) > MAX_BYTES:
        yield f"{size:,} bytes are more than {MAX_BYTES:,}; draw smaller pictures"


def _text(output: nbformat.NotebookNode) -> str:
    shown = [text for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join([output.get("text", ""), *shown])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: all)")
    parser.add_argument("--check", action="store_true", help="only check the outputs")
    arguments = parser.parse_args()
    messages = []
    for path in arguments.paths or sorted(FOLDER.glob("*.ipynb")):
        if not arguments.check:
            print(f"executing {path.name} ...", flush=True)
            nbformat.write(execute(path, "full"), path)
        messages += [f"{path.name}: {fault}" for fault in faults(nbformat.read(path, as_version=4))]
    if messages:
        print("\n".join([*messages, "`make notebooks` executes them again"]), file=sys.stderr)
    sys.exit(bool(messages))


if __name__ == "__main__":
    main()
