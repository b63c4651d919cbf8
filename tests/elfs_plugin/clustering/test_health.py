import numpy as np
import pytest

from elfs_plugin.clustering.health import health, health_warnings, marginal_entropy, per_cluster, reassurance
from elfs_plugin.clustering.pseudo_labels import PseudoLabels


def pseudo_labels(
    labels, num_clusters, *, agreement=1.0, seed_agreement=1.0, confidence=1.0, heads=3, separation=np.nan
):
    labels = np.asarray(labels)
    n = len(labels)
    return PseudoLabels(
        labels=labels,
        confidence=np.broadcast_to(confidence, n),
        agreement=np.broadcast_to(agreement, n),
        head_losses=np.zeros(heads),
        best_head=0,
        occupancy=np.bincount(labels, minlength=num_clusters),
        loss_curve=np.zeros(1),
        head_scores=np.zeros(heads),
        seed_agreement=seed_agreement,
        separation=separation,
    )


def test_marginal_entropy():
    assert marginal_entropy([5, 5, 5, 5]) == pytest.approx(1.0)
    assert marginal_entropy([10, 0]) == 0.0
    assert marginal_entropy([5, 5, 0, 0]) == pytest.approx(0.5)
    assert marginal_entropy([7]) == 0.0 and marginal_entropy([0, 0]) == 0.0


def test_numbers_by_hand():
    numbers = health(pseudo_labels([0] * 30 + [1] * 9 + [2], 4, confidence=0.8, agreement=0.9, seed_agreement=np.nan))
    # 40 samples in 4 clusters: an even share is 10, so the one of cluster 2 is not a tenth... it is exactly a tenth.
    assert (numbers["clusters"], numbers["empty"], numbers["tiny"]) == (4, 1, 0)
    assert (numbers["smallest"], numbers["largest"]) == (0, 30)
    assert numbers["confidence"] == pytest.approx(0.8) and numbers["agreement"] == pytest.approx(0.9)
    assert numbers["seed_agreement"] is None


def test_no_warnings_for_even_clusters():
    assert health_warnings(pseudo_labels([0, 1] * 10, 2)) == []


def test_warning_about_empty_clusters():
    warnings = health_warnings(pseudo_labels([0, 1] * 10, 3))
    assert len(warnings) == 1 and warnings[0].startswith("1 of 3 clusters are empty")


def test_warning_about_tiny_clusters_and_collapse():
    # 100 samples, 4 clusters: an even share is 25, a tenth of it 2.5.
    warnings = health_warnings(pseudo_labels([0] * 96 + [1, 1] + [2, 3], 4))
    assert warnings[0].startswith("3 of 4 clusters hold less than a tenth")
    assert "collapse" in warnings[1] and len(warnings) == 2
    assert health_warnings(pseudo_labels([0] * 47 + [1] * 47 + [2] * 3 + [3] * 3, 4)) == []


def test_warning_about_uncertain_clusters():
    warnings = health_warnings(pseudo_labels([0, 1] * 10 + [2] * 10, 3, confidence=0.4))
    assert len(warnings) == 1 and "probability of 40%" in warnings[0]


def test_warning_about_heads_that_disagree():
    warnings = health_warnings(pseudo_labels([0, 1] * 10, 2, agreement=0.5))
    assert len(warnings) == 1 and "agree on only 50%" in warnings[0]
    assert health_warnings(pseudo_labels([0, 1] * 10, 2, agreement=0.5, heads=1)) == []


def test_warning_about_seeds_that_disagree():
    warnings = health_warnings(pseudo_labels([0, 1] * 10, 2, agreement=0.8, seed_agreement=0.6))
    assert len(warnings) == 1 and "another seed would give other clusters" in warnings[0]


@pytest.mark.parametrize(
    "separation, warned, reassured",
    [(0.9, None, True), (0.6, None, True), (0.59, "only in part", False), (0.2, "hardly stand apart", False)],
)
def test_sure_heads_are_no_reassurance_over_clusters_that_do_not_stand_apart(separation, warned, reassured):
    found = pseudo_labels([0, 1] * 10, 2, separation=separation)
    warnings = health_warnings(found)
    assert len(warnings) == (warned is not None) and all(warned in text for text in warnings)
    assert (reassurance(health(found)) is not None) == reassured


def test_no_reassurance_where_the_separation_is_not_known():
    numbers = health(pseudo_labels([0, 1] * 10, 2))
    assert numbers["separation"] is None and reassurance(numbers) is None
    # As a run that was written before holds it.
    assert reassurance({name: value for name, value in numbers.items() if name != "separation"}) is None


def test_per_cluster_names_the_sample_it_is_most_certain_of():
    found = pseudo_labels([2, 0, 0, 2, 0], 3, confidence=[0.5, 0.9, 0.7, 0.5, 0.8], agreement=[1.0, 0.0, 0.5, 0.5, 1.0])
    assert per_cluster(found, ["e", "d", "c", "b", "a"]) == [
        {"cluster": 0, "size": 3, "confidence": pytest.approx(0.8), "agreement": pytest.approx(0.5), "id": "d"},
        {"cluster": 2, "size": 2, "confidence": pytest.approx(0.5), "agreement": pytest.approx(0.75), "id": "b"},
    ]
