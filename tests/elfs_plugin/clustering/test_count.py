import json

import numpy as np
import pytest

from elfs_plugin.clustering.count import ClusterCount, conclude, estimate
from elfs_plugin.clustering.count_choice import CRITERIA, choose
from elfs_plugin.clustering.count_criteria import modularity, prediction_strength, simplified_silhouette
from elfs_plugin.errors import Cancelled, InvalidInput
from elfs_plugin.neighbors.graph import knn_graph


def groups(n, count, dim=32, spread=0.8, seed=0):
    """Gaussian groups, equally likely."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, dim))
    return centres[rng.integers(count, size=n)] + spread * rng.normal(size=(n, dim))


def curves(strength, silhouette, modularity):
    return {name: np.array(v, dtype=float) for name, v in zip(CRITERIA, (strength, silhouette, modularity))}


def test_prediction_strength_by_hand():
    # Cluster 0: all 3 pairs predicted together. Cluster 1: one pair of three.
    own, predicted = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 0, 1, 1, 0])
    assert prediction_strength(own, predicted, 2) == pytest.approx(1 / 3)


def test_prediction_strength_sets_one_cluster_in_twenty_aside():
    own = np.repeat(np.arange(21), 4)
    predicted = own.copy()
    predicted[:2] = 19  # cluster 0 is torn in two: 2 of its 6 pairs are left
    assert prediction_strength(own, predicted, 21) == 1.0
    assert prediction_strength(own[:80], predicted[:80], 20) == pytest.approx(2 / 6)  # of twenty, the worst counts
    assert prediction_strength(own[:80], predicted[:80], 21) == pytest.approx(2 / 6)  # cluster 20 is empty, set aside


def test_a_few_too_many_do_not_beat_the_strongest():
    candidates = np.array([50, 60, 66, 72])
    strength = curves([1.0, 0.98, 0.85, 0.5], [0, 0, 0, 0], [0, 0, 0, 0])
    nothing = curves([0.1] * 4, [0] * 4, [0] * 4)
    assert choose(candidates, strength, nothing)["prediction_strength"] == 60


def test_silhouette_and_modularity_by_hand():
    assert simplified_silhouette(np.array([[1.0, 2.0], [1.0, 4.0], [0.0, 0.0]])) == pytest.approx((0.5 + 0.75 + 1) / 3)
    neighbors = np.array([[1], [0], [3], [2]])
    assert modularity(np.array([0, 0, 1, 1]), neighbors, 2) == 0.5  # all together, half of them by chance
    assert modularity(np.array([0, 1, 0, 1]), neighbors, 2) == -0.5
    assert modularity(np.array([0, 0, 0, 0]), neighbors, 2) == 0.0


def test_choices_by_hand():
    candidates = np.array([2, 4, 6, 8])
    data = curves([0.99, 0.95, 0.85, 0.6], [0.2, 0.3, 0.35, 0.3], [0.4, 0.7, 0.6, 0.5])
    reference = curves([0.99, 0.6, 0.5, 0.4], [0.1, 0.05, 0.2, 0.2], [0.3, 0.5, 0.4, 0.3])
    # The largest strong number; the widest margin over the reference (0.25 at 4); the highest modularity.
    assert choose(candidates, data, reference) == {"prediction_strength": 6, "silhouette": 4, "modularity": 4}


def test_what_the_reference_does_as_well_is_no_finding():
    candidates = np.array([2, 4, 6, 8])
    same = curves([0.99, 0.5, 0.5, 0.4], [0.2, 0.1, 0.1, 0.1], [0.4, 0.5, 0.5, 0.3])
    assert choose(candidates, same, same) == {"prediction_strength": 1, "silhouette": 1, "modularity": 1}
    count = conclude(candidates, same, same, rows=100)
    assert not count.clear and not count.agree and (count.low, count.high) == (2, 8)
    assert "No clear groups" in count.explanation and "Set the number of classes yourself" in count.explanation


def at(pick, candidates):
    """Curves and reference whose criteria choose ``pick`` (three numbers, 1 for none)."""
    shape = (3, len(candidates))
    data, reference = np.full(shape, 0.1), np.full(shape, 0.1)
    for row, number in enumerate(pick):
        data[row, candidates == number] = 1.0
    return curves(*data), curves(*reference)


@pytest.mark.parametrize(
    ("picks", "suggested", "low", "high", "agree", "said"),
    [
        ((10, 10, 10), 10, 9, 11, True, "All 3 criteria point to 10 clusters"),
        ((10, 11, 10), 10, 9, 12, True, "All 3 criteria point to 10 to 11 clusters"),
        ((4, 3, 5), 4, 2, 6, False, "All 3 criteria point to 3 to 5 clusters"),
        ((10, 3, 10), 10, 2, 11, False, "2 of 3 criteria point to 10 clusters"),
        ((6, 3, 12), 6, 2, 13, False, "the criteria disagree"),
        ((10, 1, 10), 10, 9, 11, False, "2 of 3 criteria point to 10 clusters"),
        ((4, 1, 9), 6, 3, 10, False, "the criteria disagree"),
    ],
)
def test_conclusions(picks, suggested, low, high, agree, said):
    candidates = np.arange(2, 30)
    count = conclude(candidates, *at(picks, candidates), rows=500)
    assert tuple(count.picks.values()) == picks and count.clear
    assert (count.suggested, count.low, count.high, count.agree) == (suggested, low, high, agree)
    assert said in count.explanation


@pytest.mark.parametrize("truth", [4, 15])
def test_gaussian_groups(truth):
    count = estimate(groups(1500, truth), seed=1)
    assert count.picks == dict.fromkeys(CRITERIA, truth)
    assert count.suggested == truth and count.agree and count.clear and count.low < truth < count.high
    assert count.rows == 1500
    assert (np.diff(count.candidates) > 0).all() and count.candidates[0] == 2 and count.candidates[-1] == 75


@pytest.mark.parametrize("power", [0.0, 0.7])
def test_one_cloud_has_no_clear_clusters(power):
    scale = np.arange(1, 33) ** -power
    count = estimate(np.random.default_rng(0).normal(size=(1500, 32)) * scale)
    assert not count.clear and not count.agree and count.suggested >= 2
    assert "No clear groups" in count.explanation


def test_same_seed_same_result_and_plain_numbers():
    vectors = groups(400, 5)
    first, second = estimate(vectors, seed=3).to_dict(), estimate(vectors, seed=3).to_dict()
    assert first == second == json.loads(json.dumps(first))
    assert ClusterCount.from_dict(first).to_dict() == first
    assert set(first["curves"]) == set(first["reference"]) == set(first["picks"]) == set(CRITERIA)
    assert all(len(curve) == len(first["candidates"]) for curve in first["curves"].values())


def test_the_given_candidates_and_no_others():
    assert estimate(groups(400, 5), candidates=[8, 5, 2, 5]).candidates.tolist() == [2, 5, 8]


@pytest.mark.parametrize("candidates", [[], [1, 5], [5, 101]])
def test_impossible_candidates(candidates):
    with pytest.raises(InvalidInput, match="2 to 100") as error:
        estimate(groups(400, 5), candidates=candidates)
    assert error.value.field == "num_clusters"


def test_a_given_graph_is_used():
    vectors = groups(300, 3)
    graph = knn_graph(vectors, 20)
    scrambled = type(graph)(np.random.default_rng(0).integers(300, size=(300, 20), dtype=np.int32), graph.similarities)
    assert estimate(vectors, graph).curves["modularity"].max() > 0.6
    assert estimate(vectors, scrambled).curves["modularity"].max() < 0.1


def test_a_sample_of_many(monkeypatch):
    monkeypatch.setattr("elfs_plugin.clustering.count.SAMPLE_ROWS", 500)
    vectors = groups(900, 4)
    count = estimate(vectors, knn_graph(vectors, 15))
    assert count.rows == 500 and count.suggested == 4


def test_copies_count_once():
    vectors = groups(300, 4)
    copies = np.concatenate([vectors, np.repeat(vectors[:5], 200, axis=0), vectors[:50]])
    count = estimate(copies, knn_graph(copies, 15))
    assert count.rows == 300 and count.suggested == 4


@pytest.mark.parametrize(
    "vectors", [groups(19, 2), np.ones((500, 8)), np.zeros((0, 4)), groups(10, 2).repeat(9, axis=0), groups(99, 2, 1)]
)
def test_too_few_different_vectors(vectors):
    with pytest.raises(InvalidInput, match="by hand") as error:
        estimate(vectors)
    assert error.value.field == "num_clusters"


@pytest.mark.parametrize(("n", "dim"), [(20, 3), (40, 2)])
def test_small_and_flat(n, dim):
    count = estimate(groups(n, 2, dim))
    assert 2 <= count.suggested <= count.high


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    vectors = groups(50, 2)
    vectors[3, 1] = value
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        estimate(vectors)


def test_not_a_table():
    with pytest.raises(InvalidInput, match="matrix"):
        estimate(np.zeros(50))


def test_progress_rises_to_one_and_cancels():
    reports = []
    estimate(groups(100, 3), progress=lambda fraction, detail="": reports.append(fraction))
    assert reports == sorted(reports) and reports[-1] == 1.0

    def cancel(fraction, detail=""):
        if fraction > 0.3:
            raise Cancelled()

    with pytest.raises(Cancelled):
        estimate(groups(100, 3), progress=cancel)
