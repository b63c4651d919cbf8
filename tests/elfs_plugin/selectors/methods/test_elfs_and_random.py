import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.proxy.dynamics import HARD_WHEN, Dynamics
from elfs_plugin.selectors import Pool, select
from tests.helpers import make_dynamics

N = 10


def make_pool(order=None, **changes):
    """Ten samples "a" to "j" of which "a" is the hardest by every score; ``order`` shuffles them."""
    order = np.arange(N) if order is None else order
    low, high = np.arange(N, dtype=np.float64), -np.arange(N, dtype=np.float64)
    scores = {name: (low if hard == "low" else high)[order] for name, hard in HARD_WHEN.items()}
    scores.update(changes)
    return Pool(ids=np.array(list("abcdefghij"))[order], dynamics=Dynamics(**scores, epochs=5))


def chosen(pool, *args, **kwargs):
    return pool.ids[select(*args[:1], pool, *args[1:], **kwargs).indices].tolist()


@pytest.mark.parametrize("score", HARD_WHEN)
def test_elfs_drops_both_ends_whatever_the_score(score):
    assert chosen(make_pool(), "elfs", 3, beta=0.2, score=score) == ["c", "d", "e"]


def test_elfs_reasons_and_scores():
    selection = select("elfs", make_pool(), 0.3, beta=0.2)
    assert selection.scores.tolist() == list(range(N)) and len(selection.reasons) == N
    assert selection.reasons[0] == "too hard: AUM rank 0.0% is below β = 20.0%"
    assert selection.reasons[2] == "in the coreset: AUM rank 20.0% is between 20.0% and 50.0%"
    assert selection.reasons[5] == "too easy: AUM rank 50.0% is at or above 50.0%"
    selection = select("elfs", make_pool(), 0.3, beta=0.2, score="forgetting")
    assert selection.reasons[0].startswith("too hard: forgetting rank")


@pytest.mark.parametrize("seed", range(4))
def test_shuffled_input_selects_the_same_ids(seed):
    order = np.random.default_rng(seed).permutation(N)
    ties = np.array([0.0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    plain, shuffled = make_pool(aum=ties), make_pool(order, aum=ties[order])
    assert chosen(shuffled, "elfs", 4, beta=0.3) == chosen(plain, "elfs", 4, beta=0.3) == ["d", "e", "f", "g"]
    assert chosen(shuffled, "random", 4, seed=seed) == chosen(plain, "random", 4, seed=seed)


def test_random_is_reproducible_and_depends_on_the_seed():
    pool = Pool(ids=np.array([f"{i:03}" for i in range(200)]))
    one, same, other = (chosen(pool, "random", 50, seed=seed) for seed in (0, 0, 1))
    assert one == same and one != other
    assert len(set(one)) == 50


def test_random_draws_every_sample_about_equally_often():
    pool = make_pool()
    counts = np.zeros(N)
    for seed in range(500):
        counts[select("random", pool, 2, seed=seed).indices] += 1
    assert counts.sum() == 1000 and counts.min() > 60 and counts.max() < 140  # 100 each; sd 9


def test_random_reasons():
    selection = select("random", make_pool(), 4)
    drawn = {i for i, reason in enumerate(selection.reasons) if reason == "drawn at random"}
    assert drawn == set(selection.indices.tolist())
    assert set(selection.reasons) == {"drawn at random", "not drawn"}


@pytest.mark.parametrize("method", ["elfs", "random"])
@pytest.mark.parametrize(("budget", "count"), [(1, 1), (0.35, 3), (10, 10), (1.0, 10)])
def test_exactly_the_budget(method, budget, count):
    params = {"beta": 0} if method == "elfs" else {}
    indices = select(method, make_pool(), budget, **params).indices
    assert len(indices) == len(set(indices.tolist())) == count


@pytest.mark.parametrize("budget", [0, -1, 11, float("nan"), True])
@pytest.mark.parametrize("method", ["elfs", "random"])
def test_invalid_budgets(method, budget):
    with pytest.raises(InvalidInput, match="whole number from 1 to 10"):
        select(method, make_pool(), budget, **({"beta": 0} if method == "elfs" else {}))


def test_beta_too_large():
    with pytest.raises(InvalidInput, match="β must be between 0 and 0.5"):
        select("elfs", make_pool(), 5, beta=0.6)


def test_unknown_method_and_score():
    with pytest.raises(InvalidInput, match="Unknown selector 'best'. Available: elfs, random") as error:
        select("best", make_pool(), 3)
    assert error.value.field == "method"
    with pytest.raises(InvalidInput, match="Unknown score 'difficulty'. Use one of: aum"):
        select("elfs", make_pool(), 3, beta=0, score="difficulty")


def test_a_missing_need_names_the_operator_that_provides_it():
    with pytest.raises(InvalidInput, match="elfs needs dynamics; the operator compute_scores provides them"):
        select("elfs", Pool(ids=np.array(["a"])), 1, beta=0)


def test_empty_pool():
    with pytest.raises(InvalidInput, match="pool is empty"):
        select("random", Pool(ids=np.array([], dtype=str)), 1)


def test_without_beta_the_published_settings_decide():
    pool = Pool(np.arange(1000), dynamics=make_dynamics(np.arange(1000)))
    assert select("elfs", pool, 0.1).indices.tolist() == list(range(399, 299, -1))  # β 0.6 at a budget of a tenth


def test_locked_samples_are_no_part_of_the_cut():
    pool = Pool(np.arange(10), dynamics=make_dynamics(np.arange(10)), locked=np.array([9, 8]))
    selection = select("elfs", pool, 2, beta=0.25)
    assert selection.indices.tolist() == [5, 4]  # 7 and 6 are dropped
    assert selection.reasons[7] == "too hard: AUM rank 0.0% is below β = 25.0%"


def test_reasons_under_a_quota():
    labels = np.array([0] * 6 + [1] * 4)
    pool = Pool(np.arange(10), dynamics=make_dynamics(np.arange(10)), pseudo_labels=labels)
    selection = select("elfs", pool, 4, beta=0.2, quota="equal")
    assert selection.indices.tolist() == [7, 6, 5, 4]
    assert selection.reasons[5] == "in the coreset: AUM rank 40.0% is at or above β = 20.0%"
    assert selection.reasons[0].endswith("is at or above β = 20.0% (cluster 0 has a share of 2)")
