import numpy as np
import pytest

from elfs_plugin.selectors import Pool, select


def herd(vectors, budget, rows=None, total=None):
    """argmin ||(t + 1) μ - S - x|| at every step."""
    x = np.asarray(vectors, dtype=np.float64)
    mean, total, chosen = x.mean(axis=0), np.zeros(x.shape[1]) if total is None else total, []
    already = 0 if rows is None else len(rows)
    for t in range(budget):
        away = (((already + t + 1) * mean - total - x) ** 2).sum(axis=1)
        away[chosen + (rows or [])] = np.inf
        chosen.append(int(np.argmin(away)))
        total = total + x[chosen[-1]]
    return chosen


def test_by_hand_on_a_line():
    # Mean 3. First 3 itself (ties: 0); then 6 - 3 = 3 again is wanted: 2 or 4, the lower id; then 9 - 5 = 4.
    vectors = np.array([[3.0], [2.0], [4.0], [0.0], [6.0]])
    pool = Pool(np.arange(5), embeddings=vectors)
    assert select("herding", pool, 3, metric="euclidean").indices.tolist() == [0, 1, 2]


@pytest.mark.parametrize("budget", [40, 600])
def test_exact(budget):
    vectors = np.random.default_rng(budget).normal(size=(600, 20)) + 1.0
    found = select("herding", Pool(np.arange(600), embeddings=vectors.astype("f4")), budget, metric="euclidean")
    assert found.indices.tolist() == herd(vectors.astype("f4"), budget)


def test_locked_samples_count_in_the_sum():
    vectors = np.random.default_rng(0).normal(size=(100, 4)).astype("f4")
    pool = Pool(np.arange(100), embeddings=vectors, locked=np.array([7, 8]))
    wanted = herd(vectors, 20, rows=[7, 8], total=vectors[[7, 8]].astype(float).sum(axis=0))
    assert select("herding", pool, 20, metric="euclidean").indices.tolist() == wanted


def test_the_mean_is_followed_and_not_fled():
    vectors = np.random.default_rng(1).normal(size=(2000, 10)) + np.linspace(0, 3, 2000)[:, None]
    chosen = select("herding", Pool(np.arange(2000), embeddings=vectors), 100, metric="euclidean").indices
    random = select("random", Pool(np.arange(2000)), 100).indices
    error = [np.linalg.norm(vectors[rows].mean(axis=0) - vectors.mean(axis=0)) for rows in (chosen, random)]
    assert error[0] < error[1] / 10


def test_ties_of_copies_go_to_the_lower_id():
    ids = np.array(["d", "b", "c", "a"])
    pool = Pool(ids, embeddings=np.ones((4, 3)))
    assert "".join(ids[select("herding", pool, 4).indices]) == "abcd"
