"""What a model's features are worth before fine-tuning: kNN accuracy and a linear probe.

    report = probe("saved_models/cifar10_hour", ["data=digits"])
    report["knn"]["accuracy"], report["linear"]["accuracy"]

Neither trains the model: its features are computed once. The test split is used for the final two
accuracies alone; what there is to choose is chosen on the validation split.

n and m images, D width of the features, K classes.
"""

import copy
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from vit_keras import validators
from vit_keras.data.dataset import Splits
from vit_keras.data.lazy_images import report_decode_failures
from vit_keras.data.splits import load_splits
from vit_keras.errors import SettingError
from vit_keras.evaluation.logits import Classifier
from vit_keras.evaluation.probe_data import NEIGHBOURS, probe_config
from vit_keras.predict.backbone import Backbone, open_backbone
from vit_keras.runs.abstention import unit_length
from vit_keras.runs.accuracy import wilson_interval
from vit_keras.text import counted, format_table

TEMPERATURE = 0.07  # of the votes of neighbours (Wu et al. 2018; Caron et al. 2021)
STRENGTHS = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)  # C: the inverse strength of the regularisation
MAX_ITERATIONS = 300
BATCH_SIZE = 64
CHUNK = 1000  # images whose similarities are in memory


def probe(
    source: str | Path, overrides: Sequence[str] = (), neighbours: int = NEIGHBOURS
) -> dict[str, Any]:
    """Measure the features of a run or of pretrained weights on labelled images.

    Args:
        source: the folder of a run, or a handle as of `load_pretrained`.
        overrides: the data, such as `["data=cifar10"]`; none are the run's own.
        neighbours: k of kNN.

    Returns:
        accuracies on the validation and on the test split, with the 95% interval (Wilson) of those
        on the test split, and seconds.

    Raises:
        SettingError: as `probe_config`; or the images have no labels, or other channels.
    """
    validators.check_int("neighbours", neighbours)
    config = probe_config(source, overrides)
    backbone = open_backbone(source, config.data.image_size)
    # Files are decoded at the size of the model, arrays are resized by it.
    size = config.data.image_size or list(backbone.input_shape[:2])
    splits = load_splits(replace(config.data, image_size=size), config.train.seed)
    _check_splits(splits, backbone, config.data.name)
    started = time.perf_counter()
    with report_decode_failures(splits):
        features = _features(splits, backbone, config.data.prefetch)
    seconds = time.perf_counter() - started
    labels = {name: split.labels for name, split in splits.as_dict().items()}
    return {
        "model": backbone.source,
        "fingerprint": backbone.fingerprint,
        "data": config.data.name,
        "data_fingerprint": splits.fingerprint,
        "classes": len(splits.class_names),
        "width": backbone.width,
        "images": splits.image_counts,
        "feature_seconds": seconds,
        "knn": _knn(features, labels, len(splits.class_names), neighbours),
        "linear": _linear(features, labels),
    }


def describe(report: dict[str, Any]) -> str:
    """A table of the two accuracies, and a line on the features."""
    rows = [("", "validation", "test", "95% interval", "seconds")]
    knn, linear = report["knn"], report["linear"]
    named = (f"kNN, k = {knn['neighbours']}", knn), (f"linear probe, C = {linear['C']:g}", linear)
    for name, found in named:
        low, high = found["interval"]
        rows.append(
            (
                name,
                f"{found['validation_accuracy']:.4f}",
                f"{found['accuracy']:.4f}",
                f"{low:.4f} to {high:.4f}",
                f"{found['seconds']:.1f}",
            )
        )
    counts = report["images"]
    images = counted(sum(counts.values()), "image[s]")
    return (
        f"{format_table(rows)}\nfeatures of {images} of {report['data']} ({counts['train']:,} to "
        f"learn from, {counts['validation']:,} to choose C by, {counts['test']:,} to test on), "
        f"{report['width']} numbers each, in {report['feature_seconds']:.1f} s"
    )


def _check_splits(splits: Splits, backbone: Backbone, name: str) -> None:
    channels, expected = splits.train.images.shape[-1], backbone.input_shape[-1]
    if channels not in (1, expected):
        raise SettingError(
            f"data.name={name} has {channels} channels and {backbone.source} takes {expected}; "
            "choose other data or another model"
        )
    unlabelled = sum(int((split.labels < 0).sum()) for split in splits.as_dict().values())
    if unlabelled:
        raise SettingError(
            f"data.name={name} has no label for {counted(unlabelled, 'image[s]')}; choose data "
            "with labels"
        )


def _features(splits: Splits, backbone: Backbone, prefetch: int) -> dict[str, np.ndarray]:
    """The features (n, D) of each split."""
    total = sum(splits.image_counts.values())
    with tqdm(total=total, unit=" images", delay=2, disable=None) as bar:
        classifier = Classifier(backbone.vit, BATCH_SIZE, prefetch, bar)
        return {
            name: classifier.outputs(split, name).features
            for name, split in splits.as_dict().items()
        }


def _knn(
    features: dict[str, np.ndarray], labels: dict[str, np.ndarray], classes: int, neighbours: int
) -> dict[str, Any]:
    started = time.perf_counter()
    bank = unit_length(features["train"])
    predicted = {
        name: knn_predict(bank, labels["train"], unit_length(features[name]), classes, neighbours)
        for name in ("validation", "test")
    }
    return {
        "neighbours": min(neighbours, len(bank)),
        **_accuracies(predicted, labels),
        "seconds": time.perf_counter() - started,
    }


def knn_predict(
    bank: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int, neighbours: int
) -> np.ndarray:
    """(m, D) and (m,) with labels, (n, D) without -> the class of each (n,); all of length 1.

    The k nearest by cosine similarity s vote for their classes, each with exp(s / 0.07): weighted
    kNN as of Wu et al. 2018, section 3.4, and of DINO (Caron et al. 2021, section 3).
    """
    k = min(neighbours, len(bank))
    found = []
    for first in range(0, len(queries), CHUNK):
        cosines = queries[first : first + CHUNK] @ bank.T
        near = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        votes = np.exp(np.take_along_axis(cosines, near, axis=1).astype("float64") / TEMPERATURE)
        counts = np.zeros((len(cosines), classes))
        np.add.at(counts, (np.arange(len(cosines))[:, None], labels[near]), votes)
        found.append(counts.argmax(axis=1))
    return np.concatenate(found)


def _linear(features: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> dict[str, Any]:
    started = time.perf_counter()
    scaler = StandardScaler().fit(features["train"])
    scaled = {name: scaler.transform(one) for name, one in features.items()}
    fitted, by_strength = fit_probe(
        scaled["train"], labels["train"], scaled["validation"], labels["validation"]
    )
    predicted = {name: fitted.predict(scaled[name]) for name in ("validation", "test")}
    return {
        "C": fitted.C,
        "validation_accuracy_by_C": by_strength,
        **_accuracies(predicted, labels),
        "seconds": time.perf_counter() - started,
    }


def fit_probe(
    train: np.ndarray, labels: np.ndarray, validation: np.ndarray, validation_labels: np.ndarray
) -> tuple[LogisticRegression, dict[str, float]]:
    """(m, D) and (m,), (n, D) and (n,) -> the probe of the best C, and the accuracy of each C.

    The accuracies are those on the validation images; of equal ones, the smallest C counts.
    """
    model = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True)
    best, accuracies = model, dict[str, float]()
    for strength in STRENGTHS:
        model.set_params(C=strength)
        with warnings.catch_warnings():
            # A fit that ends early is regularised more; the validation images decide on it too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(train, labels)
        accuracy = float(np.mean(model.predict(validation) == validation_labels))
        if accuracy > max(accuracies.values(), default=-1):
            best = copy.deepcopy(model)
        accuracies[f"{strength:g}"] = accuracy
    return best, accuracies


def _accuracies(predicted: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> dict[str, Any]:
    hits = {name: int((one == labels[name]).sum()) for name, one in predicted.items()}
    images = len(labels["test"])
    return {
        "validation_accuracy": hits["validation"] / len(labels["validation"]),
        "accuracy": hits["test"] / images,
        "interval": wilson_interval(hits["test"], images),
    }
