"""What holds for every selector of coverage, at the edges."""

from dataclasses import replace

import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.selectors import Pool, available, select
from tests.helpers import blobs, make_pool

FAMILY = ("graph_coverage", "k_medoids", "max_herding", "u_herding", "typiclust", "prob_cover")


def of(vectors, labels, k=10):
    vectors = np.asarray(vectors, dtype=np.float32)
    graph = knn_graph(vectors, min(k, len(vectors) - 1))
    return Pool(np.arange(len(vectors)), embeddings=vectors, neighbors=graph, pseudo_labels=labels)


@pytest.mark.parametrize("method", FAMILY)
@pytest.mark.parametrize("budget", [1, 3])
def test_fewer_than_clusters(method, budget):
    vectors, clusters = blobs(200, 5)
    chosen = select(method, of(vectors, clusters), budget).indices
    assert len(set(clusters[chosen].tolist())) == budget  # none twice while others have none


@pytest.mark.parametrize("method", FAMILY)
def test_one_for_each_of_well_separated_clusters(method):
    vectors, clusters = blobs(200, 5)
    chosen = select(method, of(vectors, clusters), 5).indices
    assert sorted(clusters[chosen].tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("method", FAMILY)
def test_more_than_quotas_leave(method):
    pool = make_pool()
    excluded = pool.ids[(pool.pseudo_labels == 0) & (np.arange(60) > 5)]
    pool = replace(pool, excluded=excluded)
    left = 60 - len(excluded)
    assert len(select(method, pool, left, quota="equal").indices) == left
    with pytest.raises(InvalidInput, match=f"from 1 to {left}"):
        select(method, pool, left + 1, quota="equal")


@pytest.mark.parametrize("method", FAMILY)
def test_more_locked_than_budget(method):
    pool = replace(make_pool(), locked=np.arange(60) < 45)
    chosen = select(method, pool, 4).indices
    assert len(set(chosen.tolist())) == 4 and chosen.min() >= 45


@pytest.mark.parametrize("method", FAMILY)
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("budget", [1, 7, 20])
def test_vectors_that_are_all_equal(method, value, budget):
    pool = of(np.full((20, 4), value), np.arange(20) % 3)
    assert len(set(select(method, pool, budget).indices.tolist())) == budget


@pytest.mark.parametrize("method", FAMILY)
def test_a_graph_in_parts(method):
    vectors, clusters = blobs(120, 6, noise=0.01)
    pool = of(vectors, clusters, k=5)
    assert (clusters[pool.neighbors.indices] == clusters[:, None]).all()
    # No neighbour has another label, so nothing says how far the balls of ProbCover may reach.
    params = {"delta": 0.5} if method == "prob_cover" else {}
    assert sorted(clusters[select(method, pool, 6, **params).indices].tolist()) == list(range(6))


@pytest.mark.parametrize("method", FAMILY)
@pytest.mark.parametrize("budget", [1, 10, 19, 20])
def test_twenty_samples(method, budget):
    vectors = np.random.default_rng(0).normal(size=(20, 5))
    chosen = select(method, of(vectors, np.arange(20) % 2), budget).indices.tolist()
    assert len(set(chosen)) == budget


def test_the_family_is_there():
    assert set(FAMILY) <= set(available())
