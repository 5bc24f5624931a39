"""The three methods against NumPy's own computations, and on clusters that are known."""

import numpy as np
import pytest

from vit_keras.evaluation import active_learning

CLUSTERS, PER_CLUSTER = 8, 30


@pytest.fixture(scope="module")
def clustered():
    """(vectors, the cluster of each): eight groups of directions, far from one another."""
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(16, 16)))[0][:CLUSTERS]
    clusters = np.repeat(np.arange(CLUSTERS), PER_CLUSTER)
    vectors = centres[clusters] + 0.05 * rng.normal(size=(len(clusters), 16))
    order = rng.permutation(len(clusters))
    return vectors[order] * rng.uniform(1, 9, (len(clusters), 1)), clusters[order]


def directions(vectors):
    """By NumPy alone: length 1, each number with mean 0 and variance 1, length 1."""
    unit = vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    standardised = (unit - unit.mean(axis=0)) / unit.std(axis=0)
    return standardised / np.sqrt((standardised**2).sum(axis=1, keepdims=True))


def none_of(vectors):
    return np.zeros(len(vectors), bool)


def indices(chosen):
    return [one.image for one in chosen]


@pytest.mark.parametrize("method", [active_learning.typical, active_learning.coverage])
def test_as_many_images_as_clusters_are_one_of_each(method, clustered):
    vectors, clusters = clustered
    chosen = indices(method(vectors, none_of(vectors), CLUSTERS))
    assert sorted(clusters[chosen]) == list(range(CLUSTERS))


@pytest.mark.parametrize("method", [active_learning.typical, active_learning.coverage])
def test_clusters_that_have_a_label_come_last(method, clustered):
    vectors, clusters = clustered
    is_labelled = none_of(vectors)
    is_labelled[[np.flatnonzero(clusters == cluster)[0] for cluster in range(5)]] = True
    chosen = indices(method(vectors, is_labelled, 3))
    assert sorted(clusters[chosen]) == [5, 6, 7]
    everything = indices(method(vectors, is_labelled, 1000))
    assert sorted(everything) == np.flatnonzero(~is_labelled).tolist()


@pytest.mark.parametrize("labels", [0, 4])
def test_coverage_is_k_center_greedy(labels):
    """By brute force: all distances are computed anew for each choice."""
    vectors = np.random.default_rng(1).normal(size=(60, 5))
    is_labelled = np.arange(60) < labels
    chosen = active_learning.coverage(vectors, is_labelled, 12)
    unit = directions(vectors)
    distances = np.sqrt(((unit[:, None] - unit[None]) ** 2).sum(axis=-1))
    centres = list(range(labels))
    if not labels:
        centres = [int(((unit - unit.mean(axis=0)) ** 2).sum(axis=1).argmin())]
        assert chosen.pop(0).image == centres[0]
    for one in chosen:
        nearest = [min(distances[i, j] for j in centres) for i in range(60)]
        assert one.image == int(np.argmax(nearest))
        assert one.score == pytest.approx(max(nearest))
        centres.append(one.image)


def test_typicality_is_the_inverse_of_the_mean_distance_to_twenty_neighbours(clustered):
    vectors, clusters = clustered
    unit = directions(vectors)
    for one in active_learning.typical(vectors, none_of(vectors), CLUSTERS):
        inside = unit[clusters == clusters[one.image]]
        distances = np.sort(np.linalg.norm(inside[:, None] - inside[None], axis=-1), axis=1)
        typicality = 1 / distances[:, 1:21].mean(axis=1)  # without the image itself
        assert one.score == pytest.approx(typicality.max())


def test_margins_are_small_and_of_all_clusters(clustered):
    """Half of the images of each cluster are uncertain; only these are chosen, a few of each."""
    vectors, clusters = clustered
    rng = np.random.default_rng(2)
    is_sure = np.arange(len(vectors)) % 2 == 0
    best = np.where(is_sure, 0.9, rng.uniform(0.45, 0.5, len(vectors)))
    probabilities = np.stack([best, 0.95 - best, np.full(len(best), 0.05)], axis=1)
    is_labelled = np.arange(len(vectors)) < 20
    names = ["a", "b", "c"]
    chosen = active_learning.margin(vectors, is_labelled, probabilities, names, 10)
    ranked = np.sort(probabilities, axis=1)
    for one in chosen:
        assert not is_sure[one.image]
        assert not is_labelled[one.image]
        assert one.score == pytest.approx(ranked[one.image, -1] - ranked[one.image, -2])
    assert [one.score for one in chosen] == sorted(one.score for one in chosen)
    assert {*clusters[indices(chosen)]} == {*range(CLUSTERS)}
    a_and_b = {f"{one.reason.split()[0]}{one.reason.split()[3]}" for one in chosen}
    assert a_and_b <= {"ab", "ba"}


def test_equal_images_are_no_error_and_none_comes_twice():
    vectors = np.ones((30, 4))
    probabilities = np.full((30, 2), 0.5)
    given = none_of(vectors)
    for chosen in (
        active_learning.typical(vectors, given, 10),
        active_learning.coverage(vectors, given, 10),
        active_learning.margin(vectors, given, probabilities, ["a", "b"], 10),
    ):
        assert len({*indices(chosen)}) == 10
