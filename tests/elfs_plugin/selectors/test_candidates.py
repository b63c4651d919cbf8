"""Which samples stay open under a veto with a quota, by hand."""

import numpy as np
import pytest

from elfs_plugin.selectors.candidates import Candidates


def candidates(groups, labels, budget=2, quota="equal"):
    groups, labels = np.array(groups), np.array(labels)
    return Candidates(np.ones(len(groups), dtype=bool), budget, quota=quota, labels=labels, groups=groups)


def test_a_group_counts_for_the_cluster_that_has_most_of_it():
    """Group 0 has one sample in cluster 0 and two in cluster 1, where it is at home."""
    assert candidates([0, 0, 0, 1, 2], [0, 1, 1, 0, 1]).open.tolist() == [False, True, True, True, True]


@pytest.mark.parametrize("labels", [[0, 1, 0, 1], [1, 0, 0, 1]])
def test_a_group_that_is_half_in_each_counts_for_the_lower_cluster(labels):
    found = candidates([0, 0, 1, 2], labels)
    at_home = [bool(label == 0) for label in labels[:2]]
    assert found.open.tolist() == [*at_home, True, True]


def test_one_of_a_group_closes_the_others_and_a_full_cluster_the_rest():
    found = candidates([0, 0, 1, 2, 3], [0, 0, 0, 1, 1])
    found.take(0)
    assert found.open.tolist() == [False, False, False, True, True]  # cluster 0 has its share of one
    found.take(3)
    assert not found.open.any()
