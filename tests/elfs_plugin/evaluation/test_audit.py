import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.evaluation import audit as evaluation
from elfs_plugin.evaluation.audit import audit, audit_zones, pseudo_label_accuracy
from elfs_plugin.pruning.zones import Zones
from tests.helpers import blobs


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    monkeypatch.setattr(evaluation, "AUDIT_STEPS", 30)


def test_names_of_the_clusters_do_not_matter():
    assert pseudo_label_accuracy([2, 2, 0, 0, 1, 1], ["a", "a", "b", "b", "c", "c"]) == 1.0


def test_accuracy_by_hand():
    # Cluster 0 holds a a a b, cluster 1 holds b b a: a-0 and b-1 give 3 + 2 of 7.
    clusters = [0, 0, 0, 0, 1, 1, 1]
    assert pseudo_label_accuracy(clusters, list("aaabbba")) == pytest.approx(5 / 7)


def test_matching_is_one_to_one_and_globally_best():
    # Greedy would match cluster 0 with a (5) and leave cluster 1 with b (0); the best is 4 + 3 = 7 of 12.
    overlap = {(0, "a"): 5, (0, "b"): 4, (1, "a"): 3, (1, "b"): 0}
    pairs = [pair for pair, count in overlap.items() for _ in range(count)]
    clusters, truth = zip(*pairs)
    assert pseudo_label_accuracy(clusters, truth) == pytest.approx(7 / 12)


def test_more_clusters_than_classes_and_fewer():
    assert pseudo_label_accuracy([0, 0, 1, 2, 2, 2], list("aaabbb")) == pytest.approx(5 / 6)
    assert pseudo_label_accuracy([0, 0, 0, 0], list("aabc")) == pytest.approx(0.5)


def test_audit_of_an_easy_task():
    vectors, labels = blobs(clusters=2, dim=4)
    reports = []
    result = audit(
        vectors,
        1 - labels,
        np.arange(20),
        np.array(["cat", "dog"])[labels],
        seeds=2,
        device="cpu",
        progress=lambda fraction, detail="": reports.append(fraction),
    )
    assert result.pseudo_label_accuracy == 1.0
    assert result.coreset.tolist() == [1.0, 1.0] and result.random.tolist() == [1.0, 1.0]
    assert result.budget == 20 and reports == [0.5, 1.0]


def test_a_coreset_of_one_class_does_worse_than_random():
    vectors, labels = blobs(clusters=2, dim=4)
    result = audit(vectors, labels, np.flatnonzero(labels == 0)[:20], labels, seeds=3, device="cpu")
    assert result.coreset.mean() < 0.8 < result.random.mean()


def test_the_classifiers_never_see_the_test_tenth(monkeypatch):
    vectors, labels = blobs(40, clusters=2, dim=4)
    sets = []
    real = evaluation.fit

    class Spy:
        def __init__(self, model):
            self._model = model

        def predict(self, inputs):
            sets.append(("test", inputs))
            return self._model.predict(inputs)

    def fit(inputs, *args, **kwargs):
        sets.append(("train", inputs))
        return Spy(real(inputs, *args, **kwargs))

    monkeypatch.setattr(evaluation, "fit", fit)
    audit(vectors, labels, np.arange(20), labels, seeds=3, device="cpu")
    assert len(sets) == 12
    for (_, train), (_, test) in zip(sets[::2], sets[1::2]):
        assert len(test) == 4
        assert not {row.tobytes() for row in train} & {row.tobytes() for row in test}
    for k in range(0, 12, 4):  # as many random ones as of the coreset
        assert len(sets[k][1]) == len(sets[k + 2][1])


def test_same_seed_same_audit():
    vectors, labels = blobs(40, clusters=2, dim=4)
    vectors += np.random.default_rng(1).normal(scale=2, size=vectors.shape).astype(np.float32)
    one, same = (audit(vectors, labels, np.arange(15), labels, seeds=2, device="cpu") for _ in range(2))
    assert np.array_equal(one.coreset, same.coreset) and np.array_equal(one.random, same.random)


def test_refusals():
    vectors, labels = blobs(40, clusters=2, dim=4)
    with pytest.raises(InvalidInput, match="at least 20 samples of at least two classes"):
        audit(vectors[:19], labels[:19], np.arange(5), labels[:19])
    with pytest.raises(InvalidInput, match="at least 20 samples of at least two classes"):
        audit(vectors, labels, np.arange(5), np.zeros(40))
    with pytest.raises(InvalidInput, match="coreset of 1 is too small") as error:
        audit(vectors, labels, np.array([0]), labels, seeds=60)
    assert error.value.field == "budget"


def test_zones_by_hand():
    # Cluster 0 is matched to "cat" (3 of 4), cluster 1 to "dog" (3 of 4): positions 3 and 6 are wrong.
    clusters = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    truth = np.array(["cat", "cat", "cat", "dog", "dog", "dog", "cat", "dog"])
    zones = np.array(["hard", "coreset", "coreset", "hard", "easy", "easy", "coreset", "easy"])
    found = audit_zones(zones, clusters, truth)
    assert found.classes == ["cat", "dog"]
    assert found.counts.tolist() == [[1, 1], [3, 0], [0, 3]]
    assert found.pseudo_label_accuracy == pytest.approx([1 / 2, 2 / 3, 1])
    ranks = np.array([0, 2, 3, 1, 5, 6, 4, 7])
    assert np.array_equal(audit_zones(Zones(ranks, 2, 3), clusters, truth).counts, found.counts)


def test_a_zone_without_samples():
    found = audit_zones(np.array(["coreset"] * 4), [0, 0, 1, 1], [5, 5, 7, 7])
    assert found.classes == ["5", "7"] and found.counts.tolist() == [[0, 0], [2, 2], [0, 0]]
    assert found.to_dict()["pseudo_label_accuracy"] == [None, 1.0, None]


def test_zones_that_do_not_fit():
    with pytest.raises(InvalidInput, match="must be as many"):
        audit_zones(np.array(["easy"]), [0, 1], [0, 1])
    with pytest.raises(InvalidInput, match="Unknown zone 'middle'"):
        audit_zones(np.array(["easy", "middle"]), [0, 1], [0, 1])
