from dataclasses import replace

import numpy as np
import pytest

from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.neighbors.neighbor_graph import NeighborGraph
from elfs_plugin.selectors import Pool, select
from elfs_plugin.selectors.engines.graph_coverage import GraphCoverage, adjacency
from tests.helpers import blobs, make_pool


def of(vectors, k=10, **known):
    return Pool(np.arange(len(vectors)), embeddings=vectors, neighbors=knn_graph(vectors, k), **known)


def dense(graph, k, counted=None):
    """K by its definition."""
    n = len(graph.indices)
    w = np.zeros((n, n))
    for i in range(n):
        for j, similarity in zip(graph.indices[i, :k], graph.similarities[i, :k]):
            if counted is None or (counted[i] and counted[j]):
                w[i, j] = w[j, i] = max(similarity, w[i, j], 0.0)
    degrees = w.sum(axis=1)
    scale = 1 / np.sqrt(np.where(degrees > 0, degrees, 1))
    a = scale[:, None] * w * scale
    k_matrix = a + a @ a
    own = (a * a).sum(axis=1)
    k_matrix[degrees == 0, degrees == 0] = own[degrees > 0].min(initial=1.0)
    return k_matrix


def by_definition(k_matrix, budget, locked=()):
    chosen = list(locked)
    for _ in range(budget):
        rest = [j for j in range(len(k_matrix)) if j not in chosen]
        chosen.append(max(rest, key=lambda j: (round(k_matrix[:, [*chosen, j]].max(axis=1).sum(), 9), -j)))
    return chosen[len(locked) :]


def chain():
    """0 - 1 - 2, each with the similarity 1 to the next, and 3 alone."""
    indices = np.array([[1], [0], [1], [0]])
    return NeighborGraph(indices, np.array([[1.0], [1.0], [1.0], [0.0]], dtype=np.float32))


def test_a_chain_by_hand():
    """Degrees 1, 2, 1: A has 1/√2 between neighbours, A² has 1/2 where two steps lead. The middle adds most."""
    r = 1 / np.sqrt(2)
    links = adjacency(chain(), 1)
    assert links.toarray() == pytest.approx(np.array([[0, r, 0, 0], [r, 0, r, 0], [0, r, 0, 0], [0, 0, 0, 0]]))
    coverage = GraphCoverage(links)
    assert coverage.bounds()[:3] == pytest.approx([r + 1, 2 * r + 1, r + 1])
    assert coverage.gain(1) == pytest.approx(2 * r + 1)
    coverage.add(1)
    assert coverage.covered == pytest.approx([r, 1.0, r, 0.0]) and coverage.by.tolist() == [1, 1, 1, -1]
    # 0 and 2 reach each other and themselves by 1/2, less than 1 does.
    assert coverage.gain(0) == pytest.approx(0.0) and coverage.gain(3) == pytest.approx(0.5)


def test_a_sample_without_neighbours_is_covered_by_itself_alone():
    pool = Pool(np.arange(4), neighbors=chain())
    selection = select("graph_coverage", pool, 2)
    assert selection.indices.tolist() == [1, 3]
    assert selection.reasons[0] == "not chosen: 1 stands for it"
    assert selection.reasons[1] == "number 1: it stands for 2 other images better than any other choice"


@pytest.mark.parametrize("k", [3, 10])
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_the_definition(k, seed):
    pool = make_pool(60, seed=seed)
    found = select("graph_coverage", pool, 15, neighbors=k).indices.tolist()
    k_matrix = dense(pool.neighbors, k)
    value = [k_matrix[:, chosen].max(axis=1).sum() for chosen in (found, by_definition(k_matrix, 15))]
    assert value[0] == pytest.approx(value[1], rel=1e-6)
    assert found[:5] == by_definition(k_matrix, 5)


def test_more_neighbours_than_the_pool_has_are_searched_for():
    vectors, _ = blobs(80, 4, noise=0.8)
    few, many = of(vectors, k=5), of(vectors, k=12)
    wanted = select("graph_coverage", many, 20, neighbors=12).indices.tolist()
    assert select("graph_coverage", few, 20, neighbors=12).indices.tolist() == wanted
    assert select("graph_coverage", replace(few, embeddings=None), 20, neighbors=12).indices.tolist() != wanted
    assert len(select("graph_coverage", few, 20, neighbors=1000).indices) == 20


def test_locked_samples_cover_their_surroundings():
    vectors, clusters = blobs(80, 4)
    pool = of(vectors)
    free = select("graph_coverage", pool, 4).indices
    assert sorted(clusters[free].tolist()) == [0, 1, 2, 3]
    locked = np.flatnonzero(clusters < 3)[:30]
    rest = select("graph_coverage", replace(pool, locked=locked), 1, neighbors=10).indices
    assert clusters[rest].tolist() == [3]
    k_matrix = dense(pool.neighbors, 10)
    assert rest.tolist() == by_definition(k_matrix, 1, locked.tolist())


def test_excluded_samples_need_no_cover():
    vectors, clusters = blobs(90, 3)
    pool = of(vectors, excluded=clusters == 0)
    chosen = select("graph_coverage", pool, 2).indices
    assert sorted(clusters[chosen].tolist()) == [1, 2]


@pytest.mark.parametrize("vectors", [np.ones((20, 4)), np.zeros((20, 4)), np.eye(20)], ids=["equal", "zero", "apart"])
@pytest.mark.parametrize("budget", [1, 13, 20])
def test_pools_without_a_shape(vectors, budget):
    pool = of(vectors.astype(np.float32))
    chosen = select("graph_coverage", pool, budget).indices.tolist()
    assert len(set(chosen)) == budget


def test_parts_that_nothing_connects_are_all_reached():
    vectors, clusters = blobs(120, 6, noise=0.01)
    chosen = select("graph_coverage", of(vectors, k=5), 6).indices
    assert sorted(clusters[chosen].tolist()) == list(range(6))
