import itertools

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from elfs_plugin.errors import InvalidInput
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.selectors.engines.graph_coverage import GraphCoverage, adjacency
from elfs_plugin.selectors.engines.heap_greedy import heap_greedy
from elfs_plugin.selectors.engines.parent_coverage import ParentCoverage, choose_parents


def pairs(*links, n):
    """A of links (i, j, weight)."""
    matrix = np.zeros((n, n), dtype=np.float32)
    for i, j, weight in links:
        matrix[i, j] = matrix[j, i] = weight
    return csr_matrix(matrix)


def reached(links, parents, chosen):
    """F by the definition: K is A + A², each child counts by the best one of a chosen parent."""
    a = links.toarray().astype(np.float64)
    k = a + a @ a
    inside = np.isin(parents, list(chosen))
    return k[:, inside].max(axis=1).sum() if inside.any() else 0.0


def random_case(n=40, count=9, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 5)).astype(np.float32)
    return adjacency(knn_graph(vectors, 4), 4), rng.integers(0, count, n), rng.uniform(1, 4, count)


# Three pairs of children, linked with weight 1/2: each stands for its partner by A = 1/2, and for itself by A² = 1/4.
PAIRS = pairs((0, 1, 0.5), (2, 3, 0.5), (4, 5, 0.5), n=6)


def test_a_parent_adds_what_all_its_children_reach():
    # Parent 0 has one child of each of two pairs: 2 (1/2 + 1/4). Parent 1 has both of one pair, each reached by the
    # other with 1/2: 1. Parent 2 has the rest.
    parents = np.array([0, 2, 0, 2, 1, 1])
    coverage = ParentCoverage(PAIRS, parents, 3)
    assert [coverage.gain(p) for p in range(3)] == [1.5, 1.0, 1.5]
    coverage.add(0)
    # 1 and 3 are reached with 1/2 already; 0 and 2 rise from 1/4 to 1/2.
    assert [coverage.gain(p) for p in range(3)] == [0.0, 1.0, 0.5]
    assert coverage.by.tolist() == [0, 0, 2, 2, -1, -1]


def test_parents_are_chosen_by_gain_until_the_budget_is_spent():
    parents = np.array([0, 2, 0, 2, 1, 1])
    choice = choose_parents(PAIRS, parents, np.ones(3), 2)
    assert choice.parents.tolist() == [0, 1] and choice.gains.tolist() == [1.5, 1.0] and choice.covered == 2.5
    choice = choose_parents(PAIRS, parents, np.ones(3), 10)
    assert choice.parents.tolist() == [0, 1, 2] and choice.covered == 3


def test_gain_per_cost_decides():
    parents = np.array([0, 2, 0, 2, 1, 1])
    choice = choose_parents(PAIRS, parents, np.array([4.0, 1.0, 4.0]), 5)
    assert choice.parents.tolist() == [1, 0] and choice.costs.sum() == 5


def test_the_best_single_one_where_the_ratio_misleads():
    # Parent 1 has a child of each of two pairs, 1.5 for a cost of 3; parent 0 one child, 0.75 for 1: the higher ratio,
    # after which nothing that fits into what is left of 3 is worth as much.
    parents = np.array([0, 2, 1, 2, 1, 2])
    choice = choose_parents(PAIRS, parents, np.array([1.0, 3.0, 9.0]), 3)
    assert choice.parents.tolist() == [1] and choice.covered == 1.5


def test_locked_parents_count_as_chosen_on_top_of_the_budget():
    parents = np.array([0, 2, 0, 2, 1, 1])
    locked = np.array([True, False, False])
    choice = choose_parents(PAIRS, parents, np.ones(3), 1, locked=locked)
    assert choice.parents.tolist() == [1] and choice.covered == 2.5
    choice = choose_parents(PAIRS, parents, np.ones(3), 1, locked=locked, allowed=np.array([True, False, True]))
    assert choice.parents.tolist() == [2]


def test_gains_are_those_of_the_definition_and_each_is_the_largest():
    links, parents, _ = random_case()
    choice = choose_parents(links, parents, np.ones(9), 4)
    chosen = []
    for parent, gain in zip(choice.parents.tolist(), choice.gains):
        before = reached(links, parents, chosen)
        all_gains = [reached(links, parents, [*chosen, p]) - before for p in range(9)]
        assert gain == pytest.approx(max(all_gains), rel=1e-5) == pytest.approx(all_gains[parent], rel=1e-5)
        chosen.append(parent)
    assert choice.covered == pytest.approx(reached(links, parents, chosen), rel=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_the_bound_holds_with_costs(seed):
    links, parents, costs = random_case(seed=seed)
    choice = choose_parents(links, parents, costs, 6)
    assert choice.costs.sum() <= 6 + 1e-9
    sets = [s for r in range(1, 5) for s in itertools.combinations(range(9), r) if costs[list(s)].sum() <= 6]
    best = max(reached(links, parents, s) for s in sets)
    assert choice.covered >= 0.405 * best


def test_one_child_each_is_graph_coverage():
    links, _, _ = random_case()

    class Open:
        open = np.ones(40, dtype=bool)

        def take(self, i):
            self.open[i] = False

    plain, _ = heap_greedy(GraphCoverage(links), 7, Open())
    assert choose_parents(links, np.arange(40), np.ones(40), 7).parents.tolist() == plain.tolist()


def test_a_parent_without_children_is_never_chosen():
    choice = choose_parents(PAIRS, np.array([0, 0, 0, 3, 3, 3]), np.ones(5), 5)
    assert sorted(choice.parents.tolist()) == [0, 3]


def test_ten_thousand_children_of_one_parent():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(12_000, 8)).astype(np.float32)
    parents = np.r_[np.zeros(10_000, dtype=int), np.repeat(np.arange(1, 201), 10)]
    links = adjacency(knn_graph(vectors, 10), 10)
    by_size = choose_parents(links, parents, np.bincount(parents).astype(float), 500)
    assert len(by_size.parents) == 50 and 0 not in by_size.parents
    assert choose_parents(links, parents, np.ones(201), 3).parents[0] == 0


def test_bad_costs_and_budgets_are_refused():
    with pytest.raises(InvalidInput, match="above 0"):
        choose_parents(PAIRS, np.zeros(6, dtype=int), np.array([0.0]), 1)
    with pytest.raises(InvalidInput, match="fits into the budget"):
        choose_parents(PAIRS, np.zeros(6, dtype=int), np.array([2.0]), 1)
