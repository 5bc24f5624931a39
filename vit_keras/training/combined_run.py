"""What runs that are made of other runs have in common: an ensemble of folds, a soup.

n images, K classes.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from vit_keras.data.dataset import SourceData, Split, Splits
from vit_keras.data.image_hashes import ImageHashes
from vit_keras.data.image_input import PREPROCESS, ImageInput
from vit_keras.data.input_pipeline import evaluation_batches
from vit_keras.errors import SettingError
from vit_keras.model.preprocessing import OnBatches
from vit_keras.runs import accuracy, training_images
from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import SavedRun
from vit_keras.text import abbreviated_list
from vit_keras.training import environment
from vit_keras.training.precision import Precision


def check_alike(runs: Sequence[SavedRun]) -> None:
    """Refuse runs of other classes or another input than the first.

    Raises:
        SettingError: naming both runs and what differs.
    """
    first = runs[0]
    for other in runs[1:]:
        for noun, of in (("classes", _classes), ("input", _input)):
            if of(other) != of(first):
                raise SettingError(
                    f"{other.path} and {first.path} have different {noun}, {of(other)} and "
                    f"{of(first)}; name runs of the same"
                )


def _classes(run: SavedRun) -> str:
    return f"{len(run.class_names)} ({abbreviated_list(run.class_names)})"


def _input(run: SavedRun) -> str:
    values = dataclasses.asdict(run.image_input)
    size = "x".join(str(values.pop(name)) for name in ("height", "width", "channels"))
    return f"{size} {' '.join(f'{name}={value}' for name, value in values.items())}"


def logits_of(model: OnBatches, split: Split, batch_size: int) -> np.ndarray:
    """Images (n, x, y, C) -> logits (n, K) float32."""
    values = model.predict(evaluation_batches(split, batch_size, prefetch=2), verbose=0)
    return np.asarray(values[: len(split.labels)], "float32")  # those of devices may be padded


def scores(logits: np.ndarray, labels: np.ndarray, data: SourceData | Splits) -> dict[str, Any]:
    """The test metrics of a run's `metrics.json`."""
    classes, count = len(data.class_names), len(labels)
    is_hit = logits.argmax(axis=-1) == labels
    hits = np.bincount(labels[is_hit], minlength=classes).tolist()
    images = np.bincount(labels, minlength=classes).tolist()
    by_class = accuracy.class_scores(hits, images, data.class_names)
    largest = logits.max(axis=-1)
    totals = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=-1))
    return {
        "test_accuracy": float(is_hit.mean()),
        "test_loss": float((totals - logits[np.arange(count), labels]).mean()),
        "test_images": count,
        "test_accuracy_interval": accuracy.wilson_interval(int(is_hit.sum()), count),
        **{f"test_{name}": value for name, value in by_class.items()},
    }


def describe_run(run: Run, member: SavedRun, splits: Splits, trained_on: ImageHashes) -> None:
    """Write the files, beside the model, by which a run explains itself.

    Args:
        run: of the combined model.
        member: one of the runs that it was made of.
        splits: of the data; their fingerprint is kept.
        trained_on: the images that any member was trained on.
    """
    program = ImageInput.of_run(member.config.data, member.model.input_shape[1:]).program
    if program:
        run.write_text(PREPROCESS, program)
    training_images.write_training_images(run, trained_on)
    precision = Precision("float32", "of a model that is made of others")
    run.write_json("environment.json", environment.describe(precision, splits))
    run.write_json("class_mapping.json", dict(enumerate(splits.class_names)))
