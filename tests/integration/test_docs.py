"""The documentation is complete: every public name, setting and command, and no refused phrase."""

import re
import runpy

import pytest

import vit_keras
from helpers.paths import ROOT
from vit_keras import explain
from vit_keras.cli.main import COMMANDS
from vit_keras.config.fields import options, stage_options
from vit_keras.config.renamed_settings import RENAMED
from vit_keras.export.formats import FORMATS

TEXTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "saved_models").rglob("README.md")),
    *(
        path
        for kind in ("py", "yaml", "j2")
        for path in sorted((ROOT / "vit_keras").rglob(f"*.{kind}"))
    ),
]


@pytest.fixture(scope="module")
def generators():
    pytest.importorskip("mkdocs", reason="needs mkdocs")
    return runpy.run_path(str(ROOT / "docs/hooks.py"))["GENERATORS"]


def refused_phrases():
    """The second column of the second table of words in CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = re.search(r"^\| use \| refused \|\n.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    return [line.split("|")[2].strip() for line in table[0].splitlines()[2:]]


def test_every_public_name_has_an_entry():
    page = (ROOT / "docs/reference/python-api.md").read_text(encoding="utf-8")
    entries = re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE)
    public = [f"vit_keras.{name}" for name in vit_keras.__all__]
    public += [f"vit_keras.explain.{name}" for name in explain.__all__]
    assert sorted(entries) == sorted(public)


def test_every_setting_has_an_entry(generators):
    rows = re.findall(r"^\| `([^`]+)` \|", generators["settings"](), re.MULTILINE)
    stages = [f"stages.<name>.{name}" for name in stage_options()]
    assert sorted(rows) == sorted([*options(), *stages])


def test_every_setting_says_what_it_means(generators):
    assert re.findall(r"^.*\|  \|$", generators["settings"](), re.MULTILINE) == []


def test_every_command_has_an_entry(generators):
    headings = re.findall(r"^## `vit-keras ([\w-]+)`$", generators["commands"](), re.MULTILINE)
    assert headings == list(COMMANDS)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("augmentation", [path.stem for path in (ROOT / "vit_keras/conf/augment").glob("*.yaml")]),
        ("export", list(FORMATS)),
        ("train-from-scratch", [path.stem for path in (ROOT / "vit_keras/conf/data").iterdir()]),
    ],
)
def test_every_choice_is_in_the_table_of_its_guide(page, names):
    text = (ROOT / f"docs/guides/{page}.md").read_text(encoding="utf-8")
    rows = "".join(re.findall(r"^\| `.*$", text, re.MULTILINE))
    assert [name for name in names if f"`{name}`" not in rows] == []


def test_the_diagram_has_every_layer(generators):
    diagram = generators["layers"]()
    packages = {path.name for path in (ROOT / "vit_keras").iterdir() if path.is_dir()}
    packages -= {"conf", "__pycache__"}  # settings, which import nothing
    assert [name for name in sorted(packages) if not re.search(rf"\b{name}\b", diagram)] == []


def test_every_renamed_setting_is_in_the_changelog():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    names = {old.partition("=")[0].replace("*", "<name>") for old in RENAMED if "." in old}
    assert [name for name in sorted(names) if f"`{name}" not in text] == []


def test_the_version_is_in_one_file():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert not re.search(r"^version = \"", project, re.MULTILINE)
    assert f"\nversion: {vit_keras.__version__}\n" in citation
    assert f"## [{vit_keras.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("phrase", refused_phrases())
def test_a_refused_phrase_is_nowhere(phrase):
    words = r"\s+".join(map(re.escape, phrase.split()))  # also over the end of a line
    pattern = re.compile(rf"\b{words}\b", re.IGNORECASE)
    found = [path for path in TEXTS if pattern.search(path.read_text(encoding="utf-8"))]
    assert [str(path.relative_to(ROOT)) for path in found] == []


def test_each_extra_that_a_user_may_want_is_in_the_guide_of_the_installation():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = project.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    guide = (ROOT / "docs/getting-started/install.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([\w-]+)` \|", guide, re.MULTILINE))
    assert listed == {*re.findall(r"^([\w-]+) = \[", extras, re.MULTILINE)} - {
        "dev",
        "docs",
        "peers",
    }
