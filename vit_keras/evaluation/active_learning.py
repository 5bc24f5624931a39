"""Which images to label next, by their embeddings: three methods of active learning.

Embeddings are compared by their direction among these images: what is common to all is taken off
(`directions`). Every method gives the same images for the same arguments.

n images, D width of the embeddings, K classes.
"""

import heapq
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from vit_keras.runs.abstention import unit_length
from vit_keras.text import counted

# Of TypiClust, as its authors set them.
MAX_CLUSTERS = 500
NEIGHBOURS = 20
PREFILTER = 10  # times the images asked for: the uncertain ones that are clustered (β)
MANY = 20_000  # images from which on k-means takes them in batches
SMALLEST = 1e-6  # weight of an image: k-means takes none of 0


class Choice(NamedTuple):
    """An image to label.

    Attributes:
        image: its row among the embeddings.
        score: what the method ranks by.
        reason: the same in words.
    """

    image: int
    score: float
    reason: str


def directions(vectors: np.ndarray) -> np.ndarray:
    """(n, D) -> (n, D) of length 1, of embeddings that are standardised.

    Photos of one kind have embeddings of nearly one direction for a model that was trained on
    others; the cosine similarity then says little.
    """
    return unit_length(StandardScaler().fit_transform(unit_length(vectors)))


def typical(vectors: np.ndarray, is_labelled: np.ndarray, count: int) -> list[Choice]:
    """(n, D), (n,) -> the most typical image of each cluster, the largest cluster first.

    TypiClust (Hacohen, Dekel & Weinshall 2022, algorithm 1): as many clusters by k-means as there
    are labels and images asked for; those with the fewest labels first, of these the largest. The
    score is the typicality, the inverse of the mean distance to the nearest 20 neighbours in the
    cluster (equation 1). The authors leave out clusters of fewer than five images; here they come
    after the larger ones, as many images may be asked for of few.
    """
    vectors = directions(vectors)
    clusters = _clusters(vectors, min(int(is_labelled.sum()) + count, MAX_CLUSTERS))
    queue, members = [], dict[int, list[Choice]]()
    for cluster in np.unique(clusters):
        inside = np.flatnonzero(clusters == cluster)
        members[cluster] = _by_typicality(vectors, inside, is_labelled)
        size, labels = len(inside), int(is_labelled[inside].sum())
        queue.append((labels, -size, int(cluster)))
    heapq.heapify(queue)
    chosen: list[Choice] = []
    while queue and len(chosen) < count:
        labels, size, cluster = heapq.heappop(queue)
        if members[cluster]:
            chosen.append(members[cluster].pop(0))
            heapq.heappush(queue, (labels + 1, size, cluster))
    return chosen


def _by_typicality(
    vectors: np.ndarray, inside: np.ndarray, is_labelled: np.ndarray
) -> list[Choice]:
    """Those of a cluster without a label, the most typical first."""
    neighbours = min(NEIGHBOURS, len(inside) - 1)
    scores = np.zeros(len(inside))
    if neighbours:
        search = NearestNeighbors(n_neighbors=neighbours).fit(vectors[inside])
        scores = 1 / np.maximum(search.kneighbors()[0].mean(axis=1), SMALLEST)
    reason = f"typical of {counted(len(inside), 'image[s]')}"
    order = [i for i in np.argsort(-scores, kind="stable") if not is_labelled[inside[i]]]
    return [Choice(int(inside[i]), float(scores[i]), reason) for i in order]


def coverage(vectors: np.ndarray, is_labelled: np.ndarray, count: int) -> list[Choice]:
    """(n, D), (n,) -> each time the image that is farthest from all labelled and chosen ones.

    k-center greedy (Sener & Savarese 2018, algorithm 1). The score is that distance, from 0 to 2.
    Without a label the first is the image nearest to the mean, whose score is its distance to it.
    """
    vectors = directions(vectors)
    distances = np.full(len(vectors), np.inf)
    for labelled in np.flatnonzero(is_labelled):
        distances = np.minimum(distances, _distances(vectors, vectors[labelled]))
    chosen: list[Choice] = []
    if not is_labelled.any() and count:
        to_mean = _distances(vectors, vectors.mean(axis=0))
        first = int(to_mean.argmin())
        chosen.append(Choice(first, float(to_mean[first]), "nearest to the mean of all images"))
        distances = _distances(vectors, vectors[first])
    is_taken = is_labelled.copy()
    is_taken[[one.image for one in chosen]] = True
    for _ in range(min(count, int((~is_labelled).sum())) - len(chosen)):
        index = int(np.where(is_taken, -1, distances).argmax())
        score = float(distances[index])
        chosen.append(Choice(index, score, "unlike all labelled and chosen images"))
        is_taken[index] = True
        distances = np.minimum(distances, _distances(vectors, vectors[index]))
    return chosen


def _distances(vectors: np.ndarray, one: np.ndarray) -> np.ndarray:
    """(n, D), (D,) -> Euclidean distances (n,)."""
    return np.linalg.norm(vectors - one, axis=1)


def margin(
    vectors: np.ndarray,
    is_labelled: np.ndarray,
    probabilities: np.ndarray,
    class_names: list[str],
    count: int,
) -> list[Choice]:
    """(n, D), (n,), (n, K) -> different images of small margins, the smallest first.

    Diverse mini-batch active learning (Zhdanov 2019, algorithm 1): 10 times as many images as asked
    for, those of the smallest margin between the two highest probabilities (Scheffer et al. 2001);
    among them the one nearest to each of `count` centres of k-means, for which an image weighs
    1 - margin. The score is the margin.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    best, second = np.take_along_axis(probabilities, order, axis=1).T
    margins = best - second
    free = np.flatnonzero(~is_labelled)
    uncertain = free[np.argsort(margins[free], kind="stable")[: PREFILTER * count]]
    inside = directions(vectors)[uncertain]
    chosen = uncertain[_nearest_to_centres(inside, 1 - margins[uncertain], count)]
    names = [[class_names[label] for label in pair] for pair in order]
    return [
        Choice(
            int(i),
            float(margins[i]),
            f"{names[i][0]} {best[i]:.0%} or {names[i][1]} {second[i]:.0%}",
        )
        for i in chosen[np.argsort(margins[chosen], kind="stable")]
    ]


def _nearest_to_centres(vectors: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """(n, D), (n,) -> `count` indices; of clusters that are missing, the first of the others."""
    if count >= len(vectors):
        return np.arange(len(vectors))
    clusters = _clusters(vectors, count, np.maximum(weights, SMALLEST))
    chosen = []
    for cluster in np.unique(clusters):
        inside = np.flatnonzero(clusters == cluster)
        centre = np.average(vectors[inside], axis=0, weights=weights[inside] + SMALLEST)
        chosen.append(int(inside[_distances(vectors[inside], centre).argmin()]))
    others = np.setdiff1d(np.arange(len(vectors)), chosen)
    return np.array([*chosen, *others[: count - len(chosen)]], int)


def _clusters(vectors: np.ndarray, count: int, weights: np.ndarray | None = None) -> np.ndarray:
    """(n, D) -> the cluster of each image (n,), by k-means."""
    kind = KMeans if len(vectors) < MANY else MiniBatchKMeans
    model = kind(min(count, len(vectors)), n_init=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct images than clusters
        return model.fit(vectors, sample_weight=weights).labels_
