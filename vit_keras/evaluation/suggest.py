"""Suggest which images of many to label next.

    data = suggest_data("saved_models/cifar10_hour", ["photos"])
    found = suggest("saved_models/cifar10_hour", data)
    found.rows[0].path, found.rows[0].reason

n images, D width of the embeddings, K classes.
"""

import logging
import os
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from vit_keras.data import duplicates
from vit_keras.data.image_formats import pillow_warnings_ignored
from vit_keras.data.value_range import preview
from vit_keras.errors import SettingError
from vit_keras.evaluation import active_learning
from vit_keras.evaluation.suggest_data import COVERAGE, MARGIN, TYPICAL, SuggestData
from vit_keras.predict.backbone import find_run
from vit_keras.predict.embedder import Embedder
from vit_keras.predict.reader import Unreadable
from vit_keras.runs.saved_run import SavedRun
from vit_keras.text import counted

STRENGTH = 0.1  # C of the probe, the inverse strength of its regularisation
MAX_ITERATIONS = 300

log = logging.getLogger(__name__)


class Suggestion(NamedTuple):
    """An image to label.

    Attributes:
        path: of the image, as it was named.
        label: nothing, for a person to fill in.
        score: typicality, distance or margin, by the method; see `active_learning`.
        reason: the same in words.
    """

    path: str
    label: str
    score: float
    reason: str


class Suggested(NamedTuple):
    """What `suggest` found.

    Attributes:
        rows: the images to label, the most useful first.
        asked: how many were asked for.
        candidates: how many there were to choose from, without twins.
        twins: images left out, as they are nearly equal to a labelled one or to another.
        unreadable: files that cannot be read.
        method: by which they were chosen.
    """

    rows: list[Suggestion]
    asked: int
    candidates: int
    twins: int
    unreadable: list[Unreadable]
    method: str

    def __str__(self) -> str:
        text = f"{counted(len(self.rows), 'image[s]')} of {self.candidates:,} by {self.method}"
        text += f"; {counted(self.twins, 'near twin[s]')} left out" if self.twins else ""
        bad = len(self.unreadable)
        text += f"; {bad} cannot be read" if bad else ""
        if len(self.rows) < self.asked:
            text += f"; {self.asked:,} were asked for, and there are no more"
        return text


class _Embedded(NamedTuple):
    """The images that could be read: paths, (n, D), grey thumbnails (n, 32, 32, 1)."""

    paths: list[str]
    vectors: np.ndarray
    thumbnails: np.ndarray
    unreadable: list[Unreadable]


def suggest(model: str | Path | SavedRun, data: SuggestData) -> Suggested:
    """Embed the images and choose those to label.

    Args:
        model: the folder of a run or the result of `open_run`, or a handle as of `load_pretrained`.
        data: the images and the method, as `suggest_data` gives them.

    Raises:
        SettingError: no image without a label can be read, or too few that have one.
    """
    embedder = Embedder(model)
    found = _embed(embedder, [*data.labelled, *data.candidates])
    is_labelled = np.array([path in data.labelled for path in found.paths], bool)
    if is_labelled.all():
        raise SettingError(_none_read(data, found.unreadable))
    is_kept = is_labelled | _is_candidate(found.thumbnails, is_labelled)
    kept, is_known = np.flatnonzero(is_kept), is_labelled[is_kept]
    vectors, paths = found.vectors[kept], [found.paths[index] for index in kept]
    if data.method == MARGIN:
        labels = [data.labelled.get(path, "") for path in paths]
        probabilities, names = _probabilities(model, embedder, vectors, labels)
        chosen = active_learning.margin(vectors, is_known, probabilities, names, data.count)
    else:
        choose = {TYPICAL: active_learning.typical, COVERAGE: active_learning.coverage}
        chosen = choose[data.method](vectors, is_known, data.count)
    rows = [Suggestion(paths[one.image], "", one.score, one.reason) for one in chosen]
    free, twins = int((~is_known).sum()), int((~is_kept).sum())
    return Suggested(rows, data.count, free, twins, found.unreadable, data.method)


def _none_read(data: SuggestData, unreadable: list[Unreadable]) -> str:
    first = next(one for one in unreadable if one.source not in data.labelled)
    of_all = counted(len(data.candidates), "image[s]")
    return (
        f"none of {of_all} without a label could be read ({first.source}: {first.reason}); name "
        "images"
    )


def _embed(embedder: Embedder, paths: list[str]) -> _Embedded:
    kept, vectors, thumbnails, unreadable = list[str](), [], [], list[Unreadable]()
    with tqdm(None, "embedding", len(paths), unit=" images") as bar, pillow_warnings_ignored():
        for batch in embedder.batches(paths):
            for source, vector, pixels in zip(*batch, strict=True):
                if isinstance(pixels, Unreadable):
                    unreadable.append(pixels)
                    continue
                kept.append(os.fspath(source))
                vectors.append(vector)
                thumbnails.append(_thumbnail(pixels))
            bar.update(len(batch.sources))
    stacked = np.array(vectors, "float32").reshape(len(kept), embedder.width)
    small = np.array(thumbnails, np.uint8).reshape(-1, *duplicates.THUMBNAIL, 1)
    return _Embedded(kept, stacked, small, unreadable)


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    """(X, Y, C) -> (32, 32), grey; enough to know the same photo again."""
    is_8_bit = pixels.dtype == np.uint8
    grey = pixels.mean(axis=-1).astype(np.uint8) if is_8_bit else preview(pixels)
    return cv2.resize(grey, duplicates.THUMBNAIL, interpolation=cv2.INTER_AREA)


def _is_candidate(thumbnails: np.ndarray, is_labelled: np.ndarray) -> np.ndarray:
    """(n, 32, 32, 1), (n,) -> (n,): the first of each group of near twins without a label."""
    groups = duplicates.group_images(thumbnails, "near")
    assert groups is not None
    is_first = np.zeros(len(groups), bool)
    is_first[np.unique(groups, return_index=True)[1]] = True
    return is_first & ~np.isin(groups, groups[is_labelled])


def _probabilities(
    model: str | Path | SavedRun, embedder: Embedder, vectors: np.ndarray, labels: list[str]
) -> tuple[np.ndarray, list[str]]:
    """Probabilities (n, K) and the names of the classes: by the run, if it knows those labelled.

    A run of other classes, or a model without a head, is a backbone: logistic regression on its
    standardised embeddings is fitted to the labels.
    """
    saved, given = model if isinstance(model, SavedRun) else find_run(model), {*labels} - {""}
    if saved is not None and not saved.is_multilabel and given <= {*saved.class_names}:
        log.info("margins by the classes of %s", saved.path)
        return _by_run(saved, embedder, vectors), list(saved.class_names)
    log.info("margins by a linear probe, fitted to the labels")
    return probe_probabilities(vectors, labels)


def probe_probabilities(vectors: np.ndarray, labels: list[str]) -> tuple[np.ndarray, list[str]]:
    """(n, D), n labels -> probabilities (n, K) and the K classes, by logistic regression.

    Args:
        vectors: embeddings, which are standardised.
        labels: "" of an image that is not fitted.

    Raises:
        SettingError: fewer than two classes.
    """
    known = np.array([label != "" for label in labels], bool)
    given = [label for label in labels if label]
    if len({*given}) < 2:
        raise SettingError(
            "method=margin needs readable images with labels of two classes; use method=typical"
        )
    probe = make_pipeline(
        StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=MAX_ITERATIONS)
    ).fit(vectors[known], given)
    return probe.predict_proba(vectors), probe.classes_.tolist()


def _by_run(saved: SavedRun, embedder: Embedder, vectors: np.ndarray) -> np.ndarray:
    """(n, D) -> (n, K), calibrated by the run's temperature."""
    heads = [layer for layer in embedder.backbone.vit.layers if layer.name == "head"]
    # Without a head, as of an ensemble, the embedding is the logits.
    logits = np.asarray(heads[0](vectors), "float64") if heads else vectors
    return softmax(logits / saved.temperature, axis=1)
