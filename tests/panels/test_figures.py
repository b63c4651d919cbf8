"""The figures say what the numbers say: which axis is which, and which bar belongs to which zone."""

import json

import pytest


@pytest.fixture(scope="module")
def figures(plugin):
    return plugin("panels.figures")


def test_a_row_of_the_overlap_is_the_share_of_its_own_coreset(figures):
    """Of a's 10 images 5 are in b, half of a; of b's 20 they are a quarter."""
    comparison = {
        "names": ["a", "b"],
        "overlap": [[10, 5], [5, 20]],
        "overlap_share": [[1.0, 0.5], [0.25, 1.0]],
    }
    (trace,) = figures.overlap_figure(comparison)
    place = {(y, x): (i, j) for i, y in enumerate(trace["y"]) for j, x in enumerate(trace["x"])}
    (i, j), (k, m) = place["a", "b"], place["b", "a"]
    assert trace["z"][i][j] == 0.5 and trace["text"][i][j] == "50%<br>5"
    assert trace["z"][k][m] == 0.25 and trace["text"][k][m] == "25%<br>5"
    assert trace["hovertemplate"].startswith("%{z:.1%} of %{y} is also in %{x}")
    layout = figures.overlap_layout(2)
    assert layout["title"]["text"] == "How much of the row is also in the column"
    assert layout["yaxis"]["autorange"] == "reversed"  # the first row on top, as in a table


def test_long_names_of_coresets_are_broken(figures):
    comparison = {"names": ["elfs: β = 0.1, budget 10", "tag"], "overlap": [[1, 0], [0, 1]]}
    (trace,) = figures.overlap_figure({**comparison, "overlap_share": [[1.0, 0.0], [0.0, 1.0]]})
    assert trace["x"] == trace["y"] == ["elfs:<br>β = 0.1<br>budget 10", "tag"]


@pytest.mark.parametrize(
    ("hard", "budget", "expected"),
    [
        (0, 10, {"hard": [0, 0, 0], "coreset": [2, 5, 3], "easy": [0, 0, 0]}),
        (3, 4, {"hard": [2, 1, 0], "coreset": [0, 4, 0], "easy": [0, 0, 3]}),
        (1, 1, {"hard": [1, 0, 0], "coreset": [1, 0, 0], "easy": [0, 5, 3]}),
    ],
)
def test_each_image_of_the_histogram_is_in_one_zone(figures, hard, budget, expected):
    """Ten images in bins of 2, 5 and 3, hardest first."""
    table = {"edges": [0.0, 1.0, 2.0, 3.0], "ranks": [0, 2, 7, 10], "n": 10}
    traces = figures.histogram_figure(table, hard, budget)
    found = dict(zip(("hard", "coreset", "easy"), traces))
    assert {zone: trace["y"] for zone, trace in found.items()} == expected
    for zone, trace in found.items():
        assert trace["x"] == [0.5, 1.5, 2.5] and trace["marker"]["color"] == figures.COLORS[zone]
        assert trace["name"] == f"{figures.ZONE_NAMES[zone]} ({sum(expected[zone])})"


def test_the_curve_marks_the_chosen_beta_and_the_one_that_is_shown(figures):
    curve = {
        "betas": [0.0, 0.1, 0.2],
        "accuracies": [[0.5, 0.6], [0.8, 0.9], [0.7, 0.9]],
        "mean": [0.55, 0.85, 0.8],
        "spread": [0.05, 0.05, 0.1],
        "chosen": 0.2,
        "smallest": 0.1,
    }
    traces = {trace["name"]: trace for trace in figures.curve_figure(curve, 0.15)}
    repeats = traces["each repeat"]
    assert list(zip(repeats["x"], repeats["y"])) == [(0, 0.5), (0, 0.6), (0.1, 0.8), (0.1, 0.9), (0.2, 0.7), (0.2, 0.9)]
    assert (traces["mean ± sd"]["y"], traces["mean ± sd"]["error_y"]["array"]) == (curve["mean"], curve["spread"])
    assert (traces["chosen"]["x"], traces["chosen"]["y"]) == ([0.2], [0.8])
    assert (traces["smallest within 1 sd"]["x"], traces["smallest within 1 sd"]["y"]) == ([0.1], [0.85])
    assert (traces["β now"]["x"], traces["β now"]["y"]) == ([0.15, 0.15], [0.5, 0.9])


def test_a_cluster_s_bar_is_cut_where_the_ranks_are(figures):
    """Of ten ranks 'a' has the first four, 'b' the rest; counts are kept at every fifth rank."""
    table = {
        "n": 10,
        "grid": [0, 2, 4, 6, 8, 10],
        "clusters": [{"name": "a", "members": [2, 2, 0, 0, 0]}, {"name": "b", "members": [0, 0, 2, 2, 2]}],
    }
    found = {trace["name"]: dict(zip(trace["y"], trace["x"])) for trace in figures.cluster_figure(table, 2, 4)}
    assert found == {"too hard": {"a": 2, "b": 0}, "coreset": {"a": 2, "b": 2}, "too easy": {"a": 0, "b": 4}}


def test_what_is_not_known_is_a_gap_and_json(figures):
    count = {
        "candidates": [2, 3],
        "curves": {"silhouette": [0.5, float("nan")]},
        "reference": {"silhouette": [None, 0.1]},
    }
    real, reference = figures.count_figure(count)
    assert (real["y"], reference["y"]) == ([0.5, None], [None, 0.1])
    assert "NaN" not in json.dumps([real, reference])


def test_methods_are_ordered_by_what_they_gain_at_the_largest_budget(figures):
    found = {
        "methods": ["elfs", "random", "ccs"],
        "budgets": [10, 20],
        "difference_mean": [[0.3, 0.02], [0.0, 0.0], [-0.1, 0.05]],
        "difference_sd": [[0.01, 0.02], [0.0, 0.0], [None, 0.03]],
    }
    small, large = figures.method_figure(found)
    assert small["y"] == large["y"] == ["random", "elfs", "ccs"]  # the first is lowest
    assert (small["x"], large["x"]) == ([0.0, 30.0, -10.0], [0.0, 2.0, 5.0])
    assert small["error_x"]["array"] == [0.0, 1.0, 0] and large["name"] == "20 images"


def test_the_budget_that_is_enough_is_marked_on_the_curve_of_the_coreset(figures):
    curve = {
        "budgets": [10, 20],
        "coreset": [[0.5, 0.7], [0.8, 0.8]],
        "random": [[0.4, 0.4], [0.6, 0.8]],
        "coreset_mean": [0.6, 0.8],
        "random_mean": [0.4, 0.7],
        "coreset_sd": [0.1, 0.0],
        "random_sd": [0.0, 0.1],
        "enough": 20,
    }
    traces = {trace["name"]: trace for trace in figures.budget_figure(curve)}
    assert (traces["enough: 20"]["x"], traces["enough: 20"]["y"]) == ([20], [0.8])
    assert traces["Random"]["y"] == [0.4, 0.7] and traces["Coreset"]["error_y"]["array"] == [0.1, 0.0]
    assert traces["random, each repeat"]["x"] == [10, 10, 20, 20]


def test_bars_of_true_classes_keep_their_zones(figures):
    zones = {"zones": ["hard", "easy"], "classes": ["cat", "dog"], "counts": [[1, 2], [3, 4]]}
    hard, easy = figures.truth_figure(zones)
    assert (hard["name"], hard["x"], hard["marker"]["color"]) == ("too hard", [1, 2], figures.COLORS["hard"])
    assert (easy["name"], easy["x"], easy["y"]) == ("too easy", [3, 4], ["cat", "dog"])
