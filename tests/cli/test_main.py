"""The `vit-keras` command: help, usage errors, closed pipes, shell completion and the wheel."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from helpers.fake_runs import finished
from helpers.paths import ROOT, SCRIPTS
from helpers.waiting import PATIENCE
from vit_keras import __version__
from vit_keras.cli import completion
from vit_keras.cli.main import COMMANDS

# In a Python where importing any of these is a traceback, as the installed `vit-keras` runs.
WITHOUT = """
import runpy, sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
sys.argv = ["vit-keras", *sys.argv[2:]]
runpy.run_module("vit_keras", run_name="__main__")
"""


def vit_keras(*words, without="keras,tensorflow", python_path=ROOT, **settings):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, without, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(python_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        **settings,
    )


def test_help_and_version_import_nothing_large(tmp_path):
    large = "keras,tensorflow,jax,hydra,omegaconf,numpy,PIL,yaml,matplotlib"
    shown = vit_keras("--help", without=large, cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [name for name in COMMANDS if f"\n  {name} " not in shown.stdout] == []
    assert vit_keras("--version", without=large).stdout == f"vit-keras {__version__}\n"
    assert vit_keras(without=large).stdout == shown.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_without_keras(command):
    shown = vit_keras(command, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert len(shown.stdout.splitlines()) > 3


REFUSED = {
    "trian": "trian is not a command; did you mean train?",
    "recipe=mnist": "write a command before the settings, as in vit-keras train recipe=mnist",
    "get-data": "name a data set, or --list",
    "split photos": "name a destination",
    "completion basch": "did you mean bash?",
    "studio --port x": "argument --port: invalid int value: 'x'",
    "finetune pretrained.handle=null": "pretrained.handle is not set",
    "finetune -m pretrained.handle=null train.seed=1,2": "pretrained.handle is not set",
    "evaluate RUN --output /proc/x": "--output /proc/x cannot be made",
    "export RUN --format keras_int8 --output /proc/x": "--output /proc/x cannot be made",
    "explain RUN --image 1 --output /proc/x": "--output /proc/x cannot be made",
    "predict RUN RUN/curves.png --output /proc/x": "--output /proc/x cannot be made",
    "train run.dir=/proc/x": "run.dir=/proc/x cannot be made",
    "find-lr --lowest 0.1 --highest 0.01": "--highest 0.01 is not above --lowest 0.1",
    "find-lr --steps 3": "--steps 3 is out of range; use 10 or more",
    "find-lr data.limit=50 train.batch_size=46": "is more than the 45 images",
    "find-lr run.resume=RUN": "means nothing to find-lr",
    "find-lr --output RUN": "--output RUN is not empty",
    "train run.root=/proc/x": "run.root=/proc/x cannot be made",
    "runs compare RUN RUN2 --output /proc/x": "--output /proc/x cannot be made",
    "evaluate RUN --sizes 5": "--sizes 5 is not a multiple of",
    "evaluate RUN --split all": "--split all would measure",
    "evaluate nowhere": "error: nowhere is not a run",
    "explain RUN --image 1 --layer block_9": "--layer block_9 is not a block",
    "explain RUN --image 9999": "--image 9999 is more than the test split has",
    "explain RUN --image x.png": "--image x.png is not a file",
    "explain RUN --image 1 --target cat": "--target cat is not a class",
    "export RUN --format keras_int8 --output RUN": "--output RUN is not empty",
    "split nowhere there": "error: nowhere is no folder",
    "embed RUN RUN/curves.png --output x.csv": "--output x.csv does not say its format",
    "embed nowhere RUN/curves.png --output x.npz": "error: nowhere does not exist and is no",
    "embed RUN RUN/curves.png --output x.npz --map x.png": "a map takes 5 images or more",
    "audit RUN/config.yaml --output RUN/audited": "config.yaml is no file of vit-keras embed",
    "suggest RUN RUN/curves.png --output RUN": "--output RUN is not empty",
    "suggest RUN RUN/x.png --output new": "is no file or folder, and matches none",
    "audit --output x": "name EMBEDDINGS or --data, one of them; neither is given",
    "audit --data data=folder data.path=RUN --output x": "--data needs --model",
    "audit --data data=digits --model RUN --output x": "data.name=digits has no image files",
    "relabel RUN --output x.csv": "has no audit.csv; write it by vit-keras audit",
    "relabel RUN --output RUN": "--output RUN is a table; end its name in .csv",
    "neighbours RUN/config.yaml RUN/curves.png": "config.yaml is no file of vit-keras embed",
    "probe RUN data=digitts": "data=digitts is unknown; did you mean digits?",
    "runs describe EMPTY": "is not a run (it is empty)",
    "train run.resume=RUN run.dir=x": "run.dir=x has no effect on a run that is resumed",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_mistake_is_refused_in_one_line(words, tmp_path):
    """And names what was typed: `--output x`, where a Python function has `output=x`."""
    typed, expected = words.split(), REFUSED[words]
    for name in ("RUN2", "RUN", "EMPTY"):
        if name in words:
            place = tmp_path / name.lower()
            place.mkdir() if name == "EMPTY" else finished(place)
            typed = [word.replace(name, str(place)) for word in typed]
            expected = expected.replace(name, str(place))
    done = vit_keras(*typed, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr
    assert not [name for name in (" output=", " run=", " image=") if name in done.stderr]


PIPED = {
    "": ["--help", "--version", "runs", "runs describe a", "train --cfg job", "completion bash"],
    " --help": COMMANDS,
    " --hydra-help": ["train"],
}


@pytest.mark.parametrize(
    "words", [f"{command}{option}" for option, all in PIPED.items() for command in all]
)
def test_a_pipe_that_is_closed_ends_a_command_silently(words, tmp_path):
    finished(tmp_path / "saved_models" / "a")
    done = piped_to_nobody([sys.executable, "-m", "vit_keras", *words.split()], tmp_path)
    # argparse itself ignores a closed pipe when it prints its help.
    assert done.returncode in (0, 141)
    assert done.stderr == ""


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_a_pipe_that_is_closed_ends_a_script_silently(script, tmp_path):
    done = piped_to_nobody([sys.executable, script, "--help"], tmp_path)
    assert done.returncode in (0, 141)
    assert done.stderr == ""


def test_a_mistake_keeps_its_status_when_nobody_reads_it(tmp_path):
    command = [sys.executable, "-m", "vit_keras", "train", "train.epochs=0"]
    assert piped_to_nobody(command, tmp_path, stderr=subprocess.STDOUT).returncode == 2


def piped_to_nobody(command, folder, stderr=subprocess.PIPE):
    """Run a command whose standard output nobody reads, as after `| head` has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=writer,
            stderr=stderr,
            text=True,
            cwd=folder,
            timeout=PATIENCE,
        )
    finally:
        os.close(writer)


# What is typed, the last word still being written -> words that it is completed to.
COMPLETED = {
    "e": {"embed", "estimate", "evaluate", "explain", "export"},
    "export run --format o": {"onnx", "onnx_int8", "openvino"},
    "evaluate run --s": {"--split", "--sizes"},
    "runs cl": {"clean"},
    "find-lr recipe=fold": {"recipe=folder"},
    "train recipe=fold": {"recipe=folder"},
    "finetune train.ep": {"train.epochs="},
}


@pytest.fixture(scope="module")
def bash(tmp_path_factory):
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    file = tmp_path_factory.mktemp("completion") / "vit-keras.bash"
    # `compopt` is refused outside a completion that bash itself started.
    file.write_text(completion.script("bash") + "\ncompopt() { :; }\n")
    return file


@pytest.mark.parametrize("typed", COMPLETED)
def test_bash_completes_commands_options_and_settings(typed, bash):
    lines = (
        f"source {bash}",
        f"COMP_WORDS=(vit-keras {typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))",
        '_vit_keras_completion vit-keras; printf "%s\\n" "${COMPREPLY[@]}"',
    )
    done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.stderr == ""
    assert {*done.stdout.split()} == COMPLETED[typed]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_shell_gets_every_command(shell):
    text = completion.script(shell)
    assert [name for name in COMMANDS if name not in text] == []


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel installs, built from a copy of the sources."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "vit_keras", source / "vit_keras", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(source), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = source.glob("vit_keras_lab-*.whl")
    install = [*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return target


def test_the_wheel_has_every_file_of_the_package(installed):
    def files(root):
        found = (path.relative_to(root) for path in (root / "vit_keras").rglob("*"))
        return {path for path in found if path.suffix not in ("", ".pyc")}

    assert files(installed) == files(ROOT)


def test_the_wheel_works_in_any_folder(installed, tmp_path):
    finished(tmp_path / "saved_models" / "a")

    def run(*words):
        return subprocess.run(
            [sys.executable, installed / "bin" / "vit-keras", *words],
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=PATIENCE,
        )

    assert "train a Vision Transformer from scratch" in run("--help").stdout
    listed = run("runs")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert re.search(r"^1  a +0\.\d{4} .* finished$", listed.stdout, re.MULTILINE)
    refused = run("train", "model.patch_size=3")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: model.patch_size=3 does not divide")
    broken = run("studio", "--root", "saved_models/a/config.yaml")
    assert (broken.returncode, "is a file; choose a folder" in broken.stderr) == (2, True)
    assert str(ROOT) not in (refused.stderr + broken.stderr).replace(str(tmp_path), "")
