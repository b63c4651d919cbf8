from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from elfs_plugin.seeds import Stream, rng
from elfs_plugin.selectors import Pool, select
from elfs_plugin.selectors.bounded import bounded_rows
from elfs_plugin.selectors.candidates import Candidates
from elfs_plugin.selectors.engines.close_pairs import close_pairs, count_close
from elfs_plugin.selectors.engines.kernel_coverage import Covered, kernel_greedy
from tests.helpers import blobs, make_pool


def peer(vectors, budget, labelled=(), gamma=1.0):
    """scikit-activeml's choice, and what its samples gained."""
    from skactiveml.pool import MaxHerding

    y = np.full(len(vectors), np.nan)
    y[list(labelled)] = 0
    strategy = MaxHerding(metric_dict={"gamma": gamma}, random_state=0)
    return strategy.query(vectors.astype(np.float64), y, batch_size=budget).tolist()


def of(vectors, **known):
    return Pool(np.arange(len(vectors)), embeddings=vectors, **known)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bandwidth", [1.0, 0.4])
def test_equal_to_an_independent_implementation(seed, bandwidth):
    vectors = np.random.default_rng(seed).normal(size=(200, 5)).astype(np.float32)
    found = select("max_herding", of(vectors), 40, bandwidth=bandwidth).indices.tolist()
    assert found == peer(vectors, 40, gamma=1 / bandwidth**2)


def test_equal_to_it_with_labelled_samples():
    vectors = np.random.default_rng(5).normal(size=(150, 5)).astype(np.float32)
    locked = np.array([3, 50, 149])
    found = select("max_herding", of(vectors, locked=locked), 20).indices.tolist()
    assert found == peer(vectors, 20, locked)


def test_three_samples_by_hand():
    """On a circle at 0°, 60° and 180°: ||x - y||² is 1, 3 and 4. Sums of exp(-d²): 1 + e^-1 + e^-4, 1 + e^-1 + e^-3,
    1 + e^-4 + e^-3. The second is the largest; then the third adds 1 - e^-3, the first 1 - e^-1."""
    angles = np.radians([0, 60, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    selection = select("max_herding", of(vectors), 3)
    assert selection.indices.tolist() == [1, 2, 0]
    sums = [1 - np.exp(-1), 1 + np.exp(-1) + np.exp(-3), 1 - np.exp(-3)]
    assert selection.scores == pytest.approx(sums, rel=1e-5)
    assert selection.reasons[1] == "number 1: it stands for 0 other images better than any other choice"


def test_first_choices_by_a_part_are_about_as_good():
    """Memory for few pairs: the first choices are estimates, the rest exact."""
    vectors = normalize(np.random.default_rng(0).normal(size=(6000, 8))).astype(np.float32)
    k = np.exp(-2 + 2 * vectors @ vectors.T)
    rows = np.arange(6000)

    def chosen(most_pairs):
        candidates = Candidates(np.ones(6000, dtype=bool), 60)
        found, gains, covered = kernel_greedy(
            vectors,
            np.ones(6000),
            1.0,
            60,
            candidates,
            rows=rows,
            chosen=rows[:0],
            rng=rng(0, Stream.MAX_HERDING),
            most_pairs=most_pairs,
        )
        assert covered.products == pytest.approx((vectors @ vectors[found].T).max(axis=1), abs=1e-5)
        assert len(set(found.tolist())) == 60
        assert gains[found[0]] == pytest.approx(k.sum(axis=1)[found[0]], rel=0.05)  # what it added, also by estimate
        assert (gains[found] > 0).all() and (np.diff(gains[found]) < 0.05 * gains[found[0]]).all()
        return k[:, found].max(axis=1).sum()

    exact, estimated, all_estimated = chosen(10**9), chosen(1_500_000), chosen(0)
    assert estimated > 0.995 * exact and all_estimated > 0.98 * exact


def test_weights_say_what_is_to_be_covered():
    vectors, clusters = blobs(90, 3)
    vectors = normalize(vectors).astype(np.float32)
    candidates = Candidates(np.ones(90, dtype=bool), 1)
    found, _, _ = kernel_greedy(
        vectors,
        (clusters == 2).astype(float),
        1.0,
        1,
        candidates,
        rows=np.arange(90),
        chosen=np.arange(0),
        rng=rng(0, Stream.MAX_HERDING),
    )
    assert clusters[found].tolist() == [2]


def test_close_pairs_by_hand():
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    pairs = close_pairs(vectors, np.array([2, 0]), np.array([0.5, 0.5, 0.99], dtype=np.float32))
    assert pairs.starts.tolist() == [0, 3, 4]
    assert pairs.of(0)[0].tolist() == [0, 1, 2] and pairs.of(0)[1] == pytest.approx([0.6, 0.8, 1.0])
    assert pairs.of(1)[0].tolist() == [0]
    floors = np.full(3, 0.5, dtype=np.float32)
    assert count_close(vectors, np.arange(3), floors, np.arange(3)) == pytest.approx(7)


def test_close_pairs_over_many_blocks():
    rng = np.random.default_rng(0)
    vectors = normalize(rng.normal(size=(700, 6))).astype(np.float32)
    rows = rng.permutation(700)[:500]
    floors = rng.uniform(0.2, 0.9, 700).astype(np.float32)
    floors[rows[:50]] = np.inf  # has a row, and is no end
    floors[np.setdiff1d(np.arange(700), rows)[:50]] = np.inf
    pairs = close_pairs(vectors, rows, floors)
    expected = vectors[rows] @ vectors.T
    assert pairs.starts[-1] == (expected > floors).sum() > 1000
    for r in range(500):
        ends, values = pairs.of(r)
        assert ends.tolist() == np.flatnonzero(expected[r] > floors).tolist()
        assert values == pytest.approx(expected[r, ends], abs=1e-6)


@pytest.mark.parametrize("rows", [[], [3]])
def test_close_pairs_of_few(rows):
    vectors = np.eye(5, dtype=np.float32)
    pairs = close_pairs(vectors, np.array(rows, dtype=np.int64), np.full(5, 0.5, dtype=np.float32))
    assert pairs.starts.tolist() == [0, 1][: len(rows) + 1] and pairs.ends.tolist() == rows


def test_many_are_taken_as_chosen_at_once_as_one_by_one():
    vectors = normalize(np.random.default_rng(0).normal(size=(3000, 8))).astype(np.float32)
    vectors[7] = vectors[3]
    chosen = np.array([900, 3, 7, *range(1000, 1700)])
    single, together = Covered(vectors), Covered(vectors)
    for j in chosen:
        single.add(j)
    with ThreadPoolExecutor(2) as threads:
        together.add_all(chosen, threads)
    assert together.products == pytest.approx(single.products, abs=1e-6)
    assert (together.by == single.by).all() and together.by[7] == 3
    assert Covered(vectors).products.max() == -2


def test_a_part_of_a_large_pool_allows_the_whole_budget():
    pool = make_pool(400, clusters=4)
    pool = replace(pool, locked=pool.ids[:5], excluded=np.arange(400) >= 390)
    prepared, _ = pool.prepared(["pseudo_labels", "neighbors"])
    allowed = prepared.free
    rules = Candidates(allowed, 40, quota="equal", labels=prepared.pseudo_labels)
    rows = bounded_rows(prepared, rules, 40, np.random.default_rng(0), most=100)
    assert len(rows) == 100 and set(range(5)) <= set(rows.tolist()) and rows.max() < 390
    assert (np.bincount(prepared.pseudo_labels[rows[rows >= 5]]) >= 10).all()
    free = [bounded_rows(prepared, Candidates(allowed, b), b, np.random.default_rng(0), most=100) for b in (7, 40)]
    assert free[0].tolist() == free[1].tolist()
    assert bounded_rows(prepared, rules, 40, np.random.default_rng(0)).tolist() == list(range(390))


def test_many_labelled_samples_are_all_in_the_part():
    pool = replace(make_pool(400), locked=np.arange(400) < 150)
    prepared, _ = pool.prepared([])
    rules = Candidates(prepared.free, 10)
    rows = bounded_rows(prepared, rules, 10, np.random.default_rng(0), most=100)
    assert set(range(150)) <= set(rows.tolist()) and 160 <= len(rows) < 400


@pytest.mark.parametrize("budget", [1, 13, 20])
def test_equal_vectors(budget):
    chosen = select("max_herding", of(np.ones((20, 4), dtype=np.float32)), budget).indices.tolist()
    assert chosen == list(range(budget))


def test_where_a_part_is_looked_at_smaller_choices_begin_larger_ones_up_to_half_of_it(monkeypatch):
    from elfs_plugin.selectors import bounded, is_nested

    monkeypatch.setattr(bounded, "MOST", 100)
    monkeypatch.setattr(bounded.bounded_rows, "__defaults__", (100,))
    pool = of(np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32))
    assert is_nested("max_herding", 400, 50) and not is_nested("max_herding", 400, 51)
    assert is_nested("max_herding", 100, 80)
    large = select("max_herding", pool, 50)
    assert select("max_herding", pool, 20).indices.tolist() == large.indices[:20].tolist()
    assert "Chosen among 100 of the 400 images, drawn at random" in large.notes[0]
    unseen = int(np.flatnonzero(np.isnan(large.scores))[0])
    assert large.reasons[unseen].startswith("not chosen: not among those, drawn at random")
