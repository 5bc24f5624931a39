"""Explain the prediction of an ensemble: the mean of its members' maps, and each of them.

Letters as in `attention_maps.py`; M members.
"""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops

from vit_keras.explain import plots
from vit_keras.explain.attention_maps import rollout
from vit_keras.explain.relevance_maps import mean_of_members, relevance
from vit_keras.model.ensemble import members_of

# The plots of `explanation.py` that are of the features, heads or weights of one model.
OF_ONE_MODEL = (
    *("heads.png", "attention_distance.png", "feature_pca.png"),
    *("position_similarity.png", "patch_filters.png"),
)


@dataclass(frozen=True)
class EnsembleExplanation:
    """Maps of one image.

    Attributes:
        image: (X, Y, C), the model's input.
        probabilities: (classes,) of the ensemble.
        target: class of the relevance maps.
        rollout: (R, S), the mean of the members'.
        relevance: (R, S), the mean of the members', each scaled to a sum of 1.
        members: (M,) names.
        member_rollout: (M, R, S).
        member_relevance: (M, R, S).
    """

    image: np.ndarray
    probabilities: np.ndarray
    target: int
    rollout: np.ndarray
    relevance: np.ndarray
    members: np.ndarray
    member_rollout: np.ndarray
    member_relevance: np.ndarray


def explain_by_members(
    model: keras.Model, image: np.ndarray, target: int | None = None
) -> EnsembleExplanation:
    """An image (X, Y, C) in 0..255 -> its explanation by an ensemble.

    Args:
        model: of `build_ensemble`, or the run of an ensemble's.
        image: one.
        target: class of the relevance maps; None is the class that the ensemble predicts.

    Raises:
        SettingError: as `rollout` and `relevance`.
    """
    batch, members = image[None], members_of(model)
    logits = ops.cast(model(batch, training=False), "float32")
    probabilities = ops.convert_to_numpy(ops.softmax(logits))[0]
    target = int(probabilities.argmax()) if target is None else target
    rollouts = np.stack([rollout(member, batch) for member in members])
    relevances = np.stack([relevance(member, batch, target) for member in members])
    return EnsembleExplanation(
        image=image,
        probabilities=probabilities,
        target=target,
        rollout=rollouts.mean(axis=0)[0],
        relevance=mean_of_members(relevances)[0],
        members=np.array([member.name for member in members]),
        member_rollout=rollouts[:, 0],
        member_relevance=relevances[:, 0],
    )


def plot_members(
    explanation: EnsembleExplanation, class_name: str, title: str, folder: Path
) -> dict[str, str]:
    """Draw the mean maps, and below them the relevance map of each member.

    Returns:
        The plots that only one model has: file name -> why it is left out.
    """
    image = explanation.image
    maps = {
        "rollout": plots.overlay(image, explanation.rollout),
        "relevance": plots.overlay(image, explanation.relevance),
    }
    for name, picture in maps.items():
        plots.save_image(folder / f"{name}.png", picture)
    shown = {
        "input": plots.enlarged(image),
        "attention rollout,\nmean of the members": maps["rollout"],
        f"relevance for {class_name},\nmean of the members": maps["relevance"],
    }
    pairs = zip(explanation.members, explanation.member_relevance, strict=True)
    below = {f"relevance by {name}": plots.overlay(image, one) for name, one in pairs}
    plots.overview(folder / "overview.png", shown, below, title)
    return dict.fromkeys(OF_ONE_MODEL, "each member of the ensemble has its own; explain one")
