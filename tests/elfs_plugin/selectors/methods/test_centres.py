"""Prototypicality and Moderate: distances to the centre of a cluster."""

import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.selectors import Pool, select

# Two clusters on a line around 0 and 100; distances to their medians (0 and 100): 0 1 2 4 8, 0 1 3.
LINE = np.array([0.0, 1, -2, 4, -8, 100, 101, 97])[:, None]
LABELS = np.array([0] * 5 + [1] * 3)


def pool(**more):
    return Pool(np.arange(8), embeddings=LINE, pseudo_labels=LABELS, **more)


def test_moderate_by_hand():
    selection = select("moderate", pool(), 8, metric="euclidean")
    assert selection.scores == pytest.approx([0, 1, 2, 4, 8, 0, 1, 3])
    # Sorted: 0 0 1 1 2 3 4 8 are samples 0 5 1 6 2 7 3 4; from the middle outwards, the nearer of a pair first.
    assert selection.indices.tolist() == [6, 2, 1, 7, 5, 3, 0, 4]
    assert selection.reasons[4] == "number 8: distance 8 to the centre of its cluster; the median is 1.5"


@pytest.mark.parametrize("budget", range(1, 9))
def test_moderate_keeps_a_window_around_the_median(budget):
    order = [0, 5, 1, 6, 2, 7, 3, 4]
    places = sorted(order.index(i) for i in select("moderate", pool(), budget, metric="euclidean").indices)
    assert places == list(range(places[0], places[0] + budget)) and abs(places[0] + places[-1] - 7) <= 1


def test_moderate_by_the_mean():
    assert select("moderate", pool(), 1, metric="euclidean", centre="mean").scores[:5] == pytest.approx(
        [1, 2, 1, 5, 7], abs=1e-5
    )


def test_moderate_takes_centres_without_excluded_samples():
    found = select("moderate", pool(excluded=np.array([4])), 1, metric="euclidean").scores
    assert found[:4] == pytest.approx([0.5, 0.5, 2.5, 3.5])  # median of 0 1 -2 4


@pytest.mark.parametrize(("keep", "ids"), [("far", [4, 3]), ("near", [0, 6])])
def test_prototypicality_has_two_ends(keep, ids):
    # Centres -1 and 99.33: distances 1 2 1 5 7, 0.67 1.67 2.33; the nearest are 5 and then 0 and 2.
    found = select("prototypicality", pool(), 2, metric="euclidean", keep=keep)
    assert found.scores == pytest.approx([1, 2, 1, 5, 7, 2 / 3, 5 / 3, 7 / 3], rel=1e-4)
    assert found.indices.tolist() == ([4, 3] if keep == "far" else [5, 0])


def test_prototypicality_without_labels_needs_a_number():
    bare = Pool(np.arange(8), embeddings=LINE)
    with pytest.raises(InvalidInput, match="needs a number of clusters") as error:
        select("prototypicality", bare, 2)
    assert error.value.field == "clusters"
    assert select("prototypicality", bare, 2, clusters=2, metric="euclidean").indices.tolist() == [4, 3]
    assert len(select("prototypicality", bare, 2, clusters=100).indices) == 2  # no more clusters than samples
