import numpy as np
import pytest

from elfs_plugin.neighbors.cells import normalize, partition


def random_vectors(n, dim=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def cells_of(cells):
    return [cells.order[a:b].tolist() for a, b in zip(cells.limits, cells.limits[1:])]


def test_every_row_is_in_one_cell_and_no_cell_is_large():
    cells = partition(random_vectors(3000), 10)  # 300 cells: two levels of at most 64 branches
    assert sorted(cells.order.tolist()) == list(range(3000))
    assert cells.sizes.sum() == 3000 and cells.sizes.min() >= 1 and cells.sizes.max() <= 15
    assert len(cells) == len(cells.limits) - 1 > 200


def test_directions_that_differ_are_told_apart():
    # Three directions at right angles, 20 rows each in turn, of any length, a little noise.
    rng = np.random.default_rng(0)
    vectors = np.tile(np.eye(3), (20, 1)) * rng.uniform(1, 9, size=(60, 1)) + 0.01 * rng.normal(size=(60, 3))
    groups = cells_of(partition(vectors, 20))
    assert sorted(groups) == [list(range(start, 60, 3)) for start in range(3)]


def test_few_rows_are_one_cell():
    cells = partition(random_vectors(15), 10)
    assert cells_of(cells) == [list(range(15))]


@pytest.mark.parametrize("value", [1.0, 0.0])
def test_equal_rows_are_cut_into_pieces(value):
    cells = partition(np.full((1000, 4), value, dtype=np.float32), 10)
    assert sorted(cells.order.tolist()) == list(range(1000))
    assert cells.sizes.tolist() == [10] * 100


def test_many_duplicates_among_others():
    vectors = random_vectors(1000)
    vectors[:700] = vectors[0]
    cells = partition(vectors, 10)
    assert sorted(cells.order.tolist()) == list(range(1000)) and cells.sizes.max() <= 15


def test_same_seed_same_cells():
    vectors = random_vectors(2000)
    first, again, other = (partition(vectors, 10, seed=seed) for seed in (3, 3, 4))
    assert (first.order == again.order).all() and (first.limits == again.limits).all()
    assert not np.array_equal(first.order, other.order)


def test_progress_rises_and_can_stop_it():
    reports = []
    partition(random_vectors(2000), 10, progress=lambda fraction, detail="": reports.append(fraction))
    assert reports == sorted(reports) and reports[-1] > 0.9 and max(reports) <= 1

    def stop(fraction, detail=""):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        partition(random_vectors(2000), 10, progress=stop)


def test_normalize_by_hand_and_at_the_ends_of_float32():
    vectors = np.array([[3.0, 4.0], [0.0, 0.0], [3e30, 4e30], [-3e-30, 4e-30]])
    expected = np.array([[0.6, 0.8], [0, 0], [0.6, 0.8], [-0.6, 0.8]])
    np.testing.assert_allclose(normalize(vectors), expected, rtol=1e-6)
    assert normalize(vectors).dtype == np.float32
