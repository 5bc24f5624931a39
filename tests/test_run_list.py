"""The runs of a folder: each as what it is, ranked, compared, described and cleaned up."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from vit_keras import SettingError, load_config, run
from vit_keras.run_cleaning import candidates, delete
from vit_keras.run_comparison import compare
from vit_keras.run_description import describe
from vit_keras.run_list import find, list_runs, rank

ROOT = Path(__file__).parents[1]
RELEASED = ROOT / "saved_models" / "digits"
HEAD = "epoch,stage,loss,accuracy,val_loss,val_accuracy,learning_rate,images_per_second,seconds\n"


def finished(path, **metrics):
    """A run that has ended, with these figures in the place of its own."""
    shutil.copytree(RELEASED, path)
    kept = json.loads((path / "metrics.json").read_text())
    (path / "metrics.json").write_text(json.dumps({**kept, **metrics}))
    return path


def begun(path, *settings):
    """A run that was killed before its first epoch ended."""
    run.create(load_config(f"run.dir={path}", *settings)).close()
    return path


def stopped(path, epochs, *settings):
    """A run that was stopped after so many epochs: 0.1 more of accuracy in each."""
    begun(path, *settings)
    for name in ("best.keras", "class_mapping.json", "environment.json"):
        shutil.copy(RELEASED / name, path)
    (path / "checkpoint").mkdir()
    for epoch in range(max(1, epochs - 1), epochs + 1):
        shutil.copy(RELEASED / "best.keras", path / "checkpoint" / f"epoch-{epoch:05d}.npz")
    rows = (f"{i},all,1,0.1,1.5,{i / 10},1e-3,100,2\n" for i in range(1, epochs + 1))
    (path / "history.csv").write_text(HEAD + "".join(rows))
    return path


def edited(path, name, edit):
    file = finished(path) / name
    file.write_bytes(edit(file.read_bytes()))


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


# What is wrong with a run -> how it comes to be, its state, and what is said of it.
BROKEN = {
    "no_config": (
        lambda path: (finished(path) / "config.yaml").unlink(),
        "broken",
        "no config.yaml",
    ),
    "damaged_config": (
        lambda path: edited(path, "config.yaml", lambda text: text[:300]),
        "broken",
        "config.yaml is damaged (",
    ),
    "newer": (
        lambda path: edited(path, "config.yaml", lambda text: text + b"teleport: true\n"),
        "broken",
        "config.yaml has teleport, which this version does not know: the run is of a newer one",
    ),
    "no_model": (lambda path: (finished(path) / "best.keras").unlink(), "broken", "no best.keras"),
    "cut_model": (
        lambda path: edited(path, "best.keras", lambda model: model[:-5000]),
        "broken",
        "best.keras is damaged (File is not a zip file)",
    ),
    "flipped_model": (
        lambda path: edited(path, "best.keras", flipped),
        "broken",
        "best.keras is damaged (checksum of model.weights.h5)",
    ),
    "other_zip": (
        lambda path: (
            shutil.make_archive(finished(path) / "best", "zip", ROOT / "scripts")
            and (path / "best.zip").rename(path / "best.keras")
        ),
        "broken",
        "best.keras is damaged (it has no metadata.json)",
    ),
    "no_classes": (
        lambda path: (finished(path) / "class_mapping.json").unlink(),
        "broken",
        "no class_mapping.json",
    ),
    "damaged_metrics": (
        lambda path: edited(path, "metrics.json", lambda text: text[:-20]),
        "broken",
        "metrics.json is damaged (",
    ),
    "damaged_temperature": (
        lambda path: (finished(path) / "temperature.json").write_text("{}"),
        "broken",
        "temperature.json is damaged (",
    ),
    "damaged_history": (
        lambda path: (stopped(path, 2) / "history.csv").write_text(HEAD + "1,all,?\n"),
        "broken",
        "history.csv is damaged (",
    ),
    "begun": (begun, "begun", "stopped before its first epoch ended; run.resume starts it again"),
    "empty": (Path.mkdir, "empty", ""),
    "stopped": (lambda path: stopped(path, 3), "stopped", "at epoch 3 of 80; run.resume goes on"),
    "without_checkpoint": (
        lambda path: shutil.rmtree(stopped(path, 2) / "checkpoint"),
        "stopped",
        "after 2 of 80 epochs; no whole checkpoint to go on from",
    ),
    "other_folder": (
        lambda path: path.mkdir() or (path / "notes.txt").write_text("mine"),
        "no run",
        "no config.yaml",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_folder_is_listed_as_what_it_is(case, tmp_path):
    make, state, reason = BROKEN[case]
    make(tmp_path / case)
    (found,) = list_runs(tmp_path)
    assert (found.name, found.state) == (case, state)
    assert found.reason.startswith(reason)
    assert len(found.reason) < 120


def test_a_renamed_run_is_a_run(tmp_path):
    finished(tmp_path / "my best one")
    (found,) = list_runs(tmp_path)
    assert (found.name, found.state) == ("my best one", "finished")
    assert (
        found.metrics == json.loads((RELEASED / "metrics.json").read_text()) | {} or found.metrics
    )


def test_a_run_that_is_held_is_in_progress_and_looking_changes_nothing(tmp_path):
    path = stopped(tmp_path / "a", 2)
    held = run.Run(path)
    try:
        (found,) = list_runs(tmp_path)
        assert (found.state, found.reason) == ("in progress", "epoch 3 of 80")
        assert found.metrics["best_val_accuracy"] == 0.2
    finally:
        held.close()
    released = finished(tmp_path / "b")
    before = set(released.iterdir())
    assert [one.state for one in list_runs(tmp_path)] == ["stopped", "finished"]
    assert set(released.iterdir()) == before


def test_stages_and_a_baseline_within_a_run(tmp_path):
    stages = (
        "train.epochs=null",
        "+stages.head={trains: head, epochs: 2}",
        "+stages.all={trains: {last: 1}, epochs: 3}",
    )
    path = stopped(tmp_path / "tuned", 4, *stages)
    rows = (path / "history.csv").read_text().replace("1,all", "1,head").replace("2,all", "2,head")
    (path / "history.csv").write_text(rows)
    finished(path / "from_scratch")
    assert [one.name for one in list_runs(tmp_path)] == ["tuned", "tuned/from_scratch"]
    assert find("tuned", tmp_path).reason == "at epoch 4 of 5; run.resume goes on"
    head, rest = describe("tuned", tmp_path).stages
    assert (head.trains, head.epochs, head.epochs_done, head.best_val_accuracy) == (
        *("head", 2, 2, 0.2),
    )
    assert (rest.trains, rest.epochs_done, rest.best_val_accuracy) == ("the last 1 blocks", 2, 0.4)


def test_runs_of_a_sweep_are_found_below(tmp_path):
    finished(tmp_path / "2026-01-02" / "03-04-05" / "0")
    begun(tmp_path / "2026-01-02" / "03-04-05" / "1")
    (tmp_path / ".studio").mkdir()
    (tmp_path / "picture.png").write_bytes(b"")
    names = [one.name for one in list_runs(tmp_path)]
    assert names == ["2026-01-02/03-04-05/0", "2026-01-02/03-04-05/1"]


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
    """Runs the script in this process; gives (exit status, standard output, standard error)."""
    main = runpy.run_path(str(ROOT / "scripts" / "runs.py"))["main"]

    def start(*words):
        monkeypatch.setattr(sys, "argv", ["runs.py", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return start


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
    "--root nowhere": "--root=nowhere is no folder",
    "--root {ten}/run0": "is a run itself; name the folder above it",
    "describe run10 --root {ten}": "run10 is no run in --root=",
    "compare run0 --root {ten}": "the following arguments are required: second",
    "compare run0 spoild --root {ten}": "did you mean spoilt?",
    "compare run0 spoilt --root {ten}": "spoilt cannot be compared: best.keras is damaged",
    "compare run0 {ten}/run0 --root {ten}": "are one run; name two",
    "compare run0 run1 --root {ten} --output {ten}": "is a folder; name a file",
    "clean spoild --root {ten}": "spoild is no run",
    "lst": "invalid choice: 'lst'",
    "clean --all": "unrecognized arguments: --all",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_mistake_is_refused_in_one_line(words, runs, ten):
    before = sorted(ten.rglob("*"))
    status, out, err = runs(*words.format(ten=ten).split())
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert REFUSED[words] in err
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
    assert ["best_epoch", "48", "2"] in lines
    picture = Path(lines[-1][-1] if len(lines[-1]) == 2 else out.splitlines()[-1][8:])
    assert picture == tmp_path / "a-and-_b $x$.png"
    with Image.open(picture) as image:
        image.load()
        assert image.size == (1200, 360)
    assert runs("compare", "a", "_b $x$", "--root", tmp_path)[0] == 0  # drawn anew
    mine = tmp_path / "mine.png"
    mine.write_text("mine")
    with pytest.raises(SettingError, match=r"is there already; .* or set --overwrite"):
        compare("a", "_b $x$", tmp_path, mine)
    assert mine.read_text() == "mine"


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
    assert "begun: stopped before" in runs("describe", "c", "--root", tmp_path)[1]


def test_cleaning_takes_what_is_half_written_after_asking(runs, tmp_path, monkeypatch):
    finished(tmp_path / "good")
    stopped(tmp_path / "resumable", 1)
    begun(tmp_path / "begun")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    everything = sorted(tmp_path.iterdir())
    for answer in ("", "n", "no"):
        monkeypatch.setattr("builtins.input", lambda prompt, answer=answer: answer)
        status, out, _ = runs("clean", "--root", tmp_path)
        assert (status, out.splitlines()[-1]) == (0, "nothing is deleted")
        assert sorted(tmp_path.iterdir()) == everything
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    status, out, _ = runs("clean", "--root", tmp_path)
    assert (status, len(out.splitlines())) == (0, 4)
    assert {path.name for path in tmp_path.iterdir()} == {"good", "resumable", "mine"}
    assert "nothing half-written" in runs("clean", "--root", tmp_path)[1]


def test_with_nobody_to_ask_nothing_is_deleted(runs, tmp_path, monkeypatch):
    def nobody(prompt):
        raise EOFError

    begun(tmp_path / "begun")
    monkeypatch.setattr("builtins.input", nobody)
    status, _, err = runs("clean", "--root", tmp_path)
    assert status == 2
    assert err == "error: there is nobody to ask; --yes deletes without asking\n"
    assert (tmp_path / "begun").is_dir()
    assert runs("clean", "--yes", "--root", tmp_path)[0] == 0
    assert not list(tmp_path.iterdir())


def test_a_run_goes_when_it_is_named_and_nothing_else(runs, tmp_path):
    for name in ("a", "b"):
        finished(tmp_path / name)
    begun(tmp_path / "begun")
    (tmp_path / "link").symlink_to("b")
    assert runs("clean", "a", tmp_path / "link", "--yes", "--root", tmp_path)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"b", "begun"}


def test_what_must_not_go_stays(tmp_path, monkeypatch):
    finished(tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingError, match=r"mine is no run .* delete it by hand"):
        candidates(["mine"], tmp_path)
    monkeypatch.chdir(tmp_path / "run")
    with pytest.raises(SettingError, match=r"run holds .*; go elsewhere"):
        candidates(["run"], tmp_path)
    monkeypatch.chdir(tmp_path)
    (one,) = candidates(["run"], tmp_path)
    begun(tmp_path / "run" / "from_scratch")
    held = run.Run(tmp_path / "run" / "from_scratch")
    try:
        with pytest.raises(SettingError, match="run is in progress; stop it first"):
            candidates(["run"], tmp_path)
    finally:
        held.close()
    held = run.Run(tmp_path / "run")
    try:
        with pytest.raises(SettingError, match="in use"):
            delete(one.run)  # it was resumed while its deletion was being confirmed
    finally:
        held.close()
    assert (tmp_path / "run" / "best.keras").exists()


def test_a_run_in_git_goes_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    root = tmp_path / "runs"
    for name in ("kept", "other"):
        begun(root / name)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", root, "add", "kept/config.yaml"], check=True)
    assert [one.run.name for one in candidates([], root)] == ["other"]
    (kept,) = candidates(["kept"], root)
    assert (kept.run.name, kept.is_tracked) == ("kept", True)


WITHOUT = """
import runpy, sys
sys.modules["keras"] = sys.modules["tensorflow"] = sys.modules["jax"] = None
root = sys.argv[1]
main = runpy.run_path(sys.argv[2])["main"]
for words in (["list"], ["describe", "a"], ["compare", "a", "b"], ["clean", "b", "--yes"]):
    sys.argv = ["runs.py", *words, "--root", root]
    main()
"""


def test_nothing_of_it_imports_keras(tmp_path):
    finished(tmp_path / "a")
    stopped(tmp_path / "b", 1)
    command = [sys.executable, "-c", WITHOUT, tmp_path, ROOT / "scripts" / "runs.py"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "b").exists()
