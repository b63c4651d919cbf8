import math

import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.pruning.zones import (
    Zones,
    as_beta,
    as_budget,
    check_beta,
    count_hard,
    difficulty_rank,
    double_end,
    resolve_beta,
    resolve_budget,
)

SCORES = np.array([5.0, 1.0, 9.0, 3.0, 7.0, 0.0, 8.0, 2.0, 6.0, 4.0])
BY_DIFFICULTY = [5, 1, 7, 3, 9, 0, 8, 4, 6, 2]  # lowest score first


def test_by_hand():
    # 10 samples, 2 too hard, 3 kept, 5 too easy.
    zones = double_end(SCORES, 3, 0.2)
    assert zones.coreset.tolist() == [7, 3, 9]
    assert zones.rank.tolist() == [5, 1, 9, 3, 7, 0, 8, 2, 6, 4]
    assert [np.flatnonzero(zones.zone == z).tolist() for z in ("hard", "coreset", "easy")] == [
        [1, 5],
        [3, 7, 9],
        [0, 2, 4, 6, 8],
    ]


def test_high_scores_can_be_the_hard_ones():
    zones = double_end(SCORES, 3, 0.2, hard="high")
    assert zones.coreset.tolist() == [4, 8, 0]  # scores 7, 6, 5


@pytest.mark.parametrize(
    ("budget", "beta", "expected"),
    [
        (1, 0, BY_DIFFICULTY[:1]),
        (1, 0.9, BY_DIFFICULTY[9:]),
        (3, 0, BY_DIFFICULTY[:3]),
        (3, 0.7, BY_DIFFICULTY[7:]),  # beta + budget = 1: nothing is left at the easy end
        (0.3, 0.7, BY_DIFFICULTY[7:]),
        (7, 0.3, BY_DIFFICULTY[3:]),
        (10, 0, BY_DIFFICULTY),
        (1.0, 0.0, BY_DIFFICULTY),
        (0.3, 0.3, BY_DIFFICULTY[3:6]),
        (3, 0.25, BY_DIFFICULTY[2:5]),  # floor(2.5) dropped
    ],
)
def test_edges(budget, beta, expected):
    zones = double_end(SCORES, budget, beta)
    assert zones.coreset.tolist() == expected
    assert np.count_nonzero(zones.zone == "coreset") == zones.budget == len(expected)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 97, 100])
def test_always_exactly_the_budget(n):
    scores = np.random.default_rng(n).normal(size=n)
    for budget in {1, max(1, n // 3), n - 1 or 1, n}:
        limit = 1 - budget / n
        for beta in (0, limit / 3, limit):
            zones = double_end(scores, budget, beta)
            assert len(zones.coreset) == budget
            assert sorted(zones.rank) == list(range(n))
            assert zones.hard_count + budget <= n
        assert zones.hard_count == n - budget  # at the limit


@pytest.mark.parametrize("tenths", range(1, 10))
def test_tenths_are_not_lost_to_binary_fractions(tenths):
    assert resolve_budget(tenths * 0.1, 10) == tenths  # 0.1 * 3 is 0.30000000000000004
    assert resolve_budget(tenths / 10, 10) == tenths
    assert resolve_beta(1 - tenths / 10, tenths, 10) == 10 - tenths
    assert resolve_beta((10 - tenths) * 0.1, tenths, 10) == 10 - tenths


@pytest.mark.parametrize(
    ("budget", "n", "count"),
    [
        (1, 10, 1),  # the integer 1 is one image
        (1.0, 10, 10),  # the float 1.0 is everything
        (0.3, 10, 3),
        (0.29, 10, 2),
        (0.29, 100, 29),  # 28.999999999999996 in binary
        (0.001, 10, 1),  # at least one
        ("3", 10, 3),
        ("10%", 20, 2),
        (" 0.3 ", 10, 3),
        (np.int64(4), 10, 4),
        (np.float32(0.7), 10, 7),
        (10, 10, 10),
    ],
)
def test_budgets(budget, n, count):
    resolved = resolve_budget(budget, n)
    assert resolved == count and type(resolved) is int


@pytest.mark.parametrize(
    "budget",
    [0, 0.0, -1, -0.5, 11, 10.5, 2.5, 2.0, 10**30, math.nan, math.inf, -math.inf, True, False, np.True_, None, [3]],
)
def test_invalid_budgets_name_the_range(budget):
    with pytest.raises(InvalidInput, match="fraction above 0 and at most 1, or a whole number from 1 to 10") as error:
        double_end(SCORES, budget, 0)
    assert error.value.field == "budget"


def test_a_whole_float_above_one_may_be_meant_as_images_or_percent():
    with pytest.raises(InvalidInput, match="it is 2.0. Write 2 for so many images, or a percentage as '2%'"):
        resolve_budget(2.0, 10)
    for text in ("2.0", "200%", "-1", "nan", "many", ""):
        with pytest.raises(InvalidInput, match="is no budget. Write whole numbers, or percent") as error:
            resolve_budget(text, 10)
        assert error.value.field == "budget"


def test_what_is_no_number_is_no_budget():
    for budget in (True, np.True_, None, [3], np.array([3, 4]), b"3"):
        with pytest.raises(InvalidInput, match="The budget must be a number, not"):
            as_budget(budget)
    assert [as_budget(budget) for budget in (np.int64(5), "10%", np.array(7))] == [5, 0.1, 7]


@pytest.mark.parametrize("beta", [0.2, "0.2", "20%", np.float32(0.2), np.float64(0.2), np.array(0.2)])
def test_a_beta_in_another_type_is_the_same_beta(beta):
    assert resolve_beta(beta, 3, 10) == 2
    assert as_beta(beta) == 0.2


def test_what_is_no_beta():
    for beta in ("abc", "", None, True, [0.1], {}):
        with pytest.raises(InvalidInput, match="β must be a number, not"):
            as_beta(beta)
    assert resolve_beta(np.int64(0), 3, 10) == 0


@pytest.mark.parametrize("beta", [-0.1, 0.71, 1, 1.0, 2, 10**400, math.nan, math.inf, True, None, "abc", [0.1]])
def test_invalid_betas_name_the_range(beta):
    # With 3 of 10 kept, at most 0.7 can be dropped.
    with pytest.raises(InvalidInput, match=r"3 of 10 images \(30\.0%\), β must be between 0 and 0\.7;") as error:
        double_end(SCORES, 3, beta)
    assert error.value.field == "beta"


def test_ties_are_broken_by_id_whatever_the_order():
    scores = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    ids = np.array(["f", "b", "d", "c", "a", "e"])
    zones = double_end(scores, 2, 1 / 3, ids=ids)
    assert ids[zones.coreset].tolist() == ["c", "d"]  # a, b dropped; then c, d, e, f tie
    for seed in range(5):
        p = np.random.default_rng(seed).permutation(6)
        shuffled = double_end(scores[p], 2, 1 / 3, ids=ids[p])
        assert ids[p][shuffled.coreset].tolist() == ["c", "d"]


def test_ties_without_ids_go_by_position():
    assert difficulty_rank([1, 1, 0, 1]).tolist() == [1, 2, 0, 3]
    assert difficulty_rank([1, 1, 0, 1], hard="high").tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_must_be_finite(value):
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        double_end(np.array([1.0, value, 2.0]), 1, 0)


def test_no_scores():
    with pytest.raises(InvalidInput, match="no scored samples"):
        double_end(np.array([]), 1, 0)


def test_unknown_direction():
    with pytest.raises(InvalidInput, match="'low' or 'high'"):
        difficulty_rank([1.0, 2.0], hard="up")


def test_scores_are_left_as_they_are():
    scores = SCORES.copy()
    double_end(scores, 3, 0.2, hard="high")
    assert (scores == SCORES).all()


def test_zones_from_a_rank():
    zones = Zones(np.array([2, 0, 1]), hard_count=1, budget=1)
    assert zones.coreset.tolist() == [2] and zones.zone.tolist() == ["easy", "hard", "coreset"]


@pytest.mark.parametrize(
    ("beta", "n", "hard"), [(0.3, 10, 3), (0.29, 100, 29), (0.0, 7, 0), (0.999, 10, 9), (1.0, 7, 7), (0.1, 1, 0)]
)
def test_hard_samples_are_counted_despite_binary_fractions(beta, n, hard):
    assert count_hard(beta, n) == hard


def test_a_beta_without_a_budget():
    assert [check_beta(beta) for beta in (0, "20%", 0.999)] == [0.0, 0.2, 0.999]
    for wrong in (1, -0.1, float("nan"), "150%"):
        with pytest.raises(InvalidInput, match="β must be from 0 to below 1; it is"):
            check_beta(wrong)
