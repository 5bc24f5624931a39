"""Words of `setting=value` for the scripts that work on a run, and folders that are whole."""

import pytest

from vit_keras import SettingError
from vit_keras.cli import arguments
from vit_keras.io import atomic


def read(*words):
    return arguments.read(arguments.ExportSettings, words)


def test_words_become_settings_whatever_a_path_holds():
    settings = read("run=a, b=[c] ü", "format=onnx", "images=7")
    assert vars(settings) == dict(run="a, b=[c] ü", format="onnx", output=None, images=7)


REFUSED = {
    ("onnx",): "onnx sets nothing; write setting=value, such as run=... format=...",
    ("--format=onnx",): "--format=onnx sets nothing",
    ("run=a", "fromat=onnx"): r"fromat is no setting; did you mean format\?",
    ("run=a", "run=b"): "run=b sets run a second time",
    ("run=",): "run= has no value",
    ("run=a", "format=onnx", "images=many"): "images=many does not fit",
    ("run=a", "format=onnx", "images=0"): "images=0 does not fit",
    ("run=a",): "format is not set: tf_saved_model, onnx",
}


@pytest.mark.parametrize(("words", "message"), REFUSED.items())
def test_words_that_cannot_be_are_refused(words, message):
    with pytest.raises(SettingError, match=message):
        read(*words)


def test_help_names_every_setting_with_its_default():
    text = arguments.usage(arguments.ExportSettings)
    assert "run      the folder of a training run (needed)" in text
    assert "images   how many test images the file is compared with Keras on (200)" in text


def write(folder, text, fails=False):
    with atomic.atomic_folder(folder, "mark.json") as new:
        (new / "mark.json").write_text(text)
        if fails:
            raise OSError("disk full")


def test_a_folder_is_replaced_whole_or_stays(tmp_path):
    folder = tmp_path / "deep" / "results"
    write(folder, "first")
    with pytest.raises(OSError, match="disk full"):
        write(folder, "second", fails=True)
    assert (folder / "mark.json").read_text() == "first"
    write(folder, "third")
    assert (folder / "mark.json").read_text() == "third"
    assert [path.name for path in folder.parent.iterdir()] == ["results"]  # nothing half is left


def test_results_never_replace_a_folder_of_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SettingError, match=r"is not empty, and has no mark.json"):
        write(tmp_path, "ours")
    with pytest.raises(SettingError, match=r"notes.txt is a file"):
        write(tmp_path / "notes.txt", "ours")


def test_words_of_the_runs_configuration_are_kept_as_they_are():
    words = ["run=a", "data=folder", "data.path=b=[c]", "sizes=24,48"]
    settings = arguments.read(arguments.EvaluateSettings, words)
    assert (settings.data, settings.sizes) == (("data=folder", "data.path=b=[c]"), (24, 48))
    assert arguments.read(arguments.EvaluateSettings, ["run=a"]).sizes == ()
    with pytest.raises(SettingError, match="sizes=big does not fit"):
        arguments.read(arguments.EvaluateSettings, ["run=a", "sizes=24,big"])
