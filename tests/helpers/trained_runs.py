"""Short trainings on digits, and readers of their files."""

import csv

import keras
import numpy as np

from vit_keras import load_config, train_model

# Compiling takes TensorFlow longer than a short training. JAX without it computes each operation of
# each step by itself, which takes longer than compiling.
COMPILED = f"train.jit_compile={str(keras.backend.backend() == 'jax').lower()}"
SMALL = (
    "train.epochs=2",
    "data.limit=400",
    "model.depth=1",
    "train.batch_size=32",
    COMPILED,
)


def trained(directory, *overrides):
    return train_model(load_config(*SMALL, *overrides, f"run.dir={directory}"))


def history(directory):
    with open(directory / "history.csv") as file:
        return list(csv.DictReader(file))


def final_state(directory):
    newest = sorted((directory / "checkpoint").glob("*.npz"))[-1]
    with np.load(newest) as archive:
        return {key: archive[key] for key in archive if key != "kept"}


def largest_difference(directory, other):
    """Of the variables of the model and the optimizer after the last epoch of two runs."""
    ours, theirs = final_state(directory), final_state(other)
    assert ours.keys() == theirs.keys()
    return max(float(np.abs(ours[name] - theirs[name].astype("float64")).max()) for name in ours)


def assert_same(directory, other):
    ours, theirs = final_state(directory), final_state(other)
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    timeless = [
        [
            {k: v for k, v in row.items() if "second" not in k and "wait" not in k}
            for row in history(d)
        ]
        for d in (directory, other)
    ]
    assert timeless[0] == timeless[1]
