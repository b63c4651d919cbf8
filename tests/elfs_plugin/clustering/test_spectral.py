import numpy as np
import pytest

from elfs_plugin.clustering import spectral
from elfs_plugin.errors import Cancelled
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.progress import silent
from tests import helpers


def graph_of_blobs(n=120, k=6):
    vectors, labels = helpers.blobs(n, 3, dim=8, distance=4)
    return knn_graph(vectors, k).indices, labels


def test_separate_groups_are_points():
    neighbors, labels = graph_of_blobs()
    embedded = spectral.embedding(neighbors, 3, 0, silent)
    assert embedded.shape == (120, 3) and embedded.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    alike = embedded @ embedded.T
    same = labels[:, None] == labels[None, :]
    assert alike[same].min() > 0.99 and abs(alike[~same]).max() < 0.01


def test_a_ring_is_its_first_harmonics():
    """Eigenvectors known by hand: on a ring of n points they are cosines and sines."""
    n = 60
    around = np.arange(n)
    neighbors = np.stack([(around + 1) % n, (around - 1) % n], axis=1)
    embedded = spectral.embedding(neighbors, 3, 0, silent)
    wanted = (1 + 2 * np.cos(2 * np.pi * (around[:, None] - around[None, :]) / n)) / 3
    np.testing.assert_allclose(embedded @ embedded.T, wanted, atol=1e-2)


def test_same_seed_same_numbers():
    neighbors, _ = graph_of_blobs()
    first, again = (spectral.embedding(neighbors, 4, 7, silent) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, spectral.embedding(neighbors, 4, 8, silent))


def test_it_can_be_cancelled():
    def stop(fraction, detail=""):
        raise Cancelled

    with pytest.raises(Cancelled):
        spectral.embedding(graph_of_blobs()[0], 3, 0, stop)


def test_where_it_is_possible():
    assert spectral.possible(1000, 100) and not spectral.possible(1000, 101)
    assert spectral.possible(12, 10) and not spectral.possible(11, 10)
