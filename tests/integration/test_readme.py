"""The README's Python runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.paths import ROOT


@pytest.mark.slow
def test_python_of_the_readme_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_files_that_the_readme_links_to_are_in_the_repository():
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    known = {str(place) for name in listed for place in (Path(name), *Path(name).parents)}
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if str(Path(link)) not in known] == []


def test_recipes_of_the_readme_are_those_that_exist():
    named = set(
        re.findall(
            r"^\| `(\w+)`(?: \(default\))? \| [^|]+\| [^|]+\|$",
            (ROOT / "README.md").read_text(),
            re.MULTILINE,
        )
    )
    assert named == {path.stem for path in (ROOT / "vit_keras/conf/recipe").glob("*.yaml")}
