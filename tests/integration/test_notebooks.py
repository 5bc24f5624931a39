"""Every notebook runs, and its committed outputs belong to its code."""

import copy
import os
import re
import runpy

import nbformat
import pytest

from helpers.paths import ROOT
from vit_keras.config.schema import setting_names

pytestmark = pytest.mark.notebooks

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONG = ("04_config_to_model_cifar10",)  # two minutes on the digits, as on its own data
FALLING_BACK = [
    pytest.param(path, marks=[pytest.mark.exhaustive] * (path.stem in LONG)) for path in NOTEBOOKS
]
EXECUTION = runpy.run_path(str(ROOT / "notebooks/execute.py"))
BUDGET = os.environ.get("VIT_KERAS_NOTEBOOK_BUDGET", "small")


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed_text(notebook):
    return "".join(
        output.get("text", "") for cell in code_cells(notebook) for output in cell.outputs
    )


def displayed_markdown(notebook):
    """All Markdown output of the code cells."""
    return "".join(
        output.data.get("text/markdown", "")
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "display_data"
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path):
    executed = EXECUTION["execute"](path, BUDGET)
    counts = [cell.execution_count for cell in code_cells(executed)]
    assert counts == list(range(1, len(counts) + 1))
    streams = [output for cell in code_cells(executed) for output in cell.outputs]
    assert [output for output in streams if output.get("name") == "stderr"] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_complete(path):
    assert list(EXECUTION["faults"](read(path))) == []


@pytest.mark.parametrize("path", FALLING_BACK, ids=lambda path: path.stem)
def test_a_notebook_falls_back_to_the_digits(path, tmp_path):
    """Without its data set, a notebook prints a message and needs no download."""
    nowhere = dict.fromkeys(["TFDS_DATA_DIR", "VIT_KERAS_PHOTOS"], str(tmp_path / "nowhere"))
    text = printed_text(EXECUTION["execute"](path, "small", **nowhere))
    assert "scikit-learn's digits" in text
    assert ("VIT_KERAS_PHOTOS" if path.stem.startswith("05") else "data.download=true") in text


def test_the_mnist_notebook_reaches_95_percent():
    text = displayed_markdown(read(ROOT / "notebooks/01_vit_on_mnist.ipynb"))
    assert float(re.search(r"Test accuracy ([\d.]+)%", text)[1]) >= 95


def test_the_configuration_notebook_explains_every_setting():
    notebook = read(ROOT / "notebooks/04_config_to_model_cifar10.ipynb")
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert [name for name in setting_names() if f"`{name}`" not in prose] == []


def change_a_cell(notebook):
    code_cells(notebook)[0].source += "\n1 + 1"


def run_a_cell_twice(notebook):
    code_cells(notebook)[1].execution_count = 99


def leave_a_cell_out(notebook):
    code_cells(notebook)[-1].execution_count = None


def warn(notebook):
    output = nbformat.v4.new_output("stream", name="stderr", text="DeprecationWarning: old\n")
    code_cells(notebook)[2].outputs = [output]


def show_a_path(notebook):
    output = nbformat.v4.new_output("stream", text="saved to /home/someone/runs\n")
    code_cells(notebook)[2].outputs = [output]


def be_of_the_small_budget(notebook):
    notebook.metadata.outputs_of.budget = "small"


def be_large(notebook):
    data = {"image/png": "A" * 2_000_000}
    code_cells(notebook)[2].outputs = [nbformat.v4.new_output("display_data", data=data)]


@pytest.mark.parametrize(
    ("damage", "word"),
    {
        change_a_cell: "changed after it was executed",
        run_a_cell_twice: "execution count 99",
        leave_a_cell_out: "execution count None",
        warn: "an error or a warning",
        show_a_path: "/home/s",
        be_of_the_small_budget: "of the budget small",
        be_large: "draw smaller pictures",
    }.items(),
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_in_outputs_are_found(damage, word):
    notebook = copy.deepcopy(read(NOTEBOOKS[0]))
    damage(notebook)
    assert [fault for fault in EXECUTION["faults"](notebook) if word in fault]
