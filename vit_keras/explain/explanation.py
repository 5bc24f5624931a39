"""Explain a model's prediction of one image, as arrays or as plots in a run's folder.

    from vit_keras import explain
    weights = explain.attention(model, images)       # for each block (B, H, N, N)
    maps = explain.rollout(model, images)            # (B, R, S): rows and columns of patches
    maps = explain.relevance(model, images, 3)       # (B, R, S) for class 3

The methods are in `attention_maps.py`, `relevance_maps.py` and `embedding_maps.py`; letters as
there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.data import decode, splits
from vit_keras.data.dataset import label_text
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.errors import SettingError
from vit_keras.explain import plots
from vit_keras.explain.attention_maps import (
    attention,
    attention_distance,
    check_layer,
    encoder_blocks,
    joint_attention,
    pooled_map,
)
from vit_keras.explain.embedding_maps import feature_pca, patch_filters, position_similarity
from vit_keras.explain.ensemble_maps import EnsembleExplanation, explain_by_members, plot_members
from vit_keras.explain.preflight import (
    EXPLANATION,
    check_layer_of,
    class_index,
    open_run_and_folder,
    test_index,
)
from vit_keras.explain.relevance_maps import relevance
from vit_keras.io import atomic
from vit_keras.model.ensemble import members_of
from vit_keras.model.preprocessing import resize_to_input
from vit_keras.runs.saved_run import SavedRun


@dataclass(frozen=True)
class Explanation:
    """Maps of one image.

    Attributes:
        image: (X, Y, C), the model's input.
        probabilities: (classes,).
        target: class of `relevance`.
        labels: (L,) further classes, each with its map: the other labels of an image with several.
        rollout: (R, S).
        relevance: (R, S).
        label_relevance: (L, R, S), of `labels`.
        features: (R, S, 3), the first three principal components of the last layer as RGB.
        heads: (blocks, H, R, S), attention of the pooled token in each head.
        distance: (blocks, H), mean attention distance in pixels.
    """

    image: np.ndarray
    probabilities: np.ndarray
    target: int
    rollout: np.ndarray
    relevance: np.ndarray
    features: np.ndarray
    heads: np.ndarray
    distance: np.ndarray
    labels: np.ndarray
    label_relevance: np.ndarray


def explain_image(
    model: keras.Model,
    image: Any,
    target: int | None = None,
    thresholds: Sequence[float] | None = None,
) -> Explanation:
    """An image (X, Y, C) in 0..255 -> its `Explanation`.

    Args:
        model: of `build_vit`, or a run's.
        image: one.
        target: class of the relevance map; None is the predicted one.
        thresholds: of a model of several labels, from which probability on an image has each. Then
            every label that it has gets a relevance map, unless `target` names one.

    Raises:
        SettingError: as `attention` and `relevance`.
    """
    batch = np.asarray(image)[None]
    weights = attention(model, batch)
    logits = model(batch, training=False)
    activation = ops.softmax if thresholds is None else ops.sigmoid
    probabilities = ops.convert_to_numpy(activation(ops.cast(logits, "float32")))[0]
    labels = np.empty(0, int)
    if target is None:
        target = int(probabilities.argmax())
        if thresholds is not None:
            found = np.flatnonzero(probabilities >= np.array(thresholds))
            labels = found[found != target]
    maps = [relevance(model, batch, int(label))[0] for label in [target, *labels]]
    return Explanation(
        image=batch[0],
        probabilities=probabilities,
        target=target,
        rollout=pooled_map(model, batch, joint_attention(weights))[0],
        relevance=maps[0],
        features=feature_pca(model, batch)[0],
        heads=np.stack([pooled_map(model, batch, block[0]) for block in weights]),
        distance=attention_distance(model, batch),
        labels=labels,
        label_relevance=np.array(maps[1:]),
    )


def explain_run(
    run: str | Path,
    image: str | Path | int,
    target: str | int | None = None,
    layer: str | None = None,
    output: str | Path | None = None,
) -> Path:
    """Explain the prediction of a run's model for one image, as plots in a folder.

    Of an ensemble, the mean of its members' rollout and relevance maps, and each of them.

    Args:
        run: the folder of a training run.
        image: an image file, or the index of an image in the run's test split.
        target: the class of the relevance map, by name or index; None is the predicted class, or,
            of a run with several labels, every label of the image.
        layer: the block whose heads the overview shows; None is the last one.
        output: the folder to write; None is `<run>/explanations/<image>`.

    Returns:
        The folder.

    Raises:
        SettingError: a setting is invalid, or the model cannot be explained; nothing is written.
    """
    saved, folder = open_run_and_folder(run, image, output)
    target = None if target is None else class_index(saved, target)
    is_ensemble = bool(members_of(saved.model))
    if layer is None and not is_ensemble:
        layer = encoder_blocks(saved.model)[-1].name
    if layer is not None:
        check_layer_of(saved, layer)
        check_layer(saved.model, layer)
    pixels, label = _load_image(saved, image)
    thresholds = None if saved.thresholds is None else saved.thresholds.values
    explanation: Explanation | EnsembleExplanation
    if is_ensemble:
        explanation = explain_by_members(saved.model, pixels, target)
    else:
        explanation = explain_image(saved.model, pixels, target, thresholds)
    title = _predicted(explanation, saved) + ("" if label is None else f", labelled {label}")
    with atomic.atomic_folder(folder, EXPLANATION) as new:
        if isinstance(explanation, EnsembleExplanation):
            class_name = saved.class_names[explanation.target]
            left_out = plot_members(explanation, class_name, title, new)
        else:
            _plot_image(explanation, saved, str(layer), title, new)
            left_out = _plot_embeddings(saved, new)
        np.savez_compressed(new / "maps.npz", **_arrays(explanation))
        report = {**_report(explanation, saved, image, label), "left_out": left_out}
        text = json.dumps(report, indent=2, ensure_ascii=False)
        (new / EXPLANATION).write_text(text + "\n", encoding="utf-8")
    return folder


def _load_image(saved: SavedRun, image: str | Path | int) -> tuple[np.ndarray, str | None]:
    """The image (X, Y, C) uint8, and its class, or labels, by name; None for a file."""
    rows, columns, channels = saved.model.input_shape[1:]
    index = test_index(image)
    if index is None:
        data = saved.config.data
        pixels = decode.read(
            Path(str(image)), (rows, columns), data.resize_mode, PixelOptions.of(data)
        )
        return decode.to_channels(pixels, channels), None
    test = splits.load_splits(saved.config.data, saved.config.train.seed).test
    if index >= len(test.labels):
        raise SettingError(
            f"image={image} is more than the test split has; use 0 to {len(test.labels) - 1}"
        )
    pixels = resize_to_input(test.images[[index]], saved.model)[0]
    return pixels, label_text(test.labels[index], saved.class_names)


def _plot_image(
    explanation: Explanation, saved: SavedRun, layer: str, title: str, folder: Path
) -> None:
    image, names = explanation.image, saved.class_names
    maps = {
        "rollout": plots.overlay(image, explanation.rollout),
        "relevance": plots.overlay(image, explanation.relevance),
        "feature_pca": np.kron(explanation.features, np.ones((16, 16, 1))),
    }
    for name, picture in maps.items():
        plots.save_image(folder / f"{name}.png", picture)
    shown = {
        "input": plots.enlarged(image),
        "attention rollout": maps["rollout"],
        f"relevance for\n{names[explanation.target]}": maps["relevance"],
        **{
            f"relevance for\n{names[index]}": plots.overlay(image, one)
            for index, one in zip(explanation.labels, explanation.label_relevance, strict=True)
        },
        "PCA of the\npatch features": maps["feature_pca"],
    }
    block = [block.name for block in encoder_blocks(saved.model)].index(layer)
    heads = {
        f"{layer}, head {index}" if not index else f"head {index}": plots.overlay(image, head)
        for index, head in enumerate(explanation.heads[block])
    }
    plots.overview(folder / "overview.png", shown, heads, title)
    heads_title = "attention of the pooled token in each head"
    plots.mosaic(folder / "heads.png", explanation.heads, heads_title, ("block", "head"))
    plots.attention_distances(folder / "attention_distance.png", explanation.distance)


def _predicted(explanation: Explanation | EnsembleExplanation, saved: SavedRun) -> str:
    """The predicted class, or all labels, with their probabilities."""
    found = [int(explanation.probabilities.argmax())]
    if saved.thresholds is not None:
        is_there = explanation.probabilities >= np.array(saved.thresholds.values)
        found = [int(index) for index in np.flatnonzero(is_there)]
    probabilities = explanation.probabilities
    shown = [f"{saved.class_names[index]} ({probabilities[index]:.0%})" for index in found]
    return ", ".join(shown) or "no label"


def _plot_embeddings(saved: SavedRun, folder: Path) -> dict[str, str]:
    """The plots that need no image: file name -> reason for those that the model does not allow."""
    left_out = {}
    try:
        similarity = position_similarity(saved.model)
        title = "cosine similarity of position embeddings: each patch to all others"
        path = folder / "position_similarity.png"
        plots.mosaic(path, similarity, title, ("row of the patch", "column of the patch"))
    except SettingError as error:
        left_out["position_similarity.png"] = str(error)
    try:
        plots.filters(folder / "patch_filters.png", patch_filters(saved.model))
    except SettingError as error:
        left_out["patch_filters.png"] = str(error)
    return left_out


def _arrays(explanation: Explanation | EnsembleExplanation) -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in vars(explanation).items()}


def _report(
    explanation: Explanation | EnsembleExplanation,
    saved: SavedRun,
    image: str | Path | int,
    label: str | None,
) -> dict[str, Any]:
    names = saved.class_names
    order = explanation.probabilities.argsort()[::-1][:5]
    return {
        "image": str(image),
        "label": label,
        "predicted": {names[i]: round(float(explanation.probabilities[i]), 6) for i in order},
        "relevance_for": names[explanation.target],
        **({} if saved.thresholds is None else {"labels": _predicted(explanation, saved)}),
    }
