import numpy as np
import pytest

from elfs_plugin.selectors.engines.largest_product import LargestProduct


def exactly(vectors, w, open_rows):
    x = vectors.astype(np.float64)
    away = ((x - w) ** 2).sum(axis=1)
    away[~open_rows] = np.inf
    return int(np.argmin(away))


@pytest.mark.parametrize("n, dimensions, scale", [(1, 1, 1.0), (300, 7, 1e-6), (20_000, 40, 1.0), (9000, 33, 1e4)])
def test_the_nearest_open_row(n, dimensions, scale):
    rng = np.random.default_rng(n)
    vectors = (rng.normal(size=(n, dimensions)) * scale).astype(np.float32)
    vectors[:, 0] *= 50  # one long dimension makes the steps of the others coarse
    open_rows = rng.random(n) < 0.5
    open_rows[n // 2] = True
    with LargestProduct(vectors) as rows:
        for _ in range(20):
            w = rng.normal(size=dimensions) * scale * rng.choice([0.01, 1.0, 30.0])
            assert rows.nearest(w, open_rows) == exactly(vectors, w, open_rows)


def test_rows_that_differ_by_less_than_the_rounding():
    rng = np.random.default_rng(0)
    base = rng.normal(size=24)
    vectors = (base + 1e-6 * rng.normal(size=(30_000, 24))).astype(np.float32)
    everything = np.ones(len(vectors), dtype=bool)
    with LargestProduct(vectors) as rows:
        for _ in range(5):
            w = rng.normal(size=24)
            assert rows.nearest(w, everything) == exactly(vectors, w, everything)


def test_of_copies_the_first_open_one():
    vectors = np.tile(np.linspace(-1, 1, 9, dtype=np.float32), (20_000, 1))
    open_rows = np.ones(len(vectors), dtype=bool)
    open_rows[:3] = False
    with LargestProduct(vectors) as rows:
        assert rows.nearest(np.ones(9), open_rows) == 3


def test_zeros():
    with LargestProduct(np.zeros((5, 3), dtype=np.float32)) as rows:
        assert rows.nearest(np.ones(3), np.array([False, False, True, True, True])) == 2
        assert (rows.lengths == 0).all()
