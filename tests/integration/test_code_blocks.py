"""Every code block of the README and the documentation runs, on a small budget.

Commands run in this process, one after the other, through the `main` that the installed command
calls; the Python of a page is executed in one namespace. A training gets one epoch of one batch for
each stage (`affordable`), of TFDS's data sets the first images are read, and evaluations and
exports are of the smallest run; everything else is executed as it is written.
"""

import builtins
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import absl.logging
import numpy as np
import pytest
import uvicorn
import yaml
from omegaconf import OmegaConf
from PIL import Image
from sklearn.datasets import load_digits

import vit_keras
from helpers.paths import ROOT
from vit_keras.cli.main import main
from vit_keras.config import compose
from vit_keras.config.schema import Config
from vit_keras.data.readers import tfds
from vit_keras.pipeline.settings import PipelineSettings
from vit_keras.studio import __main__ as studio_main

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "saved_models").glob("*/README.md")),  # model cards
]
BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
TRAINING = ("train", "finetune", "estimate", "find-lr", "show-augment")
BUDGET = {
    "train.limit_train_batches": "1",
    "train.jit_compile": "false",
    "data.limit": "240",
}
TFDS_IMAGES = 2000  # of a split of TFDS, of which none is needed that the limit leaves out
IN_PACKAGE = ("digits", "folder", "csv", "huggingface", "npz", "arrays")  # data that need no TFDS
FINETUNING = {
    "pretrained.handle": "tiny.keras",  # of the workspace, for every pretrained model
    "pretrained.baseline": "false",
    "data.image_size": "32",
}

pytestmark = [
    pytest.mark.slow,
    # Optuna's plugin imports what SQLAlchemy calls outdated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def blocks(page):
    """(language, code) of each fenced block, in order."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        lines = found["code"].splitlines()
        yield found["language"], "\n".join(line.removeprefix(found["indent"]) for line in lines)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder as the pages assume it: released runs, and folders of photos."""
    folder = tmp_path_factory.mktemp("workspace")
    for run in ("digits", "cifar10_hour", "cifar10_small", "cifar10_small_hub"):
        shutil.copytree(ROOT / "saved_models" / run, folder / "saved_models" / run)
    write_photos(folder / "photos", range(12))
    write_photos(folder / "more_photos", range(12, 14))
    sizes = dict(patch_size=8, width=8, depth=4, num_heads=2, mlp_dim=8)
    vit_keras.build_vit(None, image_size=32, num_classes=10, **sizes).save(folder / "tiny.keras")
    return folder


def write_photos(folder, numbers):
    """Some of scikit-learn's images of each digit, as PNG, in a folder for each class."""
    digits = load_digits()
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        indices = np.flatnonzero(digits.target == label)
        for number in numbers:
            pixels = (digits.images[indices[number]] * 255 / 16).round().astype("uint8")
            image = Image.fromarray(pixels).resize((32, 32))
            image.save(folder / str(label) / f"{number}.png")


@pytest.fixture
def page_runner(workspace, monkeypatch, capsys):
    monkeypatch.chdir(workspace)
    monkeypatch.setattr(builtins, "input", lambda _="": "n")
    # The server of the studio is not started, and another one may have its port.
    monkeypatch.setattr(os, "execv", lambda *_: None)
    monkeypatch.setattr(studio_main, "check_port", lambda *_: None)
    servers = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **words: serve(app, words, servers))
    # Hydra closes the log handlers that exist, and absl's the stream that it was made with, which
    # is pytest's own unless it is the current one.
    handler = absl.logging.get_absl_handler().python_handler
    monkeypatch.setattr(handler, "stream", sys.stderr)
    read = tfds.read_split
    monkeypatch.setattr(
        tfds, "read_split", lambda builder, name, *rest: read(builder, part_of(name), *rest)
    )
    full = vit_keras.load_config
    monkeypatch.setattr(vit_keras, "load_config", lambda *words: full(*affordable(words)))
    yield PageRunner(monkeypatch, capsys)
    for server, thread in servers:
        server.should_exit = True
        thread.join()


def part_of(split):
    """TFDS's name of the first images of a split."""
    return f"{split}[:{TFDS_IMAGES}]"


def serve(app, words, servers):
    """As `uvicorn.run`, but the page goes on, and its next blocks ask the service."""
    server = uvicorn.Server(uvicorn.Config(app, **words))
    thread = threading.Thread(target=server.run)
    servers.append((server, thread))
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)


class PageRunner:
    """Executes the blocks of one page."""

    def __init__(self, monkeypatch, capsys):
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.namespace = {}
        self.languages = {
            "python": self.python,
            "sh": self.shell,
            "console": self.console,
            "yaml": self.settings,
            "text": lambda code: None,  # output, or a drawing
        }

    def run(self, language, code):
        assert language in self.languages, f"a block of the language {language!r}:\n{code}"
        self.languages[language](code)

    def python(self, code):
        exec(compile(code, "<block>", "exec"), self.namespace)

    def shell(self, code):
        for line in code.replace("\\\n", "").splitlines():
            status, errors = self.command(line)
            assert status == 0, f"{line}\n{errors}"

    def console(self, code):
        """Commands after `$`; what is printed is compared where it is an error."""
        parts = re.split(r"^\$ ", code, flags=re.MULTILINE)
        assert parts[0] == "", code
        for part in parts[1:]:
            line, _, output = part.partition("\n")
            status, errors = self.command(line)
            expected = [text for text in output.splitlines() if text.startswith("error: ")]
            assert status == (2 if expected else 0), f"{line}\n{errors}"
            assert [text for text in expected if text not in errors.splitlines()] == [], errors

    def settings(self, code):
        if "incoming:" in code:  # of a pipeline
            PipelineSettings(**yaml.safe_load(code))
            return
        OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(yaml.safe_load(code)))

    def command(self, line):
        """(exit status, standard error) of a line of a shell."""
        program, *words = shlex.split(line, comments=True) or [""]
        if program == "vit-keras":
            return self.vit_keras(words)
        if program == "curl" and shutil.which("curl"):
            done = subprocess.run([program, *words], capture_output=True, text=True)
            return done.returncode, done.stderr
        check_line(program, words)
        return 0, ""

    def vit_keras(self, words):
        if words[0] in TRAINING and "--help" not in words:
            words = [words[0], *affordable(words[1:], words[0])]
            if words[-1] == "unavailable":
                return 0, ""
        if words[0] == "pipeline":  # tests/pipeline/ trains one
            words = ["pipeline", "--help"]
        if words[:1] == ["get-data"] and words[1:] != ["--list"]:
            words = ["get-data", "--help"]  # a download
        if words[0] in ("evaluate", "export"):  # of the smallest run
            words = [re.sub("cifar10_(small|hour)", "digits", word) for word in words]
            words += ["--images", "20"]
        self.monkeypatch.setattr(sys, "argv", ["vit-keras", *words])
        self.capsys.readouterr()
        try:
            main()
        except SystemExit as ended:
            return ended.code or 0, self.capsys.readouterr().err
        return 0, self.capsys.readouterr().err


def affordable(words, command="train"):
    """The words of a training with those of the budget; `unavailable` behind those of absent data.

    A word that is there already is replaced, so that each setting is given once.
    """
    words = list(words)
    if any(word.startswith("run.resume=") for word in words):
        return words  # a resumed run keeps the budget that it began with
    fixed = [word for word in words if not re.search(r"=.*[,(]|^-|^hydra", word) or "{" in word]
    if command == "finetune" and not any(word.startswith("recipe=") for word in words):
        fixed.insert(0, "recipe=finetune_digits")
    config = compose.compose(*fixed)  # checks names and types
    if not is_available(config.data.name):
        return [*words, "unavailable"]
    extra = dict(BUDGET)
    if config.stages:
        extra |= {f"stages.{name}.epochs": "1" for name in config.stages}
    elif config.train.epochs:
        extra["train.epochs"] = "1"
    if config.pretrained.handle:
        extra |= FINETUNING
    elif config.model.depth:
        extra["model.depth"] = "1"
    if config.train.folds:
        extra["train.folds"] = "2"
    if "hydra/sweeper=optuna" in words:
        extra["hydra.sweeper.n_trials"] = "2"
    kept = [word for word in words if word.partition("=")[0] not in extra]
    return [*kept, *(f"{name}={value}" for name, value in extra.items())]


def is_available(name):
    """Whether a data set is in a package, a file, or prepared for TFDS on this machine."""
    prepared = Path(os.environ.get("TFDS_DATA_DIR", "no_such_folder"))
    return name in IN_PACKAGE or (prepared / name).is_dir()


def check_line(program, words):
    """A line that installs, builds or reads something of the repository: what it names is there."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words
    elif program == "pip":
        extras = re.findall(r"[\w-]+", "".join(re.findall(r"\[(.*?)\]", " ".join(words))))
        assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras), words
    elif program in ("python", "bash"):
        assert words[0] == "-m" or (ROOT / words[0]).is_file(), words
    else:
        assert program in ("", "source", "cd", "curl", "git", "twine", "pre-commit"), program


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page, page_runner):
    for language, code in blocks(page):
        page_runner.run(language, code)


def test_the_pages_have_code_of_each_kind():
    found = {language for page in PAGES for language, _ in blocks(page)}
    assert found == {"console", "python", "sh", "text", "yaml"}
