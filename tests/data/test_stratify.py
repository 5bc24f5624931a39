"""Stratified draws: groups stay whole, and classes keep their share as well as groups allow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vit_keras.data.stratify import assign_parts, stratified_sample

CLASSES = 4


@st.composite
def labelled_groups(draw, across_classes):
    """(n,) labels and (n,) groups, some of one image and some of many."""
    labels = np.array(draw(st.lists(st.integers(0, CLASSES - 1), min_size=2, max_size=60)))
    most = draw(st.integers(0, len(labels)))
    groups = draw(st.lists(st.integers(0, most), min_size=len(labels), max_size=len(labels)))
    keys = groups if across_classes else list(zip(labels.tolist(), groups, strict=True))
    return labels, np.unique(np.array(keys), axis=0, return_inverse=True)[1].ravel()


@st.composite
def quotas_of(draw, labels, parts):
    """(K, P): how the images of each class are to be divided among the parts."""
    sizes = np.bincount(labels, minlength=CLASSES)
    rows = []
    for size in sizes.tolist():
        cuts = sorted(draw(st.integers(0, size)) for _ in range(parts - 1))
        rows.append(np.diff([0, *cuts, size]))
    return np.array(rows)


def assigned(labels, groups, quotas, seed, in_turn):
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in range(CLASSES)]
    return assign_parts(labels, groups, orders, quotas, rng, in_turn)


def assert_groups_are_whole(groups, parts):
    assert all(len({*parts[groups == group].tolist()}) == 1 for group in {*groups.tolist()})


@settings(deadline=None, derandomize=True, max_examples=300)
@given(data=st.data(), seed=st.integers(0, 9), parts=st.integers(2, 3), in_turn=st.booleans())
def test_no_group_is_in_two_parts_and_shares_are_kept(data, seed, parts, in_turn):
    across = data.draw(st.booleans())
    labels, groups = data.draw(labelled_groups(across))
    quotas = data.draw(quotas_of(labels, parts))
    found = assigned(labels, groups, quotas, seed, in_turn)
    assert {*found.tolist()} <= {*range(parts)}
    assert_groups_are_whole(groups, found)
    if not across:
        assert_shares(labels, groups, quotas, found)
    assert_no_move_helps(labels, groups, quotas, found)


def assert_shares(labels, groups, quotas, found):
    """Exact with as many single images as in the largest group; else off by a part of a group."""
    sizes = np.bincount(groups)[groups]
    for label, quota in enumerate(quotas):
        of_class = labels == label
        singles = np.count_nonzero(sizes[of_class] == 1)
        largest = max(sizes[of_class], default=1)
        most = max(0, ((len(quota) - 1) * largest - singles) / len(quota)) if largest > 1 else 0
        for part, wanted in enumerate(quota):
            inside = of_class & (found == part)
            # A class whose part would be empty gets one group there, however large.
            if len({*groups[inside].tolist()}) != 1:
                assert np.count_nonzero(inside) - wanted <= most


def assert_no_move_helps(labels, groups, quotas, found):
    """No group would exceed the quotas less in another part; the single images fill the rest."""
    several = np.flatnonzero(np.bincount(groups) > 1)

    def excess(parts):
        grouped = np.isin(groups, several)
        counts = np.zeros_like(quotas)
        np.add.at(counts, (labels[grouped], parts[grouped]), 1)
        return np.maximum(counts - quotas, 0).sum()

    held = {(label, part): {*groups[(labels == label) & (found == part)].tolist()}
            for label, part in np.ndindex(quotas.shape)}  # fmt: skip
    if any(len(inside) == 1 for inside in held.values()):
        return  # it may be there to keep the part from being empty
    for group in several:
        for part in range(quotas.shape[1]):
            moved = np.where(groups == group, part, found)
            assert excess(moved) >= excess(found)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(groups=labelled_groups(across_classes=True), seed=st.integers(0, 9), share=st.floats(0, 1))
def test_a_sample_of_single_images_is_that_without_groups(groups, seed, share):
    labels = groups[0]
    count = max(1, round(share * len(labels)))
    expected = stratified_sample(labels, count, np.random.default_rng(seed))
    ungrouped = np.arange(len(labels))
    found = stratified_sample(labels, count, np.random.default_rng(seed), ungrouped)
    np.testing.assert_array_equal(found, expected)
    wanted = np.bincount(labels) * count / len(labels)
    assert np.abs(np.bincount(labels[found], minlength=len(wanted)) - wanted).max() <= 1
    assert len(found) == count


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_keeps_shares_where_most_images_have_copies(seed):
    """As of icons: 30% of the images are single, and the others in groups of up to 12."""
    rng = np.random.default_rng(seed)
    sizes = np.concatenate([np.ones(150, int), rng.integers(2, 13, 50)])
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = rng.integers(0, 3, len(sizes))[groups]
    count = len(labels) // 5
    found = stratified_sample(labels, count, rng, groups)
    assert not np.isin(groups[found], np.delete(groups, found)).any()
    wanted = np.bincount(labels) * count / len(labels)
    assert np.abs(np.bincount(labels[found]) - wanted).max() <= 1


@pytest.mark.parametrize("parts", [2, 3])
def test_groups_are_moved_until_no_move_brings_shares_nearer(parts):
    """Groups alone, as of photos that were each saved several times; the first place may not do."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(2, 12, 25)
        groups, labels = np.repeat(np.arange(25), sizes), np.zeros(sizes.sum(), int)
        cuts = np.sort(rng.integers(20, len(labels) - 20, parts - 1))
        quotas = np.zeros((CLASSES, parts), int)
        quotas[0] = np.diff([0, *cuts, len(labels)])
        found = assigned(labels, groups, quotas, seed, in_turn=False)
        assert_no_move_helps(labels, groups, quotas, found)


def test_large_and_small_groups_are_drawn_alike():
    """Test images of small groups only would be another population than the training images."""
    sizes = np.repeat([2, 8], 40)
    groups = np.repeat(np.arange(80), sizes)
    labels = np.zeros(len(groups), int)
    drawn = np.zeros(80)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        found = stratified_sample(labels, len(labels) // 5, rng, groups)
        drawn[np.unique(groups[found])] += 1
    assert drawn[:40].mean() == pytest.approx(20, abs=4)
    assert drawn[40:].mean() == pytest.approx(20, abs=4)


def test_a_class_of_two_groups_has_one_in_each_part():
    labels, groups = np.zeros(20, int), np.repeat([0, 1], 10)
    found = stratified_sample(labels, 2, np.random.default_rng(0), groups)
    assert len(found) == 10
