"""The README's Python code runs unchanged."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from helpers.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = {path.stem for path in (ROOT / "vit_keras/conf/recipe").glob("*.yaml")}


def recipes_of(text):
    """The first cells of the rows of recipes."""
    table = re.search(r"^\| recipe \|.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^\| `(\w+)`", table[0], re.MULTILINE))


def test_the_readme_has_200_lines_at_most():
    assert len(README.splitlines()) <= 200


def test_its_first_commands_are_make_train_and_make_test():
    block = re.search(r"```sh\n(.*?)```", README, re.DOTALL)[1]
    assert [line.split("#")[0].strip() for line in block.splitlines()] == [
        "make train",
        "make test",
    ]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_linked_files_are_in_the_repository(page):
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    known = {str(place) for name in listed for place in (Path(name), *Path(name).parents)}
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert links or page != "README.md"
    assert [link for link in links if str(Path(link)) not in known] == []


def test_the_recipes_of_the_readme_are_those_that_exist():
    assert recipes_of(README) == RECIPES


def test_the_recipes_of_the_guide_are_those_that_exist():
    guide = ROOT / "docs/guides/train-from-scratch.md"
    assert recipes_of(guide.read_text(encoding="utf-8")) == RECIPES


def test_the_results_of_released_runs_are_those_of_their_metrics():
    for run in ("digits", "cifar10_hour", "cifar10_small"):
        metrics = json.loads((ROOT / "saved_models" / run / "metrics.json").read_text())
        assert f"[{metrics['test_accuracy']:.4f}](saved_models/{run}/metrics.json)" in README
