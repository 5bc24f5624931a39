"""Explanations: what a trained ViT looks at, as arrays in a notebook and as pictures in a run.

    from vit_keras import explain
    weights = explain.attention(model, images)      # for each block, (B, H, N, N)
    heat = explain.rollout(model, images)           # (B, R, S): rows and columns of patches
    heat = explain.relevance(model, images, 3)      # the same, for class 3

The maths is in `attention_maps.py`, `relevance.py` and `embeddings.py`; letters as there.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras.data import decode, splits
from vit_keras.errors import SettingError
from vit_keras.explain import plots
from vit_keras.explain.attention_maps import (
    attention,
    attention_distance,
    blocks,
    joint_attention,
    named,
    pooled_map,
)
from vit_keras.explain.embedding_maps import feature_pca, patch_filters, position_similarity
from vit_keras.explain.preflight import EXPLANATION, explanation_place, image_number, target_index
from vit_keras.explain.relevance_maps import relevance
from vit_keras.io import atomic
from vit_keras.model.preprocessing import resize_to_input
from vit_keras.predict.inputs import in_channels
from vit_keras.runs.saved_run import SavedRun


@dataclass(frozen=True)
class Explanation:
    """One image and what the model makes of it.

    Attributes:
        image: (X, Y, C) as the model got it.
        probabilities: (classes,).
        target: the class that `relevance` is for.
        rollout: (R, S).
        relevance: (R, S).
        features: (R, S, 3), the main directions of the last layer as colours.
        heads: (blocks, H, R, S), where the pooled token looks, by one head of one block alone.
        distance: (blocks, H), in pixels.
    """

    image: np.ndarray
    probabilities: np.ndarray
    target: int
    rollout: np.ndarray
    relevance: np.ndarray
    features: np.ndarray
    heads: np.ndarray
    distance: np.ndarray


def explain_image(model: keras.Model, image: Any, target: int | None = None) -> Explanation:
    """An image (X, Y, C) in 0..255 -> its `Explanation`; `target` None is the predicted class.

    Raises:
        SettingError: as `attention` and `relevance`.
    """
    batch = np.asarray(image)[None]
    weights = attention(model, batch)
    logits = model(batch, training=False)
    probabilities = ops.convert_to_numpy(ops.softmax(ops.cast(logits, "float32")))[0]
    chosen = int(probabilities.argmax()) if target is None else target
    return Explanation(
        image=batch[0],
        probabilities=probabilities,
        target=chosen,
        rollout=pooled_map(model, joint_attention(weights))[0],
        relevance=relevance(model, batch, chosen)[0],
        features=feature_pca(model, batch)[0],
        heads=np.stack([pooled_map(model, block[0]) for block in weights]),
        distance=attention_distance(model, batch),
    )


def explain_run(
    run: str | Path,
    image: str | Path | int,
    target: str | int | None = None,
    layer: str | None = None,
    output: str | Path | None = None,
) -> Path:
    """Draw what a run's model looks at in one image; gives the folder of the pictures.

    Args:
        run: the folder of a training run.
        image: an image file, or the number of an image in the run's test split.
        target: the class whose relevance is drawn, by name or number; None is the predicted one.
        layer: the block whose heads the overview shows; None is the last one.
        output: the folder to make; None is `<run>/explanations/<image>`.

    Raises:
        SettingError: what was asked for cannot be had; nothing is written then.
    """
    saved, folder = explanation_place(run, image, output)
    index = None if target is None else target_index(saved, target)
    name = blocks(saved.model)[-1].name if layer is None else named(saved.model, layer)
    pixels, truth = _pixels(saved, image)
    explanation = explain_image(saved.model, pixels, index)
    with atomic.atomic_folder(folder, EXPLANATION) as new:
        _draw(explanation, saved, name, truth, new)
        np.savez_compressed(new / "maps.npz", **_maps(explanation))
        report = _report(explanation, saved, image, truth) | {"left_out": _draw_learnt(saved, new)}
        text = json.dumps(report, indent=2, ensure_ascii=False)
        (new / EXPLANATION).write_text(text + "\n", encoding="utf-8")
    return folder


def _pixels(saved: SavedRun, image: str | Path | int) -> tuple[np.ndarray, int | None]:
    """The image as the model takes it, and its class where that is known."""
    rows, columns, channels = saved.model.input_shape[1:]
    number = image_number(image)
    if number is None:
        pixels = decode.read(Path(str(image)), (rows, columns), saved.config.data.resize_mode)
        return in_channels(pixels, channels), None
    test = splits.load_splits(saved.config.data, saved.config.train.seed).test
    if number >= len(test.labels):
        raise SettingError(
            f"image={image} is more than the test split has; use 0 to {len(test.labels) - 1}"
        )
    return resize_to_input(test.images[[number]], saved.model)[0], int(test.labels[number])


def _draw(
    explanation: Explanation, saved: SavedRun, layer: str, truth: int | None, folder: Path
) -> None:
    image, names = explanation.image, saved.class_names
    maps = {
        "rollout": plots.overlay(image, explanation.rollout),
        "relevance": plots.overlay(image, explanation.relevance),
        "feature_pca": np.kron(explanation.features, np.ones((16, 16, 1))),
    }
    for name, picture in maps.items():
        plots.picture(folder / f"{name}.png", picture)
    best = int(explanation.probabilities.argmax())
    known = "" if truth is None else f", labelled {names[truth]}"
    shown = {
        "the image": plots.enlarged(image),
        "where attention flows from\n(attention rollout)": maps["rollout"],
        f"what speaks for {names[explanation.target]}\n(relevance)": maps["relevance"],
        "patches that are alike\n(PCA of the features)": maps["feature_pca"],
    }
    of_layer = explanation.heads[[block.name for block in blocks(saved.model)].index(layer)]
    heads = np.stack([plots.overlay(image, head) for head in of_layer])
    title = f"{names[best]} ({explanation.probabilities[best]:.0%}){known}"
    plots.overview(folder / "overview.png", shown, heads, layer, title)
    all_heads = "where each head of each block looks"
    plots.mosaic(folder / "heads.png", explanation.heads, all_heads, ("block", "head"))
    plots.distances(folder / "attention_distance.png", explanation.distance)


def _draw_learnt(saved: SavedRun, folder: Path) -> dict[str, str]:
    """The pictures that no image is needed for; those that this model has not, with the reason."""
    left_out = {}
    try:
        similarity = position_similarity(saved.model)
        title = "position embeddings: likeness of each patch's to all others"
        place = folder / "position_similarity.png"
        plots.mosaic(place, similarity, title, ("row of the patch", "column of the patch"))
    except SettingError as error:
        left_out["position_similarity.png"] = str(error)
    try:
        plots.filters(folder / "patch_filters.png", patch_filters(saved.model))
    except SettingError as error:
        left_out["patch_filters.png"] = str(error)
    return left_out


def _maps(explanation: Explanation) -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in vars(explanation).items()}


def _report(
    explanation: Explanation, saved: SavedRun, image: str | Path | int, truth: int | None
) -> dict[str, Any]:
    names = saved.class_names
    order = explanation.probabilities.argsort()[::-1][:5]
    return {
        "image": str(image),
        "label": None if truth is None else names[truth],
        "predicted": {names[i]: round(float(explanation.probabilities[i]), 6) for i in order},
        "relevance_for": names[explanation.target],
    }
