import numpy as np
import pytest

from elfs_plugin.beta_search.splits import coreset_of, split
from elfs_plugin.order import Order


@pytest.mark.parametrize(("n", "held_out"), [(60, 6), (64, 6), (66, 7), (20, 2), (2, 1)])
def test_a_tenth_is_held_out(n, held_out):
    drawn = split(Order(n), np.random.default_rng(0))
    assert len(drawn.held_out) == held_out
    assert sorted([*drawn.train, *drawn.held_out]) == list(range(n))


def test_a_split_goes_by_the_ids():
    ids = np.array([f"{i:02}" for i in np.random.default_rng(1).permutation(30)])
    by_id, by_rank = (split(order, np.random.default_rng(5)) for order in (Order(30, ids), Order(30)))
    assert ids[by_id.held_out].tolist() == np.sort(ids)[by_rank.held_out].tolist()
    assert ids[by_id.train].tolist() == np.sort(ids)[by_rank.train].tolist()


def test_coresets_are_a_small_copy_and_have_one_size():
    scores = np.random.default_rng(0).random(60)
    train = np.setdiff1d(np.arange(60), [3, 14, 15, 41, 50, 59])
    coresets = [coreset_of(train, scores, 0.1, beta, "low").tolist() for beta in (0.0, 0.5, 0.99)]
    ranked = train[np.argsort(scores[train])]
    # 0.1 of 54 is 5; half of them are 27; the last β is clipped to what leaves five.
    assert coresets == [ranked[:5].tolist(), ranked[27:32].tolist(), ranked[49:].tolist()]
    assert coreset_of(train, scores, 0.1, 0.0, "high").tolist() == ranked[:-6:-1].tolist()
