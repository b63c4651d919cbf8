import json

import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.pruning.cuts import CLUSTERS, check_cut, cluster_counts, cut_details, cut_table, score_at
from elfs_plugin.pruning.zones import double_end

# Ten images, hardest first, in three clusters of 5, 4 and 1.
SCORES = np.array([-1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0])
LABELS = np.array([2, 0, 1, 1, 0, 0, 0, 0, 1, 1])
NAMES = ["cats", "dogs", "birds"]


def table(scores=SCORES, labels=LABELS, names=NAMES, *, hard="low", **more):
    return cut_table(scores, labels, names, hard=hard, score_name="AUM", **more)


def test_by_hand():
    made = table(bins=4)
    assert (made["n"], made["score"], made["hard"]) == (10, "AUM", "low")
    assert made["edges"] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert made["counts"] == [1, 1, 2, 6]  # a score on an edge belongs to the easier bin, the last edge to its own
    assert made["ranks"] == [0, 1, 2, 4, 10]
    assert made["quantiles"] == {"ranks": list(range(10)), "scores": SCORES.tolist()}
    assert made["grid"] == list(range(11))
    assert [(c["name"], c["label"], c["size"]) for c in made["clusters"]] == [
        ("cats", 0, 5),
        ("dogs", 1, 4),
        ("birds", 2, 1),
    ]
    assert made["clusters"][0]["members"] == [0, 1, 0, 0, 1, 1, 1, 1, 0, 0]
    assert made["clusters"][2]["members"] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert made["more"] == {"clusters": 0, "size": 0}


def test_hard_scores_may_be_the_high_ones():
    low = table(bins=4)
    high = table(-SCORES, bins=4, hard="high")
    assert high["edges"] == [1.0, 0.5, 0.0, -0.5, -1.0]  # still from hard to easy
    assert (high["ranks"], high["counts"]) == (low["ranks"], low["counts"])
    assert high["quantiles"]["scores"][0] == 1.0


def test_whole_numbers_stand_in_the_middle_of_their_bins():
    made = table(np.array([4.0, 2.0, 2.0, 1.0]), [0] * 4, 1, hard="high")
    assert made["edges"] == [4.5, 3.5, 2.5, 1.5, 0.5]
    assert (made["counts"], made["ranks"]) == ([1, 0, 2, 1], [0, 1, 1, 3, 4])
    made = table(np.array([-1.0, 0.0, 0.0]), [0] * 3, 1)
    assert (made["edges"], made["counts"]) == ([-1.5, -0.5, 0.5], [1, 2])


def test_one_image():
    made = table(SCORES[:1], [0], ["all"])
    assert (made["counts"], made["ranks"], made["grid"]) == ([1], [0, 1], [0, 1])
    assert made["quantiles"] == {"ranks": [0], "scores": [-1.0]}
    assert made["clusters"] == [{"label": 0, "name": "all", "size": 1, "members": [1]}]


@pytest.mark.parametrize("hard", ["low", "high"])
def test_equal_scores_are_one_bin(hard):
    made = table(np.full(7, 3.5), [0] * 7, 1, hard=hard)
    assert (made["edges"], made["counts"], made["ranks"]) == ([3.5, 3.5], [7], [0, 7])
    assert made["clusters"][0]["name"] == "cluster 0"


@pytest.mark.parametrize("n", [2, 50, 199, 200, 201, 499, 500, 501, 12_345])
@pytest.mark.parametrize("hard", ["low", "high"])
def test_every_number_is_a_count_of_the_ranking(n, hard):
    rng = np.random.default_rng([n, 0])
    scores = np.sort(np.minimum(rng.normal(size=n).round(2), 0.7))[:: 1 if hard == "low" else -1]
    labels = rng.integers(0, 40, n)
    made = table(scores, labels, 40, hard=hard)
    ranks, grid = made["ranks"], made["grid"]
    assert sum(made["counts"]) == n and ranks[0] == grid[0] == 0 and ranks[-1] == grid[-1] == n
    for i, count in enumerate(made["counts"]):
        low, high = sorted(made["edges"][i : i + 2])
        inside = scores[ranks[i] : ranks[i + 1]]
        assert len(inside) == count and (low <= inside).all() and (inside <= high).all()
    assert made["counts"][0] > 0 and made["counts"][-1] > 0
    assert made["quantiles"]["scores"] == scores[made["quantiles"]["ranks"]].tolist()
    assert made["quantiles"]["ranks"][-1] == n - 1
    assert len(grid) <= 201 and (np.diff(grid) > 0).all()
    for cluster in made["clusters"]:
        below = [0, *np.cumsum(cluster["members"])]
        assert below == [int((labels[:rank] == cluster["label"]).sum()) for rank in grid]
        assert below[-1] == cluster["size"]
    sizes = [cluster["size"] for cluster in made["clusters"]]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) <= CLUSTERS
    assert sum(sizes) + made["more"]["size"] == n
    assert len(sizes) + made["more"]["clusters"] == len(np.unique(labels))


def test_the_table_of_a_million_is_small():
    n = 1_000_000
    scores = np.linspace(-1 / 3, 2 / 3, n)
    made = table(scores, np.arange(n) % 1000, 1000)
    assert len(json.dumps(made)) < 60_000
    assert len(json.dumps(table(scores, np.arange(n) % 30, 30))) < 60_000
    assert made["more"] == {"clusters": 970, "size": 970_000}


def test_clusters_agree_with_the_pruning():
    zones = double_end(SCORES, 3, 0.2)
    assert cluster_counts(LABELS, zones.hard_count, zones.budget).tolist() == [[1, 1, 3], [0, 2, 2], [1, 0, 0]]
    assert cluster_counts(LABELS, 0, 10, clusters=4).sum(axis=0).tolist() == [0, 10, 0]
    assert cluster_counts(LABELS, 9, 1).tolist() == [[5, 0, 0], [3, 1, 0], [1, 0, 0]]


def test_details_of_a_cut_follow_the_order_of_the_table():
    assert cut_details(table(), SCORES, LABELS, 2, 3) == {
        "scores": [0.0, 0.5],
        "clusters": [[1, 1, 3], [0, 2, 2], [1, 0, 0]],
    }
    # The smallest cluster comes last in the table, whatever its label.
    other = (LABELS + 1) % 3
    made = table(labels=other)
    assert [c["label"] for c in made["clusters"]] == [1, 2, 0]
    assert cut_details(made, SCORES, other, 2, 3)["clusters"] == [[1, 1, 3], [0, 2, 2], [1, 0, 0]]


def test_score_at_a_rank():
    assert [score_at(SCORES, rank) for rank in (0, 4, 9)] == [-1.0, 0.5, 1.0]
    for rank in (-1, 10):
        with pytest.raises(InvalidInput, match="outside 0 to 9"):
            score_at(SCORES, rank)


@pytest.mark.parametrize("cut", [(-1, 1), (0, 0), (0, 11), (10, 1), (5, 6), (0.5, 1), (True, 1), (0, float("nan"))])
def test_no_cut(cut):
    with pytest.raises(InvalidInput, match="10 images"):
        check_cut(*cut, 10)


def test_the_narrowest_and_the_widest_cut():
    for cut in ((0, 1), (9, 1), (0, 10), (np.int64(4), np.int64(6))):
        check_cut(*cut, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": []}, "no scored samples"),
        ({"scores": [np.nan] * 10}, "NaN"),
        ({"scores": SCORES[::-1]}, "hardest first"),
        ({"hard": "high"}, "hardest first"),
        ({"hard": "left"}, "'low' or 'high'"),
        ({"labels": LABELS[:9]}, "as many"),
        ({"labels": LABELS / 2}, "whole-numbered"),
        ({"labels": LABELS - 1}, "names for 0 to 2"),
        ({"names": NAMES[:2]}, "from 0 to 2, with names for 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(InvalidInput, match=message):
        table(**change)
