import numpy as np
import pytest

from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.neighbors.neighbor_graph import NeighborGraph
from elfs_plugin.selectors.candidates import Candidates
from elfs_plugin.selectors.engines.neighborhood_greedy import greedy, neighborhoods, rise


def objective(links, confidence, eta, chosen):
    """Sum over i of tanh(K_i / η), by its formula."""
    dense = links.toarray()
    return np.tanh(dense[:, chosen] @ confidence[chosen] / eta).sum()


def by_definition(links, confidence, eta, budget):
    chosen = []
    for _ in range(budget):
        rest = [j for j in range(len(confidence)) if j not in chosen]
        chosen.append(max(rest, key=lambda j: (objective(links, confidence, eta, [*chosen, j]), -j)))
    return chosen


def random_links(n=40, seed=0, tau=0.7):
    vectors = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return neighborhoods(knn_graph(vectors, 8), tau)


def test_links_by_hand():
    """0 and 1 are neighbours of each other, 2 names 1 alone; similarities 0.9, 0.2, 0.2."""
    graph = NeighborGraph(np.array([[1], [0], [1]]), np.array([[0.9], [0.9], [0.2]], dtype=np.float32))
    assert neighborhoods(graph, 0.7).toarray().tolist() == pytest.approx(
        np.array([[1, 0.95, 0], [0.95, 1, 0], [0, 0, 1]])
    )
    assert neighborhoods(graph, 0.5).toarray()[1, 2] == neighborhoods(graph, 0.5).toarray()[2, 1] == pytest.approx(0.6)


def test_equal_to_the_definition():
    links = random_links()
    confidence = np.random.default_rng(1).random(40)
    for eta in (0.5, 1.0, 5.0):
        found, gains = greedy(links, confidence, eta, 12, Candidates(np.ones(40, dtype=bool), 12), keys=np.arange(40))
        assert found.tolist() == by_definition(links, confidence, eta, 12)
        first = objective(links, confidence, eta, [found[0]])
        assert gains[found[0]] == pytest.approx(first)


def test_the_dense_middle_comes_before_a_lonely_sample_that_is_surer():
    graph = NeighborGraph(np.array([[1, 2], [0, 2], [0, 1], [0, 1]]), np.array([[0.95, 0.95]] * 3 + [[0.0, 0.0]]))
    confidence = np.array([0.6, 0.6, 0.6, 0.9])
    links, open_ = neighborhoods(graph, 0.9), np.ones(4, dtype=bool)
    found, gains = greedy(links, confidence, 1.0, 1, Candidates(open_, 1), keys=np.arange(4))
    assert found[0] < 3
    assert gains[3] == pytest.approx(np.tanh(0.9))
    assert gains[0] == pytest.approx(np.tanh(0.6) + 2 * np.tanh(0.975 * 0.6))


def test_what_is_chosen_already_counts():
    links = random_links()
    confidence = np.ones(40)
    open_ = np.ones(40, dtype=bool)
    first, _ = greedy(links, confidence, 1.0, 1, Candidates(open_, 1), keys=np.arange(40))
    rest = open_.copy()
    rest[first] = False
    second, _ = greedy(links, confidence, 1.0, 3, Candidates(rest, 3), keys=np.arange(40), chosen=first)
    assert second.tolist() == by_definition(links, confidence, 1.0, 4)[1:]


def test_rise_where_tanh_saturates():
    assert rise(0.0, 0.5) == pytest.approx(np.tanh(0.5))
    assert rise(1.0, 0.5) == pytest.approx(np.tanh(1.5) - np.tanh(1.0))
    # tanh(20) and tanh(21) are 1 to the last bit; their true difference is 2 e^-40 (1 - e^-2) up to e^-80.
    assert rise(20.0, 1.0) == pytest.approx(2 * np.exp(-40) * (1 - np.exp(-2)), rel=1e-12)
    assert rise(0.0, 0.0) == 0.0


def test_ties_go_to_the_lowest_key():
    links = neighborhoods(NeighborGraph(np.array([[1], [0], [0]]), np.zeros((3, 1))), 0.9)
    found, _ = greedy(links, np.ones(3), 1.0, 2, Candidates(np.ones(3, dtype=bool), 2), keys=np.array([2, 0, 1]))
    assert found.tolist() == [1, 2]
