"""Rules about parents and times hold for every method, and the budget is met whatever a method prefers."""

from dataclasses import replace

import numpy as np
import pytest

from elfs_plugin.choice import choose
from elfs_plugin.errors import InvalidInput
from elfs_plugin.selectors import Pool, Spread, available, select
from tests.helpers import make_pool

METHODS = list(available())
N = 60
UNCUT = {"elfs": {"beta": 0.0}, "ccs": {"beta": 0.0}, "prune4rel": {"balance": False}}


@pytest.fixture(scope="module")
def frames():
    """Three videos of 20 frames, one a second."""
    return replace(make_pool(N), parents=np.repeat(["a", "b", "c"], 20), times=np.tile(np.arange(20.0), 3))


def chosen(pool, method, budget, **options):
    return select(method, pool, budget, **options, **UNCUT.get(method, {})).indices


def smallest_gap(pool, rows):
    gaps = [np.diff(np.sort(pool.times[rows][pool.parents[rows] == parent])) for parent in np.unique(pool.parents)]
    return np.concatenate(gaps).min(initial=np.inf)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("budget", [1, 9, 18, 21])
def test_the_gap_is_kept_up_to_the_most_that_can_be_chosen(frames, method, budget):
    rows = chosen(frames, method, budget, spread={"gap": 3.0})  # 0, 3, … 18: seven of each video
    assert len(set(rows.tolist())) == budget and smallest_gap(frames, rows) >= 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("budget", [3, 12, 15])
def test_no_more_of_a_parent_than_allowed_and_the_gap(frames, method, budget):
    rows = chosen(frames, method, budget, spread={"per_parent": 5, "gap": 3.5})
    assert np.unique(frames.parents[rows], return_counts=True)[1].max() <= 5 and len(rows) == budget
    assert smallest_gap(frames, rows) >= 3.5


@pytest.mark.parametrize("method", METHODS)
def test_every_parent_gets_one(frames, method):
    uneven = replace(frames, parents=np.array(["a"] * 50 + ["b"] * 9 + ["c"]), times=np.arange(float(N)))
    for budget in (3, 7):
        rows = chosen(uneven, method, budget, spread={"per_parent": "one"})
        assert set(uneven.parents[rows]) == {"a", "b", "c"} and len(rows) == budget
    assert len(set(uneven.parents[chosen(uneven, method, 2, spread={"per_parent": "one"})])) == 2


@pytest.mark.parametrize("method", METHODS)
def test_each_parent_gets_its_share(frames, method):
    uneven = replace(frames, parents=np.array(["a"] * 30 + ["b"] * 20 + ["c"] * 10), times=np.arange(float(N)))
    rows = chosen(uneven, method, 12, spread={"per_parent": "proportional", "gap": 2.0})
    assert np.unique(uneven.parents[rows], return_counts=True)[1].tolist() == [6, 4, 2]
    assert smallest_gap(uneven, rows) >= 2


def test_a_budget_that_cannot_be_kept_apart_is_refused(frames):
    with pytest.raises(InvalidInput, match="Only 21 can be chosen so far apart"):
        select("random", frames, 22, spread={"gap": 3.0})
    with pytest.raises(InvalidInput, match="Only 6 can be chosen"):
        select("random", frames, 7, spread={"per_parent": 2})


def test_what_is_labelled_already_counts(frames):
    pool = replace(frames, locked=frames.ids[[10, 30]])  # second 10 of the videos a and b
    for seed in range(5):
        rows = select("random", pool, 8, seed=seed, spread={"gap": 4.0}).indices
        assert smallest_gap(frames, np.append(rows, [10, 30])) >= 4
        rows = select("random", pool, 4, seed=seed, spread={"per_parent": 2}).indices
        assert np.unique(frames.parents[rows], return_counts=True)[1].tolist() == [1, 1, 2]
    assert set(frames.parents[select("random", pool, 1, spread={"per_parent": "one"}).indices]) == {"c"}


def test_with_near_duplicates_the_budget_is_met(frames):
    for seed in range(5):
        rows = select("random", frames, 12, seed=seed, veto={"quantile": 0.8}, spread={"gap": 2.0}).indices
        assert len(rows) == 12 and smallest_gap(frames, rows) >= 2


def test_the_budget_is_met_in_uneven_times():
    rng = np.random.default_rng(0)
    for trial in range(40):
        n = 30
        parents, times = rng.integers(0, 3, n), np.round(rng.random(n) * 20, 1)
        pool = Pool(np.arange(n), parents=parents, times=times)
        most = 0
        for parent in range(3):  # the most that can be: the earliest that is far enough, again and again
            last = -np.inf
            for time in np.sort(times[parents == parent]):
                if time - last >= 1.5 - 1e-6:
                    most, last = most + 1, time
        rows = select("random", pool, most, seed=trial, spread={"gap": 1.5}).indices
        assert len(set(rows.tolist())) == most and smallest_gap(pool, rows) >= 1.5 - 1e-6
        with pytest.raises(InvalidInput, match=f"Only {most} "):
            select("random", pool, most + 1, spread={"gap": 1.5})


def test_the_order_of_the_rows_does_not_matter(frames):
    order = np.random.default_rng(1).permutation(N)
    turned = Pool(frames.ids[order], parents=frames.parents[order], times=frames.times[order])
    rules = {"seed": 3, "spread": {"gap": 2.5, "per_parent": 4}}
    one = frames.ids[select("random", frames, 10, **rules).indices]
    assert turned.ids[select("random", turned, 10, **rules).indices].tolist() == one.tolist()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gap": -1}, "seconds from 0"),
        ({"per_parent": 0}, "whole number from 1"),
        ({"per_parent": "half"}, "proportional, one"),
        ({"gaps": 1}, "per_parent and gap, not gaps"),
        (3, "given as per_parent and gap"),
    ],
)
def test_bad_rules(frames, given, words):
    with pytest.raises(InvalidInput, match=words):
        select("random", frames, 3, spread=given)


def test_rules_that_cannot_be_kept_together_or_lack_something(frames):
    with pytest.raises(InvalidInput, match="cannot be kept together"):
        select("random", frames, 3, spread={"gap": 1}, quota="equal")
    with pytest.raises(InvalidInput, match="random needs times"):
        select("random", replace(frames, times=None), 3, spread={"gap": 1})
    assert Spread.of({"gap": 0}) is None and Spread.of(None) is None


def test_sequences_are_chosen_whole(frames):
    pool = replace(frames, locked=frames.ids[[0]])
    made = choose("random", pool, 20, sequence=6, spread={"gap": 2.0}, seed=1)
    rows = made.selection.indices.reshape(-1, 6)
    assert len(rows) == 3  # 18 of 20
    for sequence in rows:
        assert len(set(frames.parents[sequence])) == 1 and np.diff(frames.times[sequence]).tolist() == [1.0] * 5
    assert not set(range(6)) & set(rows.ravel().tolist())  # a row of it is labelled already
    assert "no whole sequence" in made.selection.reasons[19]
    firsts, lasts = np.sort(rows[:, 0]), np.sort(rows[:, -1])
    same = frames.parents[firsts[1:]] == frames.parents[lasts[:-1]]
    assert (frames.times[firsts[1:]] - frames.times[lasts[:-1]])[same].min(initial=9) >= 2
    again = choose("k_center", frames, 12, sequence=4)
    assert len(again.selection.indices) == 12 and np.isfinite(again.selection.scores[again.selection.indices]).all()


def test_a_sequence_is_the_mean_of_its_rows():
    from elfs_plugin.selectors.sequences import Sequences

    pool = Pool(
        np.arange(5),
        embeddings=np.array([[0, 0], [2, 4], [1, 1], [3, 1], [9, 9]], dtype=np.float32),
        pseudo_labels=np.array([2, 1, 1, 1, 0]),
        parents=np.array([7, 7, 7, 7, 7]),
        times=np.array([1.0, 0.0, 2.0, 3.0, 4.0]),
    )
    found = Sequences(pool, 2)
    assert found.members.tolist() == [[1, 0], [2, 3]]  # by time; the last is left over
    assert found.pool.embeddings.tolist() == [[1, 2], [2, 1]] and found.pool.pseudo_labels.tolist() == [1, 1]
    assert found.pool.times.tolist() == [0.5, 2.5]
    with pytest.raises(InvalidInput, match="No parent has 6 rows"):
        Sequences(pool, 6)
    with pytest.raises(InvalidInput, match="1 sequences of 2|0 sequences of 2"):
        found.budget(1)


def test_rows_far_apart_are_no_sequence():
    from elfs_plugin.selectors.sequences import Sequences

    times = np.array([0.0, 1, 2, 60, 61, 62, 63, 200, 0, 10, 20, 30])  # one a second with breaks; one in ten seconds
    pool = Pool(np.arange(12), parents=np.repeat(["a", "b"], [8, 4]), times=times, locked=np.array([2, 7]))
    found = Sequences(pool, 2)
    assert found.members.tolist() == [[0, 1], [3, 4], [5, 6], [8, 9], [10, 11]]
    assert found.pool.extents.tolist() == [1, 1, 1, 10, 10, 0, 0]
    assert found.pool.ids[found.pool.locked].tolist() == [2, 7]  # labelled, in no whole sequence
    with pytest.raises(InvalidInput, match="No parent has 5 rows one after the other"):
        Sequences(pool, 5)


def test_the_gap_of_sequences_is_that_of_each_parent():
    times = np.concatenate([np.arange(8.0), np.arange(0, 800, 100.0)])  # sequences of 1 and of 100 seconds
    pool = Pool(np.arange(16), parents=np.repeat(["a", "b"], 8), times=times)
    made = choose("random", pool, 6, sequence=2, spread={"gap": 2.0})  # 0-1, 4-5 and all of b
    assert len(made.selection.indices) == 6
    made = choose("random", pool, 12, sequence=2, spread={"gap": 2.0})
    assert sorted(made.selection.indices.tolist()) in [
        [*a, *range(8, 16)] for a in ([0, 1, 4, 5], [0, 1, 6, 7], [2, 3, 6, 7])
    ]
    with pytest.raises(InvalidInput, match="Only 6 can be chosen"):
        choose("random", pool, 14, sequence=2, spread={"gap": 2.0})


def test_labelled_rows_outside_of_sequences_count():
    pool = Pool(np.arange(9), parents=["a"] * 9, times=np.arange(9.0), locked=np.array([8]))
    made = choose("random", pool, 4, sequence=2, spread={"gap": 3.0})  # 6-7 is too near to 8
    assert sorted(made.selection.indices.tolist()) == [0, 1, 4, 5]
    made = choose("random", pool, 2, sequence=2, spread={"per_parent": 2})
    assert len(made.selection.indices) == 2
    with pytest.raises(InvalidInput, match="Only 1 can be chosen"):
        choose("random", pool, 4, sequence=2, spread={"per_parent": 2})
