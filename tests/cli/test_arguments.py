"""Arguments of the commands that work on a run, and checks of run directories."""

import pytest

from vit_keras import SettingError
from vit_keras.cli import arguments, evaluate, export, legacy_arguments
from vit_keras.io import atomic


def read(*words):
    return arguments.parse("export", export.add_arguments, [*words])


def test_arguments_become_settings_whatever_a_path_holds():
    settings = read("a, b=[c] ü", "--format", "onnx", "--images=7")
    assert vars(settings) == dict(run="a, b=[c] ü", format="onnx", output=None, images=7)


REFUSED = {
    ("--format=onnx",): "the following arguments are required: RUN; see vit-keras export --help",
    ("a", "b", "--format=onnx"): "unrecognized arguments: b",
    ("a", "--fromat=onnx"): "required: --format",
    ("a", "--format=onnx", "--depth=3"): "unrecognized arguments: --depth=3",
    ("a", "--format"): "--format: expected one argument",
    ("a", "--format=onnx", "--images=many"): "--images: many is out of range; use an integer",
    ("a", "--format=onnx", "--images=0"): "--images: 0 is out of range",
    ("a",): "required: --format",
    ("a", "--format=onix"): r"--format: onix is unknown; did you mean onnx\?",
}


@pytest.mark.parametrize(("words", "message"), REFUSED.items())
def test_wrong_arguments_are_refused(words, message):
    with pytest.raises(SettingError, match=message):
        read(*words)


def test_help_names_every_argument_with_its_default():
    text = " ".join(arguments.build_parser("export", export.add_arguments).format_help().split())
    assert "RUN the folder of a training run" in text
    assert "number of test images to compare the export with Keras on (200)" in text


# Words as the scripts of earlier versions took them -> the arguments of today.
OLD_WORDS = {
    ("evaluate", "run=a", "data=folder", "data.path=b=[c]", "sizes=24,48"): [
        *("a", "--data=data=folder", "--data=data.path=b=[c]", "--sizes=24", "--sizes=48")
    ],
    ("explain", "run=a", "image=7", "target=bird"): ["a", "--image=7", "--target=bird"],
    ("export", "format=onnx", "run=a, b=[c] ü"): ["a, b=[c] ü", "--format=onnx"],
    ("predict", "photos", "run=a", "top_k=2", "flip=true", "overwrite=False", "x-1=2.jpg"): [
        *("a", "photos", "x-1=2.jpg", "--top-k=2", "--flip")
    ],
}


@pytest.mark.parametrize(("old", "new"), OLD_WORDS.items())
def test_words_of_earlier_versions_are_translated_and_said_once(old, new, capsys):
    command, *words = old
    assert legacy_arguments.translate(command, words) == new
    said = capsys.readouterr().err
    assert said.startswith(f"deprecated: write it as vit-keras {command} ")
    assert len(said.splitlines()) == 1


def test_words_of_today_are_left_as_they_are(capsys):
    for command, *words in (
        ("evaluate", "a", "--data", "data=folder"),
        ("predict", "a", "photos", "b.png"),
        ("evaluate", "a", "--data", "data=folder", "data.path=b", "--sizes", "24"),
        ("export", "a", "--format", "onnx", "--output", "run=1"),
        ("split", "run=1", "data=2"),
    ):
        assert legacy_arguments.translate(command, words) == words
    assert capsys.readouterr().err == ""


# Words of both syntaxes -> what to write.
MIXED = {
    ("predict", "a", "b.png", "output=c.csv", "--top-k=3"): "output=c.csv is the syntax of version",
    ("predict", "a", "b.png", "output=c.csv", "--flip"): "write --output=c.csv",
    ("predict", "a", "--flip", "output=c.csv"): "write --output=c.csv",
    ("predict", "run=1", "--format", "csv"): "run=1 is the syntax of .* today's; write 1",
    ("predict", "a", "b.png", "flip=false", "--top-k=3"): "today's; leave it out",
    ("evaluate", "a", "sizes=24,48", "--images", "3"): "write --sizes=24 --sizes=48",
    ("evaluate", "a", "--data", "data=folder", "data.path=b", "split=all"): "write --split=all",
    ("evaluate", "run=a", "--sizes", "24"): "write a",
    ("explain", "a", "--image=7", "layer=encoder_block_1"): "write --layer=encoder_block_1",
}


@pytest.mark.parametrize("words", MIXED)
def test_both_syntaxes_in_one_command_are_refused(words):
    with pytest.raises(SettingError, match=MIXED[words]):
        legacy_arguments.translate(words[0], [*words[1:]])


def test_a_file_with_the_name_of_a_setting_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "output=1.png").write_bytes(b"")
    words = ["a", "output=1.png", "--flip"]
    assert legacy_arguments.translate("predict", words) == words


# Message of a Python function, and what was typed -> what the command prints.
REWORDED = {
    ("output=x is a folder", "a --output x"): "--output x is a folder",
    ("run=a has no class_mapping.json", "a"): "a has no class_mapping.json",
    ("the classes of run=a: it", "a"): "the classes of a: it",
    ("run=a is not a run", "run=a"): "run=a is not a run",  # version 0.1
    ("run=1.png is no file", "a run=1.png"): "run=1.png is no file",
    ("split=all: name data=folder data.path=b", "a"): (
        "--split all: name --data data=folder data.path=b"
    ),
    ("data.path=output=x is gone", "a"): "data.path=output=x is gone",
    ("resume it by run.resume=a", "a"): "resume it by run.resume=a",
    ("--output=x is there", "a"): "--output=x is there",
    ("sizes=9 and images=3", "a"): "--sizes 9 and --images 3",
}


@pytest.mark.parametrize(("told", "printed"), REWORDED.items())
def test_messages_name_what_is_typed(told, printed):
    message, words = told
    parser = arguments.build_parser("evaluate", evaluate.add_arguments)
    assert arguments.as_typed(parser, words.split())(message) == printed


OLD_REFUSED = {
    ("export", "run=a", "fromat=onnx"): r"fromat is no setting; did you mean format\?",
    ("predict", "run=a", "photos", "topk=3"): r"topk is no setting; did you mean top_k\?",
    ("predict", "run=a", "photos", "flip=yes"): "flip=yes is not a switch value; use true or false",
    ("export", "run=a", "format="): "format= has no value",
}


@pytest.mark.parametrize(("old", "message"), OLD_REFUSED.items())
def test_wrong_words_of_earlier_versions_are_refused(old, message):
    command, *words = old
    with pytest.raises(SettingError, match=message):
        legacy_arguments.translate(command, words)


def test_words_of_the_runs_configuration_are_kept_as_they_are():
    def parse(*words):
        return arguments.parse("evaluate", evaluate.add_arguments, [*words])

    settings = parse("a", *["--data", "data=folder", "data.path=b=[c]", "--sizes", "24", "48"])
    assert settings.data == ["data=folder", "data.path=b=[c]"]
    assert settings.sizes == [24, 48]
    assert (parse("a").data, parse("a").sizes) == ([], [])
    with pytest.raises(SettingError, match="--sizes: big is out of range"):
        parse("a", "--sizes", "24", "big")


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
