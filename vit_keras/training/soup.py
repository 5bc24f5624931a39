"""A model soup: one model of the average weights of several runs.

The greedy soup of Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned
models improves accuracy without increasing inference time", Recipe 1. The runs should have begun
with the same weights, as those of a sweep over a fine-tuning have.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from vit_keras.config.schema import RunConfig
from vit_keras.data.dataset import Splits
from vit_keras.data.splits import load_splits
from vit_keras.errors import SettingError
from vit_keras.export.serving_model import in_float32
from vit_keras.logs import log
from vit_keras.model.architecture import RATES
from vit_keras.model.preprocessing import OnBatches
from vit_keras.model.vit import describe
from vit_keras.runs import run_dir, run_end
from vit_keras.runs.saved_run import MODEL, SavedRun
from vit_keras.training import freezing
from vit_keras.training.combined_run import check_alike, describe_run, logits_of, scores
from vit_keras.training.soup_checks import check_soup
from vit_keras.training.trainer import Result

SOUP = "soup.json"
Weights = Sequence[np.ndarray]


class Soup(NamedTuple):
    """Average weights, the positions of the runs that they are of, and what they reach."""

    weights: Weights
    ingredients: list[int]
    accuracy: float  # on validation


def make_soup(runs: Sequence[str | Path], output: str | Path | None = None) -> Result | None:
    """Average the weights of those runs that together validate best, and write them as a run.

    Args:
        runs: folders of runs of one architecture, on the same data.
        output: the new run's folder; None is `soup-<time>` beside the first run.

    Returns:
        the run; None, and nothing is written, if no average beats the best run on validation.

    Raises:
        SettingError: as `check_soup`; or the architectures, classes or inputs differ.
    """
    saved = check_soup(runs)
    place = RunConfig(dir=None if output is None else str(output), root=str(saved[0].path.parent))
    run_dir.check_free(place)
    check_alike(saved)
    _check_architectures(saved)
    model, config = in_float32(saved[0].model), saved[0].config
    weights = [[np.asarray(one) for one in run.model.get_weights()] for run in saved]
    splits = load_splits(config.data, config.train.seed)
    on_batches = OnBatches(model)  # compiled once

    def validate(values: Weights) -> float:
        model.set_weights(values)
        logits = logits_of(on_batches, splits.validation, int(config.train.batch_size))
        return float((logits.argmax(axis=-1) == splits.validation.labels).mean())

    singles = [validate(values) for values in weights]
    soup = greedy_soup(weights, singles, validate)
    for index in _by_accuracy(singles):
        used = "in the soup" if index in soup.ingredients else "left out"
        log.info("%s: validation accuracy %.4f, %s", saved[index].path, singles[index], used)
    if soup.accuracy <= max(singles):
        log.info("no average beats the best run on validation; nothing is written")
        return None
    model.set_weights(soup.weights)
    return _write(place, saved, singles, soup, model, splits)


def greedy_soup(
    weights: Sequence[Weights], accuracies: Sequence[float], validate: Callable[[Weights], float]
) -> Soup:
    """Recipe 1: from the best model on, add each that does not make the average worse.

    Args:
        weights: of each model, array by array.
        accuracies: of each on validation.
        validate: gives that of an average.
    """
    first, *others = _by_accuracy(accuracies)
    total = [np.asarray(one, "float64") for one in weights[first]]
    soup = Soup(weights[first], [first], accuracies[first])
    for index in others:
        sums = [one + other for one, other in zip(total, weights[index], strict=True)]
        ingredients = [*soup.ingredients, index]
        average = [(one / len(ingredients)).astype("float32") for one in sums]
        accuracy = validate(average)
        if accuracy >= soup.accuracy:
            total, soup = sums, Soup(average, ingredients, accuracy)
    return soup


def _by_accuracy(accuracies: Sequence[float]) -> list[int]:
    return np.argsort(-np.array(accuracies), kind="stable").tolist()


def _check_architectures(saved: Sequence[SavedRun]) -> None:
    """Refuse models in which the same weight is another part."""
    first = _architecture(saved[0].model)
    for one in saved[1:]:
        for name, value in _architecture(one.model).items():
            if value != first[name]:
                raise SettingError(
                    f"{one.path} and {saved[0].path} have different architectures, {name}={value} "
                    f"and {name}={first[name]}; a soup is of one, begun with the same weights"
                )


def _architecture(model: keras.Model) -> dict[str, Any]:
    """What the model is built of; rates of dropout are of its training alone."""
    return {name: value for name, value in describe(model).items() if name not in RATES}


def _write(
    place: RunConfig,
    saved: Sequence[SavedRun],
    singles: Sequence[float],
    soup: Soup,
    model: keras.Model,
    splits: Splits,
) -> Result:
    chosen = [saved[index] for index in soup.ingredients]
    batch_size = int(chosen[0].config.train.batch_size)
    metrics = {
        **scores(logits_of(OnBatches(model), splits.test, batch_size), splits.test.labels, splits),
        "best_val_accuracy": soup.accuracy,
        "best_single_val_accuracy": max(singles),
        "ingredients": len(chosen),
        "validation_images": len(splits.validation.labels),
        "params": freezing.count_params(model),
    }
    origin = {
        "method": "greedy soup (Wortsman et al. 2022, Recipe 1)",
        "ingredients": [str(one.path) for one in chosen],
        "val_accuracies": {str(one.path): x for one, x in zip(saved, singles, strict=True)},
    }
    run = run_dir.create(replace(chosen[0].config, name="soup", run=place))
    try:
        with run_end.recorded(run, lambda: (run_end.FINISHED, "")):
            with run.atomic_write(MODEL) as path:
                model.save(path)
            describe_run(run, chosen[0], splits, splits.train_hashes)
            run.write_json(SOUP, origin)
            run.write_json("metrics.json", metrics)
    finally:
        run.close()
    log.info(
        "soup of %d runs: validation accuracy %.4f (%.4f of the best run), test accuracy %.4f\n"
        "run: %s",
        *(len(chosen), soup.accuracy, max(singles), metrics["test_accuracy"], run.path),
    )
    return Result(run.path, metrics)
