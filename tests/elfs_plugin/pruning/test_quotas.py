import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.pruning.quotas import shares


def test_largest_remainder_by_hand():
    # 10 in proportion 47 : 16 : 37 is 4.7, 1.6, 3.7; rounded down 4 1 3, the two left go to .7 and .7.
    assert shares(10, [47, 16, 37], [100] * 3).tolist() == [5, 1, 4]
    assert shares(4, [1, 1, 1], [9, 9, 9]).tolist() == [2, 1, 1]


def test_small_clusters_give_the_rest_to_others():
    assert shares(12, [1, 1, 1], [2, 100, 100]).tolist() == [2, 5, 5]
    assert shares(9, [10, 10, 10, 10], [1, 2, 100, 0]).tolist() == [1, 2, 6, 0]
    assert shares(3, [0, 1], [5, 1]).tolist() == [2, 1]  # what weighs nothing fills up last


def test_exact_for_everything(seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(300):
        capacity = rng.integers(0, 20, size=rng.integers(1, 9))
        weights = rng.integers(0, 50, size=len(capacity))
        budget = int(rng.integers(0, capacity.sum() + 1))
        found = shares(budget, weights, capacity)
        assert found.sum() == budget and (found >= 0).all() and (found <= capacity).all()
        free = (found < capacity) & (weights > 0)
        exact = found[free] / np.maximum(weights[free], 1)
        if free.sum() > 1 and found[weights == 0].sum() == 0:
            # No two clusters with room differ by more than the rounding of a sample each.
            assert exact.max() - exact.min() <= (1 / weights[free]).sum() + 1e-9


def test_large_numbers_do_not_overflow():
    assert shares(10**6, [10**12, 10**12 + 1], [10**6, 10**6]).sum() == 10**6


def test_more_than_there_is():
    with pytest.raises(InvalidInput, match="hold 3 samples, fewer than the budget 4"):
        shares(4, [1, 1], [1, 2])
