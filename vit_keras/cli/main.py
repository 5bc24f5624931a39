"""The `vit-keras` command: import and run the module of one command.

Nothing here imports Hydra, OmegaConf or Keras, so `vit-keras --help` is immediate.
"""

import importlib
import sys

import vit_keras
from vit_keras.cli.exit_codes import exit_codes
from vit_keras.cli.parent import end_with_parent
from vit_keras.errors import SettingError, did_you_mean

COMMANDS = {
    "train": "train a Vision Transformer from scratch",
    "finetune": "fine-tune a pretrained Vision Transformer",
    "recommend": "recommend what to train on given images, with the reasons",
    "estimate": "estimate parameters, memory and time of a training",
    "find-lr": "find a learning rate by a range test",
    "show-augment": "draw augmented training images",
    "evaluate": "evaluate a run on labelled images and write a report",
    "predict": "classify images with a run's model",
    "embed": "embed images by a model without its head",
    "neighbours": "find the nearest neighbours of an image among embedded ones",
    "probe": "measure a model's features by kNN and a linear probe, before fine-tuning",
    "audit": "find labels that are likely wrong, outliers and near twins",
    "suggest": "suggest which images without a label to label next",
    "drift": "test whether images differ from those that a run was validated on",
    "relabel": "write the labels that were corrected after an audit as a new table",
    "explain": "draw attention and class relevance maps of an image",
    "export": "write a run's model as ONNX, LiteRT, OpenVINO, SavedModel or int8 Keras",
    "soup": "average the weights of runs into one model",
    "runs": "list, compare, describe, tag, zip or delete runs",
    "track": "send runs to MLflow, with all that it does not have of them yet",
    "split": "split a folder of images into train, val and test",
    "get-data": "download and prepare a data set",
    "register": "register a run in MLflow as the challenger of a model",
    "promote": "make a challenger that passes the gate the champion of a model",
    "rollback": "make the version that the champion replaced the champion again",
    "pipeline": "train on new labelled images, and promote the model if it is better",
    "serve": "answer requests over HTTP by a run's ONNX file",
    "studio": "train, evaluate and predict in the browser",
    "completion": "print a completion script for bash, zsh or fish",
}
# `split`, `runs` and the like are modules of this package; the studio builds on it.
MODULES = {"studio": "vit_keras.studio.__main__"}


def main() -> None:
    """Run the command named by the first argument with the rest of the arguments."""
    with exit_codes():
        end_with_parent()
        first, rest = (sys.argv[1:2] or ["--help"])[0], sys.argv[2:]
        if first in ("-h", "--help"):
            print(usage())
            return
        if "--version" in (first, *rest[:1]):
            print(f"vit-keras {vit_keras.__version__}")
            return
        if first not in COMMANDS:
            raise SettingError(f"{first} is not a command{_hint(first)}; see vit-keras --help")
        sys.argv = [f"vit-keras {first}", *rest]
        importlib.import_module(module_name(first)).main()


def module_name(command: str) -> str:
    """The module of a command; its `main()` reads `sys.argv`."""
    return MODULES.get(command, f"vit_keras.cli.{command.replace('-', '_')}")


def usage() -> str:
    """The text of `vit-keras --help`."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: vit-keras COMMAND ...",
            "",
            "Vision Transformers in Keras 3: train, fine-tune and understand them.",
            "",
            "commands:",
            *(f"  {name:<{width}}  {help}" for name, help in COMMANDS.items()),
            "",
            "vit-keras COMMAND --help shows the options of a command; --version shows the version.",
        ]
    )


def _hint(word: str) -> str:
    if "=" in word:
        return f"; write a command before the settings, as in vit-keras train {word}"
    return did_you_mean(word, COMMANDS)
