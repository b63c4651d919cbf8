import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.neighbors.vectors import normalize
from elfs_plugin.selectors import Pool, select
from tests.helpers import make_dynamics


def farthest_first(vectors, budget, start):
    x = vectors.astype(np.float64)
    chosen, nearest = [start], ((x - x[start]) ** 2).sum(axis=1)
    while len(chosen) < budget:
        nearest[chosen] = -1
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, ((x - x[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


def test_by_hand_on_a_line():
    pool = Pool(np.arange(5), embeddings=np.array([[0.0], [1], [2], [9], [10]]), locked=np.array([0]))
    selection = select("k_center", pool, 4, metric="euclidean")
    assert selection.indices.tolist() == [4, 2, 1, 3]  # 10 away, then 2, then 1 and 1: the lower id
    assert selection.reasons[4] == "number 1: the farthest from all chosen before"


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("n", "budget"), [(300, 300), (4000, 500)])
def test_the_lazy_search_is_exact(metric, n, budget):
    vectors = np.random.default_rng(n).normal(size=(n, 12)).astype(np.float32)
    found = select("k_center", Pool(np.arange(n), embeddings=vectors), budget, metric=metric).indices.tolist()
    assert found == farthest_first(normalize(vectors) if metric == "cosine" else vectors, budget, found[0])


def test_copies_of_a_chosen_sample_come_last():
    vectors = np.concatenate([np.tile([[1.0, 0.0]], (5, 1)), np.random.default_rng(0).normal(size=(15, 2))])
    chosen = select("k_center", Pool(np.arange(20), embeddings=vectors), 16).indices.tolist()
    assert len(set(chosen) & set(range(5))) == 1


def test_the_first_is_drawn_by_the_seed():
    pool = Pool(np.arange(200), embeddings=np.random.default_rng(0).normal(size=(200, 3)))
    first = [int(select("k_center", pool, 1, seed=seed).indices[0]) for seed in range(5)]
    assert len(set(first)) > 2
    assert select("k_center", pool, 1).reasons[0 if first[0] else 1].startswith("not chosen: at most")


def test_scores_bound_the_distance_to_the_coreset():
    vectors = np.random.default_rng(1).normal(size=(2000, 5))
    selection = select("k_center", Pool(np.arange(2000), embeddings=vectors), 50, metric="euclidean")
    true = np.min([np.linalg.norm(vectors - vectors[i], axis=1) for i in selection.indices], axis=0)
    others = np.setdiff1d(np.arange(2000), selection.indices)
    assert (selection.scores[others] >= true[others] - 1e-3).all()


def test_the_hard_end_can_be_cut():
    pool = Pool(np.arange(10), embeddings=np.eye(10), dynamics=make_dynamics(np.arange(10)))
    assert select("k_center", pool, 5, drop_hardest=0.5).indices.max() == 4
    with pytest.raises(InvalidInput, match="k_center needs dynamics"):
        select("k_center", Pool(np.arange(10), embeddings=np.eye(10)), 5, drop_hardest=0.5)
