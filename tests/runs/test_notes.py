"""Tags and notes of runs, and runs as zip files, in Python and by `vit-keras runs`."""

import io
import zipfile

import pytest

from helpers.fake_runs import finished, in_process
from vit_keras import SettingError
from vit_keras.runs import archive as runs_archive
from vit_keras.runs import notes
from vit_keras.runs.listing import list_runs
from vit_keras.runs.notes import Notes


@pytest.fixture
def root(tmp_path):
    finished(tmp_path / "runs" / "one")
    return tmp_path / "runs"


@pytest.fixture
def runs(monkeypatch, capsys):
    return in_process("runs", monkeypatch, capsys)


def test_notes_are_kept_shown_and_taken_away(runs, root):
    status, out, _ = runs("note", "one", "--tags", "small, keeper,small", "--root", root)
    assert (status, out) == (0, "tags: keeper, small\nnote: none\n")
    runs("note", "one", "--note", "ein Satz\nund noch einer", "--root", root)
    assert notes.read_notes(root / "one") == Notes(("keeper", "small"), "ein Satz\nund noch einer")
    (run,) = list_runs(root)
    assert run.state == "finished"
    runs("note", "one", "--tags", "", "--note", "", "--root", root)
    assert not (root / "one" / "notes.json").exists()


def test_invalid_notes_are_refused(root, tmp_path):
    with pytest.raises(SettingError, match=r"is longer than 40 characters"):
        notes.parse_tags("x" * 41)
    with pytest.raises(SettingError, match=r"is not a run \(any more\)"):
        notes.write_notes(tmp_path, Notes(("a",)))
    (root / "one" / "notes.json").write_text('{"tags": 3')
    with pytest.raises(SettingError, match=r"notes.json is damaged"):
        notes.read_notes(root / "one")


def test_a_zip_has_what_others_need_and_no_links(runs, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = root / "one"
    (run / "checkpoint").mkdir()
    (run / "checkpoint" / "epoch-001.keras").write_bytes(b"large")
    (run / "passwd").symlink_to("/etc/passwd")
    (run / ".new-best.keras").write_bytes(b"half")
    status, out, _ = runs("zip", "one", "--root", root)
    assert (status, out.split(" in ")[1].split(",")[0]) == (0, "one.zip")
    with zipfile.ZipFile("one.zip") as archive:
        names = archive.namelist()
        assert archive.read("one/best.keras") == (run / "best.keras").read_bytes()
    assert "one/config.yaml" in names
    assert not [name for name in names if "checkpoint" in name or "passwd" in name or "new" in name]
    whole = [path.name for path in runs_archive.files_to_archive(run, with_checkpoints=True)]
    assert "epoch-001.keras" in whole
    status, _, err = runs("zip", "one", "--root", root)
    assert status == 2
    assert "one.zip is there already" in err
    with pytest.raises(SettingError, match="is not a folder"):
        runs_archive.zip_bytes(root / "gone")


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_becomes_a_run_again(runs, root, tmp_path):
    (root / "one" / "evaluation").mkdir()
    (root / "one" / "evaluation" / "evaluation.json").write_text("{}")
    runs_archive.archive_run(root / "one", tmp_path / "one.zip")
    other = tmp_path / "other"
    assert runs("unzip", tmp_path / "one.zip", "--root", other)[:2] == (0, f"{other / 'one'}\n")
    assert runs("unzip", tmp_path / "one.zip", "--root", other)[:2] == (0, f"{other / 'one-2'}\n")
    for copy in (other / "one", other / "one-2"):
        names = [path.relative_to(root / "one") for path in (root / "one").rglob("*")]
        assert {path.relative_to(copy) for path in copy.rglob("*")} == {*names}
        for name in names:
            if (copy / name).is_file():
                assert (copy / name).read_bytes() == (root / "one" / name).read_bytes()
    assert [(run.name, run.state) for run in list_runs(other)] == [
        ("one", "finished"),
        ("one-2", "finished"),
    ]


def bomb():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(30_000_000))
    return stream.getvalue()


RUN = {"one/config.yaml": "run: {resume: null}", "one/best.keras": "PK"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({**RUN, "../out/config.yaml": ""}, "leads out of it"),
        ({**RUN, "one/../../out": ""}, "leads out of it"),
        ({**RUN, "/etc/one": ""}, "leads out of it"),
        ({**RUN, "two/config.yaml": ""}, "contains no run"),
        ({"config.yaml": ""}, "contains no run"),
        ({"one/best.keras": "PK"}, "contains no run"),
        ({}, "contains no run"),
        ({**RUN, "one/a": "x", "one/a/b": "x"}, "has the name of another file there"),
        ({**RUN, "one/config.yaml": "a: &a [1]\nb: *a"}, "has YAML aliases"),
        ({**RUN, "one/config.yaml": "a: ["}, "config.yaml in the zip cannot be read"),
        ({**RUN, "one/metrics.json": " " * (2**24 + 1)}, "metrics.json' has 16,777,217 bytes"),
        ({**RUN, "one/best.keras": bomb()}, "config.json' in the zip unpacks to 30,000,000"),
    ],
)
def test_a_zip_that_holds_something_else_is_refused_whole(members, message, runs, tmp_path):
    file, root = zipped(tmp_path / "a.zip", members), tmp_path / "runs"
    status, _, err = runs("unzip", file, "--root", root)
    assert (status, message in err) == (2, True), err
    assert {*tmp_path.rglob("*")} <= {file, root}


def test_what_a_zip_hides_is_left_out(tmp_path):
    hidden = {"one/.studio/lock": "x", "one/a<b>.txt": "x"}
    place = runs_archive.unpack_run(zipped(tmp_path / "a.zip", RUN | hidden), tmp_path / "runs")
    assert {path.name for path in place.rglob("*")} == {"config.yaml", "best.keras"}
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"one"}
