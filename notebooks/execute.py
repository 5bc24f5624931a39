"""Execute the notebooks in place, or say what is missing from their committed outputs.

    python notebooks/execute.py             every notebook, at the full budget
    python notebooks/execute.py --check     executes nothing; exit status 1 if anything is amiss

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
    """The notebook with the outputs of a fresh kernel; the file stays as it is.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    metadata = dict(notebook.metadata)
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,  # times would make each execution differ in hundreds of lines
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(env={**os.environ, "VIT_KERAS_NOTEBOOK_BUDGET": budget, **environment})
    outputs_of = {"budget": budget, "sources": fingerprint(notebook)}
    notebook.metadata = nbformat.from_dict({**metadata, "outputs_of": outputs_of})
    return notebook


def fingerprint(notebook: nbformat.NotebookNode) -> str:
    """SHA-256 over the code cells: other code, other fingerprint."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()


def faults(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """What a reader would miss or stumble over in the outputs, one line each."""
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
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks; all unless given")
    parser.add_argument("--check", action="store_true", help="look at the outputs, execute nothing")
    arguments = parser.parse_args()
    amiss = []
    for path in arguments.paths or sorted(FOLDER.glob("*.ipynb")):
        if not arguments.check:
            print(f"executing {path.name} ...", flush=True)
            nbformat.write(execute(path, "full"), path)
        amiss += [f"{path.name}: {fault}" for fault in faults(nbformat.read(path, as_version=4))]
    if amiss:
        print("\n".join([*amiss, "`make notebooks` executes them anew"]), file=sys.stderr)
    sys.exit(bool(amiss))


if __name__ == "__main__":
    main()
