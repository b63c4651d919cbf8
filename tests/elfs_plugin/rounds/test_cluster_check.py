import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.rounds import Labelled, judged


def test_clusters_are_matched_to_classes_and_counted():
    #                     a a a b  b b a  c c
    clusters = np.array([1, 1, 1, 1, 0, 0, 0, 2, 2, 5])
    labels = np.array(list("aaabbbacc"))
    found = judged(clusters, Labelled(np.arange(9), labels))
    assert found.accuracy == pytest.approx(7 / 9) and found.n == 9
    assert found.accuracy == pseudo_label_accuracy(clusters[:9], labels)
    assert found.cluster_of == {"a": 1, "b": 0, "c": 2} and found.uncovered == []
    assert found.covered == {"a": (3, 4), "b": (2, 3), "c": (2, 2)}


def test_a_class_within_the_cluster_of_another_has_none():
    clusters = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    labels = np.array([7, 7, 7, 9, 9, 8, 8, 8])
    found = judged(clusters, Labelled(np.arange(8), labels))
    assert found.cluster_of == {7: 0, 8: 1, 9: None} and found.uncovered == [9]
    assert found.covered[9] == (0, 2)


def test_a_cluster_that_only_the_matching_leaves_to_a_class_does_not_cover_it():
    """One to one, the two b get cluster 0, where a is larger."""
    clusters = np.array([0] * 5 + [1] * 4)
    labels = np.array(list("aaabb") + list("aaaa"))
    found = judged(clusters, Labelled(np.arange(9), labels))
    assert found.cluster_of == {"a": 1, "b": None} and found.accuracy == pytest.approx(6 / 9)


def test_more_classes_than_clusters():
    found = judged(np.zeros(4, dtype=int), Labelled(np.arange(4), np.array([1, 1, 2, 3])))
    assert found.uncovered == [2, 3] and found.accuracy == 0.5


def test_nothing_labelled():
    found = judged(np.zeros(4, dtype=int), Labelled(np.zeros(0, dtype=int), np.zeros(0)))
    assert found.accuracy is None and found.cluster_of == {} and found.n == 0


@pytest.mark.parametrize("clusters", [[0.5, 1.0], [-1, 0], [[0], [1]]])
def test_what_are_no_clusters(clusters):
    with pytest.raises(InvalidInput) as error:
        judged(np.array(clusters), Labelled(np.array([0]), np.array([1])))
    assert error.value.field == "clusters"
