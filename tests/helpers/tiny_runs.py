"""A tiny pretrained ViT and its fine-tuning on digits."""

import shutil

import numpy as np

from helpers.trained_runs import COMPILED
from vit_keras import build_vit, load_config, train_model
from vit_keras.runs import run_dir
from vit_keras.training import checkpoint

DEPTH = 2
# A stage that the recipe does not have.
LORA = "+stages.lora={trainable: lora, epochs: 2, lora_rank: 2, learning_rate: 0.01}"


def tiny_vit(path, image_size=8):
    """A file of ours: a ViT trained on something else, no weight of it at its initial value."""
    sizes = dict(patch_size=4, width=8, depth=DEPTH, num_heads=2, mlp_dim=16)
    vit = build_vit(None, image_size=image_size, num_classes=4, **sizes)
    rng = np.random.default_rng(0)
    for weight in vit.weights:
        weight.assign(weight + rng.normal(0, 0.2, weight.shape))
    vit.save(path)
    return path


def tuning(file, *overrides):
    """The configuration of a small fine-tuning of `file` in the stages `head` and `all`."""
    return load_config(
        "recipe=finetune_digits",
        f"pretrained.handle={file}",
        "pretrained.baseline=false",
        "data.limit=120",
        COMPILED,
        "stages.head.epochs=2",
        "stages.all.epochs=2",
        *overrides,
    )


def tuned(directory, file, *overrides):
    return train_model(tuning(file, *overrides, f"run.dir={directory}"))


def resumed(directory):
    config = run_dir.config_of_run(str(directory))
    config.run.resume = str(directory)
    return train_model(config)


def keep_snapshots(monkeypatch, folder, look=lambda model: None):
    """Copy each run as a kill right after each checkpoint would leave it, to folder/<epoch>.

    Gives what `look` sees then of the model that is trained: epoch -> it.
    """
    save, seen = checkpoint.save_checkpoint, {}

    def save_and_copy(run, epoch, model, state):
        save(run, epoch, model, state)
        shutil.copytree(run.path, folder / str(epoch))
        seen[epoch] = look(model)

    monkeypatch.setattr(checkpoint, "save_checkpoint", save_and_copy)
    return seen


def state_of(directory, group="model"):
    """What the newest checkpoint of a run has: path -> raw value; group `model` or `optimizer`."""
    newest = max((directory / "checkpoint").glob("*.npz"))
    with np.load(newest) as archive:
        kept = {key: archive[key] for key in archive if key.startswith(f"{group}/")}
    return {key.split("/", 2)[2]: value for key, value in kept.items()}


def layers_of(paths):
    return {path.partition("/")[0] for path in paths}
