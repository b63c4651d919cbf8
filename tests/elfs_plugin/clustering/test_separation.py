import math

import numpy as np
import pytest

from elfs_plugin.clustering.separation import beyond, separation
from tests import helpers


def test_neighbours_beyond_the_border_by_hand():
    """Twelve directions in a plane, thirty degrees apart: all others but the opposite one are the ten nearest."""
    angle = np.arange(12) * np.pi / 6
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    halves = (np.arange(12) >= 6).astype(int)
    # The opposite one is in the other half: five of the ten nearest are.
    assert beyond(unit, halves) == pytest.approx(0.5)


def test_separate_groups_and_the_same_with_labels_at_random():
    vectors, labels = helpers.blobs(600, 3, dim=8, distance=4)
    assert separation(vectors, labels) == 1.0
    at_random = np.random.default_rng(0).integers(3, size=600)
    assert separation(vectors, at_random) < -0.5


def test_pieces_of_a_cloud_are_not_separated():
    import faiss

    cloud = np.random.default_rng(0).normal(size=(3000, 10)).astype(np.float32)
    kmeans = faiss.Kmeans(10, 5, spherical=True, seed=3)
    kmeans.train(cloud)
    assert abs(separation(cloud, kmeans.index.search(cloud, 1)[1][:, 0])) < 0.1


def test_of_many_rows_a_seeded_sample(monkeypatch):
    monkeypatch.setattr("elfs_plugin.clustering.separation.ROWS", 200)
    vectors = helpers.blobs(600, 3, dim=8, distance=1)[0]
    labels = np.random.default_rng(0).integers(3, size=600)
    first = separation(vectors, labels, 1)
    assert separation(vectors, labels, 1) == first != separation(vectors, labels, 2)


@pytest.mark.parametrize("n, clusters", [(40, 2), (60, 7), (100, 1)])
def test_too_little_to_judge_by(n, clusters):
    vectors = np.random.default_rng(0).normal(size=(n, 4))
    assert math.isnan(separation(vectors, np.arange(n) % clusters))


def test_equal_rows_count_once():
    vectors = np.ones((500, 4))
    assert math.isnan(separation(vectors, np.arange(500) % 2))
