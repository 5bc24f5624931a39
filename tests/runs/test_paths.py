"""A run that was trained with relative paths is opened from any directory."""

import json
import shutil

import pytest

from helpers import fake_runs, image_files
from vit_keras import SettingError, evaluate_run, export_run, load_config, open_run, train_model
from vit_keras.config.schema import Config
from vit_keras.evaluation.preflight import check_data
from vit_keras.explain import preflight as explain_preflight
from vit_keras.runs import archive, paths, run_dir
from vit_keras.runs.run_dir import config_of_run

SMALL = (
    "data=folder",
    "data.path=photos",
    "data.image_size=8",
    "model.depth=1",
    "train.epochs=1",
    "train.batch_size=4",
    "train.jit_compile=false",
    "run.dir=run",
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with photos, in which a run is trained by relative paths alone."""
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for name in ("cat", "dog"):
        image_files.write(tmp_path / "project/photos" / name, 20)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def begun(project):
    fake_runs.begun("run", *SMALL[:3], "train.batch_size=4")
    for name in ("best.keras", "environment.json"):
        shutil.copy(fake_runs.RELEASED / name, "run")
    (project / "run/class_mapping.json").write_text('{"0": "cat", "1": "dog"}')
    return project / "run"


def test_what_was_typed_is_kept_and_the_absolute_path_beside_it(project):
    run = begun(project)
    assert "path: photos\n" in (run / "config.yaml").read_text()
    assert json.loads((run / "paths.json").read_text()) == {"data.path": str(project / "photos")}


def test_from_its_own_directory_paths_are_as_typed(project):
    run = begun(project)
    assert open_run(run).config.data.path == "photos"
    assert config_of_run(str(run)).data.path == "photos"


def test_from_elsewhere_paths_are_absolute(project, monkeypatch):
    run = begun(project)
    monkeypatch.chdir(project.parent / "elsewhere")
    assert open_run(run).config.data.path == str(project / "photos")
    assert config_of_run(str(run)).data.path == str(project / "photos")
    # Another folder of the same name here is not the run's.
    image_files.write(project.parent / "elsewhere/photos/cat", 1)
    assert open_run(run).config.data.path == str(project / "photos")


def test_what_has_moved_is_looked_for_here_and_both_places_are_named(project, monkeypatch):
    run = begun(project)
    (project / "photos").rename(project / "gone")
    monkeypatch.chdir(project.parent / "elsewhere")
    saved = open_run(run)
    here, there = project.parent / "elsewhere/photos", project / "photos"
    for check in (
        saved.check_data_path,
        lambda: check_data(saved, saved.config),
        lambda: explain_preflight.open_run_and_folder(run, 0, None),
    ):
        with pytest.raises(SettingError, match=r"data.path=photos is neither") as caught:
            check()
        assert f"{here} nor {there}, where the run was trained" in str(caught.value)
    here.symlink_to(project / "gone")
    assert open_run(run).config.data.path == "photos"
    open_run(run).check_data_path()


def test_absolute_paths_addresses_and_nothing_need_no_file(project, monkeypatch):
    for name, path in {"absolute": project / "photos"}.items():
        path = fake_runs.begun(
            project / name, *SMALL[:3], f"data.path={path}", "train.batch_size=4"
        )
        assert not (path / "paths.json").exists()
    config = Config()
    config.pretrained.handle = "google/vit-base-patch16-224"
    assert paths.absolute_paths(config) == {}
    (project / "weights.npz").touch()
    config.pretrained.handle, config.data.tfds_dir = "weights.npz", "../elsewhere"
    assert paths.absolute_paths(config) == {
        "pretrained.handle": str(project / "weights.npz"),
        "data.tfds_dir": str(project.parent / "elsewhere"),
    }


def test_a_resumed_run_keeps_what_was_typed_unless_the_data_are_others(project, monkeypatch):
    path = begun(project)
    monkeypatch.chdir(project.parent / "elsewhere")
    run = run_dir.Run(path)
    run_dir.write_config(run, config_of_run(str(path)))
    assert "path: photos\n" in (path / "config.yaml").read_text()
    assert run_dir.read_paths(path) == {"data.path": str(project / "photos")}
    shutil.copytree(project / "photos", "copy")
    config = config_of_run(str(path))
    config.data.path = "copy"
    run_dir.write_config(run, config)
    assert "path: copy\n" in (path / "config.yaml").read_text()
    assert run_dir.read_paths(path) == {"data.path": str(project.parent / "elsewhere/copy")}
    run.close()


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_file_is_as_none(text, project, monkeypatch):
    run = begun(project)
    (run / "paths.json").write_text(text)
    monkeypatch.chdir(project.parent / "elsewhere")
    assert open_run(run).config.data.path == "photos"


@pytest.mark.slow
def test_a_run_is_evaluated_and_exported_from_another_directory(project, monkeypatch):
    path = train_model(load_config(*SMALL)).path
    zipped = {file.name for file in archive.files_to_archive(path)}
    assert {"best.keras", "preprocess.py", "paths.json"} <= zipped
    monkeypatch.chdir(project.parent / "elsewhere")
    report = evaluate_run(path, images=4).report
    assert report["data"]["is_the_runs_own"]
    report = export_run(path, "keras_int8", images=4).report
    assert report["images_from"] == "test split of folder"
    assert "warning" not in report
    config = load_config(f"run.resume={path}", "train.epochs=2")
    assert train_model(config).metrics["epochs"] == 2
    assert "path: photos\n" in (path / "config.yaml").read_text()
