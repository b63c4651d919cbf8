import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.neighbors.neighbor_graph import NeighborGraph
from elfs_plugin.selectors import Pool, select
from tests.helpers import make_dynamics, make_pool


def line(similarity=1.0):
    """Four samples; 0 and 1 are each other's neighbour, so are 2 and 3."""
    return NeighborGraph(np.array([[1], [0], [3], [2]], dtype=np.int32), np.full((4, 1), similarity, dtype=np.float32))


def test_messages_by_hand():
    # Scaled difficulty 1, 0.75, 0.5, 0; copies of each other (d = 0): forward 1.75, 1.75, 0.5, 0.5.
    pool = Pool(np.arange(4), neighbors=line(), dynamics=make_dynamics([4, 3, 2, 0]))
    selection = select("d2", pool, 4, score="aum", neighbors=1)
    assert selection.scores.tolist() == [1.75, 1.75, 0.5, 0.5]
    # 0 is chosen, 1 falls to 0; 2 is chosen, 3 falls to 0; then by id.
    assert selection.indices.tolist() == [0, 2, 1, 3]


def test_distance_weakens_the_forward_message_and_gamma_the_reverse_one():
    # cos 0.5: d = 1. Forward with exp(-1), whatever γ is.
    pool = Pool(np.arange(4), neighbors=line(0.5), dynamics=make_dynamics([4, 3, 2, 0]))
    e = np.exp(-1)
    for gamma, order in ((0.0, [0, 2, 1, 3]), (10.0, [0, 1, 2, 3])):
        selection = select("d2", pool, 4, score="aum", gamma=gamma)
        assert selection.scores == pytest.approx([1 + 0.75 * e, 0.75 + e, 0.5, 0.5 * e])
        assert selection.indices.tolist() == order


def test_the_heap_chooses_what_a_full_search_at_every_step_would():
    pool = make_pool(200, k=8, seed=5)
    found = select("d2", pool, 120, score="aum", neighbors=8, gamma=0.5)
    hard = -pool.dynamics.aum
    s = (hard - hard.min()) / (hard.max() - hard.min())
    near, d = pool.neighbors.indices, np.sqrt(2 - 2 * pool.neighbors.similarities.astype(float).clip(-1, 1))
    values = s + (np.exp(-d) * s[near]).sum(axis=1)
    wanted = []
    for _ in range(120):
        i = max((i for i in range(200) if i not in wanted), key=lambda i: (values[i], -i))
        wanted.append(i)
        values[near[i]] -= np.exp(-0.5 * d[i]) * max(values[i], 0)
    assert found.indices.tolist() == wanted


def test_without_any_labels():
    pool = make_pool(40)
    bare = Pool(pool.ids, neighbors=pool.neighbors)
    assert len(select("d2", bare, 10, score="constant").indices) == 10
    with pytest.raises(InvalidInput, match="d2 needs dynamics"):
        select("d2", bare, 10)
    with pytest.raises(InvalidInput, match="d2 needs embeddings"):
        select("d2", bare, 10, score="prototypicality")
    full = Pool(pool.ids, embeddings=pool.embeddings, neighbors=pool.neighbors, pseudo_labels=pool.pseudo_labels)
    assert len(select("d2", full, 10, score="prototypicality").indices) == 10


def test_neighbours_of_locked_samples_lose():
    pool = Pool(np.arange(4), neighbors=line(), locked=np.array([0]))
    assert select("d2", pool, 3, score="constant").indices.tolist() == [2, 1, 3]


def test_beta_drops_the_hardest():
    vectors = np.random.default_rng(0).normal(size=(20, 4))
    pool = Pool(np.arange(20), neighbors=knn_graph(vectors, 5), dynamics=make_dynamics(np.arange(20)))
    assert sorted(select("d2", pool, 15, beta=0.25).indices.tolist()) == list(range(15))
