import contextlib

import numpy as np
import pytest

from elfs_plugin.errors import Cancelled, InvalidInput
from elfs_plugin.neighbors import graph as neighbors
from elfs_plugin.neighbors.graph import exact_is_quick, knn_graph, suggest_k

both_methods = pytest.mark.parametrize("method", ["exact", "approximate"])


@pytest.fixture
def small_cells(monkeypatch):
    """Cells of about 10 rows and blocks of 64, so that a few hundred points make many of both."""
    monkeypatch.setattr(neighbors, "_CELL_ROWS", 10)
    monkeypatch.setattr(neighbors, "_BASE_ROWS", 64)


def brute_force(vectors, k):
    """Cosine similarity of every pair, self excluded, highest first."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1)[:, :k]
    return order, np.take_along_axis(similarity, order, axis=1)


def random_vectors(n, dim=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim))


def clustered_vectors(n, seed=0):
    """Twelve tight groups of directions in four dimensions."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(12, 4))[rng.integers(12, size=n)] + 0.2 * rng.normal(size=(n, 4))


@pytest.mark.parametrize("fails", [False, True])
def test_a_setting_of_faiss_that_others_share_is_put_back(monkeypatch, fails):
    import faiss

    before, during = faiss.cvar.distance_compute_blas_threshold, []
    search = faiss.knn

    def watched(*args, **options):
        during.append(faiss.cvar.distance_compute_blas_threshold)
        if fails:
            raise RuntimeError("out of memory")
        return search(*args, **options)

    monkeypatch.setattr(faiss, "knn", watched)
    with pytest.raises(RuntimeError) if fails else contextlib.nullcontext():
        knn_graph(random_vectors(100), 7, method="exact")
    assert set(during) == {0} != {before} and faiss.cvar.distance_compute_blas_threshold == before


def test_against_brute_force(monkeypatch):
    monkeypatch.setattr(neighbors, "_QUERY_ROWS", 37)  # several blocks, the last one smaller
    vectors = random_vectors(100)
    graph = knn_graph(vectors, 7)
    expected, similarities = brute_force(vectors, 7)
    assert (graph.indices == expected).all()
    np.testing.assert_allclose(graph.similarities, similarities, atol=1e-6)
    assert graph.k == 7 and graph.indices.dtype == np.int32 and graph.similarities.dtype == np.float32
    assert (graph.method, graph.recall) == ("exact", 1.0)


@both_methods
def test_by_hand(method, small_cells):
    # Directions 0, 10, 60 and 180 degrees; the lengths do not matter.
    angles = np.radians([0, 10, 60, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array([1, 9, 0.5, 3])[:, None]
    graph = knn_graph(vectors, 2, method=method)
    assert graph.indices.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    expected = np.cos(np.radians([[10, 60], [10, 50], [50, 60], [120, 170]]))
    np.testing.assert_allclose(graph.similarities, expected, atol=1e-6)


@both_methods
def test_exact_duplicates_are_each_others_neighbours_and_never_themselves(method, small_cells):
    # 30 copies of one row, 20 of another, k 5: far more ties than neighbours.
    vectors = np.repeat(np.array([[1.0, 0.0], [0.0, 2.0]]), [30, 20], axis=0)
    graph = knn_graph(vectors, 5, method=method)
    rows = np.arange(50)[:, None]
    assert (graph.indices != rows).all()
    assert ((graph.indices < 30) == (rows < 30)).all()
    assert (graph.similarities == 1.0).all()
    assert all(len(set(row)) == 5 for row in graph.indices.tolist())


@both_methods
def test_k_is_at_most_all_others(method, small_cells):
    graph = knn_graph(random_vectors(6), 50, method=method)
    assert graph.k == 5
    assert all(sorted([i, *row]) == list(range(6)) for i, row in enumerate(graph.indices.tolist()))


@both_methods
def test_two_points(method, small_cells):
    graph = knn_graph(np.array([[1.0, 0.0], [0.0, 1.0]]), 1, method=method)
    assert graph.indices.tolist() == [[1], [0]] and graph.similarities.tolist() == [[0.0], [0.0]]


@both_methods
def test_rows_of_zeros_are_similar_to_nothing(method, small_cells):
    vectors = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 0.0]])
    graph = knn_graph(vectors, 3, method=method)
    assert (graph.similarities[[0, 3]] == 0).all()
    assert (graph.indices != np.arange(4)[:, None]).all()
    assert graph.indices[1, 0] == 2


def test_order_of_the_rows_does_not_matter():
    vectors = random_vectors(60)
    permutation = np.random.default_rng(1).permutation(60)
    straight, shuffled = knn_graph(vectors, 4).indices, knn_graph(vectors[permutation], 4).indices
    assert (permutation[shuffled] == straight[permutation]).all()


@pytest.mark.filterwarnings("ignore:invalid value")
@both_methods
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value, method):
    vectors = random_vectors(10)
    vectors[3, 2] = value
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        knn_graph(vectors, 3, method=method)


@pytest.mark.parametrize("vectors", [np.zeros((1, 4)), np.zeros((0, 4)), np.zeros(5)])
def test_too_few_vectors(vectors):
    with pytest.raises(InvalidInput, match="At least two vectors|must form a matrix"):
        knn_graph(vectors, 3)


def test_invalid_arguments():
    with pytest.raises(InvalidInput, match="a whole number from 1, not 0") as error:
        knn_graph(random_vectors(5), 0)
    assert error.value.field == "neighbors"
    with pytest.raises(InvalidInput, match="use 'cosine'"):
        knn_graph(random_vectors(5), 2, metric="l2")
    with pytest.raises(InvalidInput, match="auto, exact, approximate") as error:
        knn_graph(random_vectors(5), 2, method="hnsw")
    assert error.value.field == "method"


@pytest.mark.parametrize("recall", [0, -1, 1.01, float("nan")])
def test_invalid_recall(recall):
    with pytest.raises(InvalidInput, match="above 0 and at most 1") as error:
        knn_graph(random_vectors(5), 2, recall=recall)
    assert error.value.field == "recall"


def test_progress_ends_at_one(monkeypatch):
    monkeypatch.setattr(neighbors, "_QUERY_ROWS", 10)
    reports = []
    knn_graph(random_vectors(25), 2, progress=lambda fraction, detail="": reports.append(fraction))
    assert reports[1:] == pytest.approx([0.02 + 0.98 * done / 25 for done in (10, 20, 25)])
    assert len(reports) == 4 and reports[0] == 0.02


@pytest.mark.parametrize(
    ("n", "clusters", "k"),
    [(50_000, 10, 50), (1000, 10, 10), (100, 10, 5), (4, 2, 3), (1, 2, 1)],
)
def test_suggested_k(n, clusters, k):
    # 50, or a tenth of an even share, at least 5, at most all others.
    assert suggest_k(n, clusters) == k


def share_found(graph, vectors):
    """The share of the true neighbours in the graph."""
    expected, _ = brute_force(vectors, graph.k)
    return np.mean([len(set(a) & set(b)) / graph.k for a, b in zip(graph.indices.tolist(), expected.tolist())])


def test_approximate_reaches_the_recall_without_comparing_all(small_cells):
    vectors = clustered_vectors(2000)
    details = []
    graph = knn_graph(
        vectors, 7, method="approximate", recall=0.9, progress=lambda _, detail="": details.append(detail)
    )
    assert graph.method == "approximate" and graph.recall >= 0.9
    assert share_found(graph, vectors) == pytest.approx(graph.recall, abs=0.02)
    looked_in, cells = details[-1].split("each in ")[1].removesuffix(" cells").split(" of ")
    assert int(looked_in) < int(cells) / 4
    # What is found has its exact similarity, the highest first.
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities = np.einsum("nd,nkd->nk", unit, unit[graph.indices])
    np.testing.assert_allclose(graph.similarities, similarities, atol=1e-6)
    assert (np.diff(graph.similarities, axis=1) <= 0).all()
    assert (graph.indices != np.arange(2000)[:, None]).all()


def test_the_wanted_recall_decides_the_effort(small_cells):
    # 500 points: all of them are sampled, so that the recall is the true one.
    vectors = random_vectors(500)
    low, high, all_of_it = (knn_graph(vectors, 7, method="approximate", recall=r) for r in (0.5, 0.95, 1.0))
    assert 0.5 <= low.recall < 0.9 and 0.95 <= high.recall < 1.0
    assert share_found(low, vectors) == pytest.approx(low.recall)
    assert share_found(high, vectors) == pytest.approx(high.recall)
    assert all_of_it.recall == 1.0 and (all_of_it.indices == brute_force(vectors, 7)[0]).all()


@pytest.mark.parametrize("value", [1.0, 0.0])
def test_equal_vectors_of_any_number(value, small_cells):
    graph = knn_graph(np.full((300, 3), value), 20, method="approximate")
    assert graph.recall == 1.0
    np.testing.assert_allclose(graph.similarities, value, atol=1e-6)
    assert (graph.indices != np.arange(300)[:, None]).all()
    assert all(len(set(row)) == 20 for row in graph.indices.tolist())


def test_small_cells_are_completed_from_others(small_cells):
    # Five neighbours within each cell would do for the recall; 40 are wanted.
    graph = knn_graph(clustered_vectors(300), 40, method="approximate", recall=0.01)
    assert (graph.indices >= 0).all() and (graph.similarities >= -1).all()
    assert all(len({row, *found}) == 41 for row, found in enumerate(graph.indices.tolist()))


def test_same_seed_same_graph_on_any_number_of_threads(small_cells):
    import faiss

    vectors = clustered_vectors(700)
    threads = faiss.omp_get_max_threads()
    graphs = []
    try:
        for seed, count in ((1, 1), (1, 3), (1, 3), (2, 3)):
            faiss.omp_set_num_threads(count)
            graphs.append(knn_graph(vectors, 6, method="approximate", recall=0.8, seed=seed))
    finally:
        faiss.omp_set_num_threads(threads)
    first, *same, other = graphs
    for graph in same:
        assert (graph.indices == first.indices).all() and (graph.similarities == first.similarities).all()
    assert (other.indices != first.indices).any()


def test_auto_is_exact_while_that_is_quick(monkeypatch):
    # A minute or so: 200,000 x 64 or 110,000 x 512.
    assert exact_is_quick(200_000, 64) and exact_is_quick(110_000, 512)
    assert not exact_is_quick(300_000, 64) and not exact_is_quick(200_000, 512)
    vectors = random_vectors(50)
    assert knn_graph(vectors, 3).method == "exact"
    monkeypatch.setattr(neighbors, "_EXACT_COST", 1)
    assert knn_graph(vectors, 3).method == "approximate"
    assert knn_graph(vectors, 3, recall=1).method == "exact"


def test_approximate_progress_is_steady_and_cancels(small_cells):
    vectors = clustered_vectors(700)
    reports = []
    knn_graph(vectors, 5, method="approximate", progress=lambda fraction, detail="": reports.append(fraction))
    assert reports == sorted(reports) and reports[-1] == 1.0 and len(reports) > 10

    def cancel(fraction, detail=""):
        stopped.append(fraction)
        if fraction > 0.5:
            raise Cancelled()

    for method in ("exact", "approximate"):
        stopped = []
        with pytest.raises(Cancelled):
            knn_graph(np.tile(vectors, (5, 1)), 5, method=method, progress=cancel)
        assert sum(fraction > 0.5 for fraction in stopped) == 1


def test_a_memory_mapped_file_gives_the_same_graph(tmp_path, small_cells):
    vectors = clustered_vectors(300).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    for method in ("exact", "approximate"):
        graphs = [knn_graph(source, 4, method=method) for source in (vectors, mapped)]
        assert (graphs[0].indices == graphs[1].indices).all()
