import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import elfs_plugin
from benchmarks.zcore import plain_scores
from elfs_plugin.errors import InvalidInput
from elfs_plugin.selectors.engines.zcore.draws import Plan, listed, plan, triangular
from elfs_plugin.selectors.engines.zcore.scores import Scorer, agreement, zcore_scores
from elfs_plugin.selectors.engines.zcore.table import make_table


def normal(n, dimensions, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dimensions))


def relu(n, dimensions):
    return np.maximum(normal(n, dimensions), 0)


def rounded(n, dimensions):
    return np.round(normal(n, dimensions) * 20) / 20


def heavy(n, dimensions):
    return np.random.default_rng(0).standard_cauchy(size=(n, dimensions))


def dependent(n, dimensions):
    return normal(n, 1) + 1e-3 * normal(n, dimensions, 1)


def lattice(n, dimensions):
    # Whole coordinates: almost every distance is shared by many, and hardly any place by two.
    return np.stack([np.arange(n) % 50, np.arange(n) // 50, np.random.default_rng(0).permutation(n) % 50], axis=1)


def engine(table, chances, neighbors=1000, exponent=4, threads=2):
    """(2, N) scores of the halves."""
    with Scorer(table, neighbors, exponent, threads) as scorer:
        return scorer.score(chances) / scorer.unit


def by_hand(vectors, chances, neighbors=1000, exponent=4):
    table = make_table(np.asarray(vectors, dtype=np.float32))
    half, dimensions, places = listed(chances, table.low, table.median, table.high)
    columns = table.columns.T.astype(np.float64)
    return [plain_scores(columns, dimensions[half == h], places[half == h], neighbors, exponent) for h in (0, 1)]


@pytest.mark.parametrize(
    ("make", "n", "dimensions", "neighbors", "exponent"),
    [
        (normal, 3000, 5, 100, 4),
        (normal, 400, 4, 399, 4),
        (normal, 20, 3, 1000, 4),
        (normal, 2, 2, 1000, 4),
        (normal, 1500, 1, 30, 4),
        (normal, 1500, 3, 50, 1.5),
        (normal, 1500, 3, 50, 0),
        (relu, 3000, 3, 100, 4),
        (rounded, 3000, 4, 100, 4),
        (heavy, 3000, 3, 50, 4),
        (dependent, 3000, 2, 100, 4),
        (lattice, 2500, 3, 77, 4),
    ],
)
def test_equal_to_the_plain_estimator_draw_for_draw(make, n, dimensions, neighbors, exponent):
    vectors = make(n, dimensions).astype(np.float32)
    chances = plan(max(dimensions, 2), 700, seed=3)
    assert chances.draws == 700
    got = engine(make_table(vectors), chances, neighbors, exponent)
    np.testing.assert_allclose(got, by_hand(vectors, chances, neighbors, exponent), atol=2e-8)


def test_one_draw_at_a_time():
    vectors = rounded(800, 3)
    table = make_table(vectors)
    for key in range(60):
        counts = np.zeros((2, 3), dtype=np.int32)
        counts[key % 2, key % 3] = 1
        chances = Plan(counts, np.array([key, key + 1000], dtype=np.uint64))
        got, expected = engine(table, chances, 20, threads=1), by_hand(vectors, chances, 20)
        assert got[key % 2].argmax() == expected[key % 2].argmax()
        assert np.isclose(got.sum(), 0, atol=1e-8)
        np.testing.assert_allclose(got, expected, atol=1e-8)


def test_three_samples_by_hand():
    # On a line; whichever is found, the others share -1 in proportion to 1 / d^4.
    table = make_table(np.array([[0.0, 5.0], [1.0, 5.0], [3.0, 5.0]]))
    chances = plan(2, 2000, seed=0)
    _, _, places = listed(chances, table.low, table.median, table.high)
    assert (places[:, 1] == 5).all() and places[:, 0].min() >= 0 and places[:, 0].max() <= 3
    x = places[:, 0]
    found = np.array([(x <= 0.5).sum(), ((x > 0.5) & (x <= 2)).sum(), (x > 2).sum()])
    shares = np.array([[0, 1 / (1 + 1 / 81), 1 / 82], [16 / 17, 0, 1 / 17], [16 / 97, 81 / 97, 0]])
    np.testing.assert_allclose(engine(table, chances).sum(axis=0), found - found @ shares, atol=1e-5)


def test_the_twin_with_the_lowest_index_takes_the_whole_penalty():
    # 2, 3 and 4 are at one place; 3 and 4 are never found, and 3 pays for 2, whichever draws find 2.
    vectors = np.array([[0.0, 0], [10, 10], [5, 5], [5, 5], [5, 5]])
    table = make_table(vectors)
    chances = plan(2, 400, seed=0)
    got = engine(table, chances).sum(axis=0)
    _, _, places = listed(chances, table.low, table.median, table.high)
    found = np.abs(vectors[:, None] - places).sum(axis=2).argmin(axis=0)
    times = np.bincount(found, minlength=5)
    assert times[2] > 50 and times[3] == times[4] == 0
    # 0 and 1 are each 10 from the three, 20 from each other: shares 16/49 to each of the three, 1/49 to the other.
    ends = times[0] + times[1]
    np.testing.assert_allclose(got[2:], [times[2] - ends * 16 / 49, -times[2] - ends * 16 / 49, -ends * 16 / 49])


def test_the_triangular_distribution():
    # Over [0, 10] with mode 2: P(x < 2) = 0.2, P(x < 6) = 1 - 16/80 = 0.8.
    assert [triangular(u, 0.0, 2.0, 10.0) for u in (0.0, 0.2, 0.8)] == pytest.approx([0, 2, 6])
    assert triangular(0.7, 3.0, 3.0, 3.0) == 3
    table = make_table(normal(1001, 3))
    half, dimensions, places = listed(plan(3, 60_001, seed=5), table.low, table.median, table.high)
    assert (half == 0).sum() == 30_001
    for pair in ((0, 1), (0, 2), (1, 2)):
        assert abs((dimensions == pair).all(axis=1).sum() - 20_000) < 600  # five standard deviations
    mean = (table.low + table.median + table.high) / 3
    for d in range(3):
        assert places[dimensions == d].mean() == pytest.approx(mean[d], abs=0.04)


def test_the_table_bins_by_count_and_gives_frequent_values_a_bin_of_their_own():
    column = np.concatenate([np.zeros(6000), np.random.default_rng(0).uniform(1, 2, size=4000)])
    table = make_table(column[:, None])
    used = table.used[0]
    assert table.lows[0, 0] == table.highs[0, 0] == 0 and (table.bins[0] == 0).sum() == 6000
    assert np.bincount(table.bins[0])[1:].max() <= 2 * 10_000 / used
    for j in range(used):
        values = table.columns[0][table.bins[0] == j]
        assert values.min() == table.lows[0, j] and values.max() == table.highs[0, j]
    assert (table.low[0], table.median[0]) == (0, 0) and table.high[0] == table.columns[0].max()


def test_the_result_is_the_same_for_any_number_of_threads_and_for_the_same_seed():
    vectors = normal(500, 6)
    first, again, more, other = (
        zcore_scores(vectors, max_draws=4000, seed=seed, threads=threads)
        for seed, threads in ((1, 1), (1, 1), (1, 5), (2, 1))
    )
    assert (first.scores == again.scores).all() and (first.scores == more.scores).all()
    assert not np.array_equal(first.scores, other.scores)
    assert (first.scores.min(), first.scores.max()) == (0, 1)


@pytest.mark.parametrize("random_init", [False, True])
def test_results_belong_to_ids(random_init):
    vectors, ids = rounded(300, 4), np.array([f"{i:04d}" for i in range(300)])
    order = np.random.default_rng(7).permutation(300)
    straight = zcore_scores(vectors, ids=ids, max_draws=3000, random_init=random_init)
    shuffled = zcore_scores(vectors[order], ids=ids[order], max_draws=3000, random_init=random_init)
    assert (straight.scores[order] == shuffled.scores).all()


def test_a_random_start_adds_at_most_one():
    vectors = normal(200, 3)
    plain = zcore_scores(vectors, max_draws=20_000, target=1)
    noisy = zcore_scores(vectors, max_draws=20_000, target=1, random_init=True)
    assert not np.array_equal(plain.scores, noisy.scores)
    assert np.corrcoef(plain.scores, noisy.scores)[0, 1] > 0.999  # 1 is little beside 100 draws a sample


def test_it_draws_until_the_halves_agree():
    vectors = normal(300, 4)
    result = zcore_scores(vectors, max_draws=200_000, target=0.8)
    assert result.converged and result.warnings == [] and result.draws < 200_000
    assert result.history[-1].correlation >= 0.8 > max([0, *(step.correlation for step in result.history[:-1])])
    assert result.history[-1].draws == result.draws
    few = zcore_scores(vectors, max_draws=300, target=0.99)
    assert not few.converged and few.draws == 300 == few.history[-1].draws
    assert "300 draws" in few.warnings[0] and "0.99" in few.warnings[0]


def test_agreement_by_hand():
    first, second = np.array([1.0, 2, 3, 4]), np.array([10.0, 20, 40, 30])
    assert agreement(first, second, top=0.5) == (pytest.approx(0.8), 1.0)  # 1 - 6 * 2 / (4 * 15)
    assert agreement(first, -second, top=0.5) == (pytest.approx(-0.8), 0.0)
    assert agreement(np.ones(4), np.ones(4))[0] == 1 and agreement(np.ones(4), first)[0] == 0


def test_isolated_samples_are_worth_more_than_a_crowd():
    vectors = np.concatenate([0.01 * normal(200, 3), [[1.0, 1, 1], [-1, -1, -1]]])
    scores = zcore_scores(vectors, max_draws=20_000).scores
    # Above all but a few on the rim of the crowd, which stand for the empty space around it.
    assert (scores[200:, None] > scores[:200]).mean(axis=1).min() > 0.95


def test_one_sample_and_equal_samples():
    assert zcore_scores(normal(1, 5)).scores.tolist() == [0]
    equal = zcore_scores(np.ones((50, 3)), max_draws=100)
    # The first is found every time, the second pays every time.
    assert equal.scores[0] == 1 and equal.scores[1] == 0 and (equal.scores[2:] == 0.5).all()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"max_draws": 1}, "max_draws"),
        ({"max_draws": 1e3}, "max_draws"),
        ({"target": 0}, "target"),
        ({"neighbors": 0}, "neighbors"),
        ({"exponent": -1}, "exponent"),
        ({"top": 0}, "top"),
        ({"threads": 0}, "threads"),
        ({"ids": list("aabc")}, "ids"),
        ({"ids": list("abc")}, "ids"),
    ],
)
def test_parameters_out_of_range(change, field):
    with pytest.raises(InvalidInput) as error:
        zcore_scores(normal(4, 3), **change)
    assert error.value.field == field


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite(value):
    vectors = normal(40, 3)
    vectors[17, 1] = value
    with pytest.raises(InvalidInput, match="Row 17 "):
        zcore_scores(vectors)


def test_no_embeddings():
    with pytest.raises(InvalidInput):
        zcore_scores(np.empty((0, 3)))


def test_memory_mapped_float16(tmp_path):
    vectors = normal(300, 4).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    first, second = (zcore_scores(x, max_draws=1000).scores for x in (vectors, mapped))
    assert (first == second).all()


def test_progress_rises_and_can_stop_it():
    reports = []
    zcore_scores(normal(300, 9), max_draws=5000, progress=lambda fraction, detail="": reports.append(fraction))
    assert reports == sorted(reports) and reports[-1] == 1

    def stop(fraction, detail=""):
        if fraction > 0.06:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zcore_scores(normal(300, 9), max_draws=5000, progress=stop)


_UNDER_ANOTHER_NAME = """
import importlib.util, sys
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location("@a/b", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["@a/b"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
table = importlib.import_module("@a/b.selectors.engines.zcore.table")
print(table.make_table(table.np.arange(5.0)[:, None]).used)
"""


def test_what_the_library_has_compiled_does_not_break_the_plugin(tmp_path):
    # As FiftyOne loads plugins: under a name that cannot be imported, from the folder that holds the compiled cache.
    expected = make_table(np.arange(5.0)[:, None]).used
    folder = str(Path(elfs_plugin.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", _UNDER_ANOTHER_NAME, folder], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(expected), done.stderr
