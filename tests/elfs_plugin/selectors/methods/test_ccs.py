import numpy as np
import pytest

from elfs_plugin.selectors import Pool, select
from elfs_plugin.selectors.methods.ccs import bins, round_robin
from tests.helpers import make_dynamics


def published_allocation(sizes, budget):
    """Zheng et al. 2023, algorithm 1: the smallest stratum first, the rest shared equally among those left."""
    given = np.zeros(len(sizes), dtype=int)
    left = budget
    for done, stratum in enumerate(np.argsort(sizes, kind="stable")):
        given[stratum] = min(sizes[stratum], left // (len(sizes) - done))
        left -= given[stratum]
    return given


def test_bins_by_hand():
    assert bins(np.array([0.0, 0.9, 1.0, 5.0, 9.99, 10.0]), 10).tolist() == [0, 0, 1, 5, 9, 9]
    assert bins(np.array([-3.0, -2.0, -1.0]), 2).tolist() == [0, 1, 1]  # the top belongs to the last bin
    assert bins(np.array([4.0, 4.0]), 50).tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_round_robin_is_the_published_allocation(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.permutation(np.array([1, 3, 4, 9, 17, 30]) + rng.permutation(6))  # all different, or nearly
    groups = np.repeat(np.arange(6), sizes)
    order = round_robin(groups, rng.random(len(groups)))
    for budget in range(1, len(groups) + 1):
        found = np.bincount(groups[order[:budget]], minlength=6)
        wanted = published_allocation(sizes, budget)
        assert found.sum() == budget
        # Among strata of the same size it may be another one that gets the odd sample.
        assert sorted(zip(sizes, found)) == sorted(zip(sizes, wanted))


def test_the_hard_end_is_cut_and_all_strata_give():
    hard = np.arange(100.0)  # sample 99 is the hardest
    selection = select("ccs", Pool(np.arange(100), dynamics=make_dynamics(hard)), 16, beta=0.2, strata=8)
    chosen = selection.indices
    assert chosen.max() < 80
    assert np.bincount(bins(hard[:80], 8)[chosen]).tolist() == [2] * 8
    assert selection.reasons[99] == "too hard: AUM rank 0.0% is below β = 20.0%"
    assert "from stratum 1 of 8" in selection.reasons[0]


def test_random_within_strata_and_seeded():
    pool = Pool(np.arange(300), dynamics=make_dynamics(np.arange(300.0)))
    one, same, other = (set(select("ccs", pool, 60, beta=0, seed=s).indices.tolist()) for s in (0, 0, 1))
    assert one == same != other


def test_negative_scores_lose_no_sample():
    pool = Pool(np.arange(10), dynamics=make_dynamics(np.arange(10) + 1.0))  # AUM from -10 to -1
    assert sorted(select("ccs", pool, 10, beta=0.0).indices.tolist()) == list(range(10))
