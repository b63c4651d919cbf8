import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.selectors import available
from elfs_plugin.selectors.recommend import LEARNERS, check_learner, check_method, recommend


@pytest.mark.parametrize("budget", [10, 500, 5000, 10_000])
def test_coverage_for_a_model_on_embeddings_at_every_budget(budget):
    found = recommend(10_000, budget)
    assert (found.method, found.second) == ("graph_coverage", "k_medoids")
    assert found.reason.startswith(f"{budget:,} of 10,000 images ({budget / 100:.1f}%)")


def test_elfs_for_a_network_from_scratch_at_large_budgets():
    assert recommend(10_000, 1000, learner="network").method == "elfs"
    assert recommend(10_000, 999, learner="network").method == "graph_coverage"


@pytest.mark.parametrize("budget", [10, 5000])
def test_what_is_far_from_all_others_for_rare_classes(budget):
    found = recommend(10_000, budget, learner="rare")
    assert found.method == "k_center" and "lost to random images where classes are about equally large" in found.reason


def test_doubtful_pseudo_labels_are_not_relied_on():
    found = recommend(10_000, 5000, learner="network", trusted=False)
    assert found.method == "graph_coverage" and "doubtful" in found.reason


def test_at_few_labels_for_each_cluster_the_second_reads_the_pseudo_labels():
    seconds = [recommend(1000, budget, clusters=10).second for budget in (20, 21)]
    assert seconds == ["prune4rel", "k_medoids"]
    assert recommend(1000, 20).second == recommend(1000, 20, clusters=10, trusted=False).second == "k_medoids"


def test_the_reason_names_what_is_known():
    assert "about 2.5 for each cluster" in recommend(1000, 25, clusters=10).reason
    assert "the 30 labelled ones" in recommend(1000, 25, labelled=30).reason


def test_both_are_selectors():
    for learner in LEARNERS:
        for trusted in (True, False):
            found = recommend(100, 50, learner=learner, trusted=trusted)
            assert {found.method, found.second} <= set(available()) and found.method != found.second


def test_names_are_checked():
    check_method("auto")
    check_method("zcore")
    check_learner("network")
    with pytest.raises(InvalidInput, match="Unknown method 'best'. Use one of: auto, elfs") as error:
        check_method("best")
    assert error.value.field == "method"
    with pytest.raises(InvalidInput, match="Unknown learner 'me'. Use one of: probe, rare, network"):
        check_learner("me")
