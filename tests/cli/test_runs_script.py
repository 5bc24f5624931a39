"""`vit-keras runs`: ranks, compares and describes runs, and refuses invalid arguments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from helpers.fake_runs import begun, edited, finished, in_process, stopped
from helpers.paths import ROOT
from vit_keras import SettingError
from vit_keras.runs.compare import compare
from vit_keras.runs.listing import list_runs, rank
from vit_keras.runs.run_dir import Run


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    """Nine runs of falling validation and rising test accuracy, and a tenth that is broken."""
    root = tmp_path_factory.mktemp("ten")
    for index in range(9):
        figures = dict(best_val_accuracy=0.9 - index / 100, test_accuracy=0.5 + index / 100)
        finished(root / f"run{index}", **figures, test_loss=1.0 - index / 10)
    edited(root / "spoilt", "best.keras", lambda model: model[:1000])
    return root


@pytest.fixture
def runs(monkeypatch, capsys):
    return in_process("runs", monkeypatch, capsys)


def test_ten_runs_are_ranked_and_the_broken_one_is_named(runs, ten):
    status, out, err = runs("--root", ten)
    assert (status, err) == (0, "")
    head, *lines, last = out.splitlines()
    assert head.split()[:3] == ["run", "best_val_accuracy", "test_accuracy"]
    assert [line.split()[:3] for line in lines[:9]] == [
        [str(place + 1), f"run{place}", f"{0.9 - place / 100:.4f}"] for place in range(9)
    ]
    assert lines[9].split()[:2] == ["-", "spoilt"]
    assert lines[9].endswith("broken: best.keras is damaged (File is not a zip file)")
    assert last == "9 finished, 1 broken; ranked by best_val_accuracy"
    _, out, _ = runs("list", "--by", "test_accuracy", "--root", ten)
    assert out.splitlines()[1].split()[:3] == ["1", "run8", "0.5800"]


def test_of_losses_the_lowest_is_the_best(ten):
    ranked = rank(list_runs(ten), "test_loss")
    assert [one.run.name for one in ranked][:2] == ["run8", "run7"]
    assert (ranked[-1].place, ranked[-1].run.name) == (None, "spoilt")


REFUSED = {
    "--by top5": "--by=top5 is unknown; ",
    "--by test_acuracy": "did you mean test_accuracy? (known: best_epoch, best_val_accuracy, ",
    "--root nowhere": "--root=nowhere is not a folder",
    "--root {ten}/run0": "is itself a run; name its parent folder",
    "describe run10 --root {ten}": "run10 is neither a run in --root=",
    "compare run0 --root {ten}": "the following arguments are required: second",
    "compare run0 spoild --root {ten}": "did you mean spoilt?",
    "compare run0 spoilt --root {ten}": "spoilt cannot be compared: best.keras is damaged",
    "compare run0 {ten}/run0 --root {ten}": "are the same run; name two runs",
    "compare run0 run1 --root {ten} --output {ten}": "is a folder; name a file",
    "clean spoild --root {ten}": "spoild is neither a run",
    "lst": "invalid choice: 'lst'",
    "clean --all": "unrecognized arguments: --all",
    "describe {ten}": " is not a run (it has no config.yaml)",
    "note {ten}": " is not a run (it has no config.yaml)",
    "zip {ten}": " is not a run (it has no config.yaml)",
    "compare run0 run1 --root {ten} --output {ten}/c": "/c does not end like a picture; name it c.",
    "compare run0 run1 --root {ten} --output {ten}/run0/config.yaml": "--output {ten}/run0/config",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_mistake_is_refused_in_one_line(words, runs, ten):
    before = sorted(ten.rglob("*"))
    status, out, err = runs(*words.format(ten=ten).split())
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert REFUSED[words].format(ten=ten) in err
    assert " output=" not in err
    assert sorted(ten.rglob("*")) == before


def test_two_runs_are_compared(runs, tmp_path):
    finished(tmp_path / "a")
    stopped(tmp_path / "_b $x$", 2, "model.depth=6", "optim.learning_rate=5e-4")
    status, out, _ = runs("compare", "a", "_b $x$", "--root", tmp_path)
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["model.depth", "4", "6"] in lines
    assert ["optim.learning_rate", "0.002", "0.0005"] in lines
    assert not [line for line in lines if line[:1] == ["model.width"]]
    assert ["best_epoch", "52", "2"] in lines
    picture = Path(lines[-1][-1] if len(lines[-1]) == 2 else out.splitlines()[-1][8:])
    assert picture == tmp_path / "a-and-_b $x$.png"
    with Image.open(picture) as image:
        image.load()
        assert image.size == (1200, 360)
    assert runs("compare", "a", "_b $x$", "--root", tmp_path)[0] == 0  # drawn anew
    mine = tmp_path / "mine.png"
    mine.write_text("mine")
    with pytest.raises(SettingError, match=r"is there already; .* or set --overwrite"):
        compare("a", "_b $x$", root=tmp_path, output=mine)
    assert mine.read_text() == "mine"


def test_several_runs_are_compared_and_the_better_figures_marked(runs, ten, tmp_path):
    words = ("compare", "run0", "run1", "run2", "--root", ten, "--output", tmp_path / "c.png")
    status, out, _ = runs(*words)
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["metrics", "run0", "run1", "run2"] in lines
    assert ["best_val_accuracy", "0.9000", "*", "0.8900", "0.8800"] in lines
    assert ["test_loss", "1", "0.9000", "0.8000", "*"] in lines
    assert ["epochs", "80", "80", "80"] in lines
    assert ["params", "77,530", "77,530", "77,530"] in lines  # equal: none is better
    assert "* best of these runs" in out


def test_metrics_on_other_data_are_not_called_better(runs, tmp_path):
    finished(tmp_path / "a", test_accuracy=0.9)
    other = finished(tmp_path / "b", test_accuracy=0.5)
    text = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(text.replace("  name: digits", "  name: mnist"))
    _, out, _ = runs("compare", "a", "b", "--root", tmp_path)
    assert "*" not in out
    assert "of different data sets: their metrics cannot be compared" in out


def test_the_newest_run_first(runs, tmp_path):
    for name, time in (("a", 1000), ("b", 3000), ("c", 2000)):
        for file in finished(tmp_path / name).iterdir():
            os.utime(file, (time, time))
    _, out, _ = runs("list", "--newest", "--root", tmp_path)
    assert [line.split()[1] for line in out.splitlines()[1:4]] == ["b", "c", "a"]


def test_other_folders_are_named_and_not_listed_as_runs(runs, tmp_path):
    finished(tmp_path / "a")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.png").touch()
    (tmp_path / "empty").mkdir()
    _, out, _ = runs("--root", tmp_path)
    _, row, others, last = out.splitlines()
    assert row.split()[1] == "a"
    assert others.endswith(": empty, photos")
    assert last.startswith("1 finished; ranked by")


def test_an_archived_run_is_listed_on_request(runs, tmp_path):
    for name in "ab":
        finished(tmp_path / name)
    assert runs("note", "a", "--archive", "--root", tmp_path)[0] == 0
    _, out, _ = runs("--root", tmp_path)
    assert [line.split()[1] for line in out.splitlines()[1:2]] == ["b"]
    assert out.splitlines()[-1] == "1 archived run is not listed; --all lists all"
    assert len(runs("list", "--all", "--root", tmp_path)[1].splitlines()) == 4
    runs("note", "a", "--no-archive", "--tags", "x", "--root", tmp_path)
    assert len(runs("--root", tmp_path)[1].splitlines()) == 4


def test_a_run_is_renamed(runs, tmp_path):
    finished(tmp_path / "a")
    finished(tmp_path / "b")
    before = {file.name: file.read_bytes() for file in (tmp_path / "a").iterdir()}
    assert runs("rename", "a", " My best one", "--root", tmp_path)[0] == 0
    after = {file.name: file.read_bytes() for file in (tmp_path / "My best one").iterdir()}
    assert {name: after[name] for name in before} == before
    for name, said in (
        ("b", "exists already"),
        ("../c", "cannot be the name of a run"),
        (".hidden", "cannot be the name of a run"),
        ("x" * 300, "cannot be the name of a run"),
        ("", "cannot be the name of a run"),
    ):
        status, _, err = runs("rename", "My best one", name, "--root", tmp_path)
        assert (status, len(err.splitlines())) == (2, 1)
        assert said in err
    held = Run(tmp_path / "b")
    try:
        assert "b is running" in runs("rename", "b", "c", "--root", tmp_path)[2]
    finally:
        held.close()


def test_a_run_is_described(runs, tmp_path):
    finished(tmp_path / "a")
    (tmp_path / "a" / "history.csv").unlink()
    status, out, _ = runs("describe", "a", "--root", tmp_path)
    lines = [line.split() for line in out.splitlines()]
    assert status == 0
    assert lines[0] == [f"{tmp_path / 'a'}:", "finished"]
    for row in (["width", "48"], ["input", "8", "x", "8", "x", "1"], ["name", "digits"]):
        assert row in lines
    assert ["packages.keras", "3.15.1"] in lines
    edited(tmp_path / "b", "environment.json", lambda text: b"{")
    status, out, _ = runs("describe", tmp_path / "b")
    assert status == 0
    begun(tmp_path / "c")
    assert "started: stopped before" in runs("describe", "c", "--root", tmp_path)[1]


WITHOUT = """
import runpy, sys
sys.modules["keras"] = sys.modules["tensorflow"] = sys.modules["jax"] = None
root = sys.argv[1]
main = runpy.run_path(sys.argv[2])["main"]
for words in (["list"], ["describe", "a"], ["compare", "a", "b"], ["clean", "b", "--yes"]):
    sys.argv = ["runs.py", *words, "--root", root]
    main()
"""


def test_runs_script_does_not_import_keras(tmp_path):
    finished(tmp_path / "a")
    stopped(tmp_path / "b", 1)
    command = [sys.executable, "-c", WITHOUT, tmp_path, ROOT / "scripts" / "runs.py"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "b").exists()
