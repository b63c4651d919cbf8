import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.neighbors import label_transfer
from elfs_plugin.neighbors.label_transfer import cross_neighbors, vote


def test_the_nearest_by_angle():
    base = np.array([[1.0, 0.0], [0.0, 5.0], [-2.0, 0.0], [3.0, 3.0]])
    rows, similarities = cross_neighbors(np.array([[10.0, 0.0], [0.0, 1.0]]), base, 2)
    assert rows.tolist() == [[0, 3], [1, 3]]
    assert similarities == pytest.approx(np.array([[1.0, 0.5**0.5]] * 2), abs=1e-6)


def test_blocks_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(0)
    queries, base = rng.normal(size=(7, 5)), rng.normal(size=(40, 5))
    whole, reports = cross_neighbors(queries, base, 6), []
    monkeypatch.setattr(label_transfer, "_BASE_ROWS", 4)
    parts = cross_neighbors(queries, base, 6, progress=lambda fraction, detail: reports.append(fraction))
    assert np.array_equal(whole[0], parts[0])
    assert parts[1] == pytest.approx(whole[1], abs=1e-6)
    assert reports == pytest.approx(np.arange(1, 11) / 10)


def test_equal_neighbours_come_by_row(monkeypatch):
    monkeypatch.setattr(label_transfer, "_BASE_ROWS", 2)
    rows, _ = cross_neighbors(np.ones((1, 2)), np.ones((5, 2)), 3)
    assert rows.tolist() == [[0, 1, 2]]


def test_fewer_than_k_are_all():
    assert cross_neighbors(np.ones((2, 2)), np.eye(2), 10)[0].shape == (2, 2)


def test_votes_are_weighted_by_similarity():
    labels = np.array([[0, 1, 1], [2, 0, 0], [0, 1, 2]])
    similarities = np.array([[0.9, 0.4, 0.4], [0.5, 0.3, 0.3], [0.2, -0.9, 0.3]])
    found = vote(labels, similarities, 3)
    assert found.labels.tolist() == [0, 0, 2]
    assert found.confidence == pytest.approx([0.9 / 1.7, 0.6 / 1.1, 0.3 / 0.5])


def test_without_any_similarity_all_count_the_same_and_a_tie_goes_to_the_lowest():
    found = vote(np.array([[1, 2, 1], [2, 1, 0]]), np.array([[-0.1, -0.2, -0.3], [0.0, 0.0, 0.0]]), 3)
    assert found.labels.tolist() == [1, 0]
    assert found.confidence == pytest.approx([2 / 3, 1 / 3])


def test_refusals():
    with pytest.raises(InvalidInput, match="have 3 dimensions, the run's have 2"):
        cross_neighbors(np.ones((1, 3)), np.eye(2))
    with pytest.raises(InvalidInput, match="nothing to compare"):
        cross_neighbors(np.ones((1, 2)), np.empty((0, 2)))
