import numpy as np
import pytest

from elfs_plugin import neighbors
from elfs_plugin.errors import InvalidInput
from elfs_plugin.neighbors import knn_graph, normalize, suggest_k


def brute_force(vectors, k):
    """Cosine similarity of every pair, self excluded, highest first."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1)[:, :k]
    return order, np.take_along_axis(similarity, order, axis=1)


def random_vectors(n, dim=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim))


def test_against_brute_force(monkeypatch):
    monkeypatch.setattr(neighbors, "_QUERY_ROWS", 37)  # several blocks, the last one smaller
    vectors = random_vectors(100)
    graph = knn_graph(vectors, 7)
    expected, similarities = brute_force(vectors, 7)
    assert (graph.indices == expected).all()
    np.testing.assert_allclose(graph.similarities, similarities, atol=1e-6)
    assert graph.k == 7 and graph.indices.dtype == np.int32 and graph.similarities.dtype == np.float32


def test_by_hand():
    # Directions 0, 10, 60 and 180 degrees; the lengths do not matter.
    angles = np.radians([0, 10, 60, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array([1, 9, 0.5, 3])[:, None]
    graph = knn_graph(vectors, 2)
    assert graph.indices.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    expected = np.cos(np.radians([[10, 60], [10, 50], [50, 60], [120, 170]]))
    np.testing.assert_allclose(graph.similarities, expected, atol=1e-6)


def test_exact_duplicates_are_each_others_neighbours_and_never_themselves():
    # 30 copies of one row, 20 of another, k 5: far more ties than neighbours.
    vectors = np.repeat(np.array([[1.0, 0.0], [0.0, 2.0]]), [30, 20], axis=0)
    graph = knn_graph(vectors, 5)
    rows = np.arange(50)[:, None]
    assert (graph.indices != rows).all()
    assert ((graph.indices < 30) == (rows < 30)).all()
    assert (graph.similarities == 1.0).all()
    assert all(len(set(row)) == 5 for row in graph.indices.tolist())


def test_k_is_at_most_all_others():
    graph = knn_graph(random_vectors(6), 50)
    assert graph.k == 5
    assert all(sorted([i, *row]) == list(range(6)) for i, row in enumerate(graph.indices.tolist()))


def test_two_points():
    graph = knn_graph(np.array([[1.0, 0.0], [0.0, 1.0]]), 1)
    assert graph.indices.tolist() == [[1], [0]] and graph.similarities.tolist() == [[0.0], [0.0]]


def test_rows_of_zeros_are_similar_to_nothing():
    vectors = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 0.0]])
    graph = knn_graph(vectors, 3)
    assert (graph.similarities[[0, 3]] == 0).all()
    assert (graph.indices != np.arange(4)[:, None]).all()
    assert graph.indices[1, 0] == 2
    assert (normalize(vectors)[[0, 3]] == 0).all()


def test_order_of_the_rows_does_not_matter():
    vectors = random_vectors(60)
    permutation = np.random.default_rng(1).permutation(60)
    straight, shuffled = knn_graph(vectors, 4).indices, knn_graph(vectors[permutation], 4).indices
    assert (permutation[shuffled] == straight[permutation]).all()


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    vectors = random_vectors(10)
    vectors[3, 2] = value
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        knn_graph(vectors, 3)


@pytest.mark.parametrize("vectors", [np.zeros((1, 4)), np.zeros((0, 4)), np.zeros(5)])
def test_too_few_vectors(vectors):
    with pytest.raises(InvalidInput, match="At least two vectors"):
        knn_graph(vectors, 3)


def test_invalid_k_and_metric():
    with pytest.raises(InvalidInput, match="at least 1, not 0") as error:
        knn_graph(random_vectors(5), 0)
    assert error.value.field == "neighbors"
    with pytest.raises(InvalidInput, match="use 'cosine'"):
        knn_graph(random_vectors(5), 2, metric="l2")


def test_progress_ends_at_one(monkeypatch):
    monkeypatch.setattr(neighbors, "_QUERY_ROWS", 10)
    reports = []
    knn_graph(random_vectors(25), 2, progress=lambda fraction, detail="": reports.append(fraction))
    assert reports == [10 / 25, 20 / 25, 1.0]


@pytest.mark.parametrize(
    ("n", "clusters", "k"),
    [(50_000, 10, 50), (1000, 10, 10), (100, 10, 5), (4, 2, 3), (1, 2, 1)],
)
def test_suggested_k(n, clusters, k):
    # 50, or a tenth of an even share, at least 5, at most all others.
    assert suggest_k(n, clusters) == k
