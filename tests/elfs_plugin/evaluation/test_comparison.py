import json

import numpy as np
import pytest

from elfs_plugin.errors import Cancelled, InvalidInput
from elfs_plugin.evaluation import comparison, probe
from elfs_plugin.evaluation.comparison import compare, compare_arrays, near_duplicate_pairs
from elfs_plugin.evaluation.probe import Repeat
from elfs_plugin.evaluation.tables import coreset_rows, to_csv
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.neighbors.neighbor_graph import NeighborGraph
from elfs_plugin.neighbors.vectors import normalize
from elfs_plugin.order import Order
from elfs_plugin.selectors import Pool, select
from tests.few_steps import candidate_steps
from tests.helpers import blobs


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    candidate_steps(30, replace=monkeypatch.setattr)


def test_overlap_by_hand():
    vectors, labels = blobs()
    found = compare_arrays(
        {"a": np.arange(10), "b": np.arange(5, 25), "c": np.arange(40, 44)}, vectors, labels, seeds=1
    )
    assert found.names == ["a", "b", "c"] and found.sizes.tolist() == [10, 20, 4]
    assert found.overlap.tolist() == [[10, 5, 0], [5, 20, 0], [0, 0, 4]]
    assert found.overlap_share.tolist() == [[1, 0.5, 0], [0.25, 1, 0], [0, 0, 1]]
    assert found.chance.tolist() == [10 / 80, 20 / 80, 4 / 80]


def test_coverage_by_hand():
    """Forty at 0°, twenty at 90°, twenty at 180°; one chosen at 0°, or one at 0° and one at 90°."""
    directions = np.repeat([[1.0, 0], [0, 1], [-1, 0]], [40, 20, 20], axis=0) * np.arange(1, 81)[:, None]
    labels = np.repeat([0, 1, 2], [40, 20, 20])
    found = compare_arrays({"one": [7], "two": [7, 50], "all": np.arange(80)}, directions, labels, seeds=2)
    assert found.coverage[0] == pytest.approx([(40 * 0 + 20 * 1 + 20 * 2) / 80, 2, 2])
    assert found.coverage[1] == pytest.approx([20 / 80, 1, 1])
    assert found.coverage[2] == pytest.approx([0, 0, 0])
    assert found.coverage_random[2] == pytest.approx(np.zeros((2, 3)))
    assert found.coverage_queries == 80


def test_coverage_is_the_same_in_blocks_and_by_definition(monkeypatch):
    vectors, labels = blobs(120, noise=1.0)
    chosen = np.arange(0, 120, 9)
    monkeypatch.setattr(comparison, "QUERY_ROWS", 7)
    found = compare_arrays({"a": chosen, "b": [1, 2]}, vectors, labels, seeds=1).coverage[0]
    unit = normalize(vectors)
    nearest = (1 - (unit @ unit[chosen].T).max(axis=1)).clip(0)
    assert found == pytest.approx([nearest.mean(), np.quantile(nearest, 0.95), nearest.max()], abs=1e-6)


def test_coverage_of_a_large_pool_is_measured_on_a_sample(monkeypatch):
    vectors, labels = blobs(120)
    monkeypatch.setattr(comparison, "COVERAGE_COST", 1)
    monkeypatch.setattr(comparison, "LEAST_QUERIES", 50)
    found = compare_arrays({"a": np.arange(30), "b": np.arange(30, 60)}, vectors, labels, seeds=1)
    assert found.coverage_queries == 50
    assert (found.coverage[:, 0] <= found.coverage[:, 2]).all()


def test_balance_by_hand():
    vectors, labels = blobs()  # 20 of each of four clusters
    one_cluster = np.flatnonzero(labels == 0)[:10]
    half = np.concatenate([np.flatnonzero(labels == 1)[:5], np.flatnonzero(labels == 2)[:5]])
    found = compare_arrays({"one": one_cluster, "half": half, "even": np.arange(8)}, vectors, labels, seeds=2)
    assert found.pool_counts.tolist() == [20, 20, 20, 20]
    assert found.cluster_counts.tolist() == [[10, 0, 0, 0], [0, 5, 5, 0], [2, 2, 2, 2]]
    assert found.imbalance == pytest.approx([0.75, 0.5, 0.0])
    assert found.imbalance_random.shape == (3, 2)


def test_near_duplicates_by_hand():
    # 0-1 and 1-2 are close, 3-4 as well; 5 stands alone. Both directions of a pair count once.
    graph = NeighborGraph(
        np.array([[1], [0], [1], [4], [3], [0]], dtype=np.int32),
        np.array([[0.99], [0.99], [0.97], [0.95], [0.95], [0.2]], dtype=np.float32),
    )
    assert near_duplicate_pairs(np.arange(6), graph, 0.95) == 3
    assert near_duplicate_pairs(np.arange(6), graph, 0.98) == 1
    assert near_duplicate_pairs(np.array([0, 2, 3]), graph, 0.0) == 0
    assert near_duplicate_pairs(np.array([3, 4]), graph, 0.9) == 1


def test_near_duplicates_are_found_with_and_without_a_graph():
    vectors, labels = blobs(100, noise=1.0)
    vectors[1], vectors[3], vectors[5] = vectors[0], vectors[2], vectors[4]
    sets = {"pairs": np.arange(6), "none": np.arange(20, 26)}
    with_graph = compare_arrays(sets, vectors, labels, neighbors=knn_graph(vectors, 5), seeds=1)
    without = compare_arrays(sets, vectors, labels, seeds=1)
    assert with_graph.near_duplicates.tolist() == without.near_duplicates.tolist() == [3, 0]
    assert with_graph.duplicate_similarity == pytest.approx(without.duplicate_similarity)


def test_the_probe_knows_what_its_coreset_shows():
    vectors, labels = blobs()
    good = np.arange(0, 40)
    one_cluster = np.flatnonzero(labels == 0)
    found = compare_arrays({"good": good, "one": one_cluster}, vectors, labels, seeds=3)
    assert found.accuracy.shape == found.accuracy_random.shape == (2, 3)
    assert found.accuracy[0].mean() > 0.95
    assert found.accuracy[1].mean() < 0.6 < found.accuracy_random[1].mean()
    assert "one: " in found.sentences[1] and "worse than Random of the same size" in found.sentences[1]


def test_the_held_out_tenth_is_in_no_training_set(monkeypatch):
    vectors, labels = blobs()
    seen = []
    real = probe.accuracies

    def spy(inputs, labels, tasks, **options):
        seen.extend(tasks)
        return real(inputs, labels, tasks, **options)

    monkeypatch.setattr(probe, "accuracies", spy)
    compare_arrays({"a": np.arange(30), "b": np.arange(20, 70)}, vectors, labels, seeds=3)
    assert len(seen) == 12
    for coreset, random in zip(seen[::2], seen[1::2]):
        assert len(coreset.held_out) == 8
        assert not set(coreset.rows) & set(coreset.held_out) and not set(random.rows) & set(random.held_out)
        assert len(coreset.rows) == len(random.rows) and coreset.seed == random.seed
        assert np.array_equal(coreset.held_out, random.held_out)
    assert len({tuple(task.held_out) for task in seen}) == 3


def test_identical_coresets_give_identical_numbers():
    vectors, labels = blobs(noise=1.5)
    found = compare_arrays({"a": np.arange(25), "again": np.arange(25)[::-1]}, vectors, labels, seeds=2)
    assert found.overlap_share.tolist() == [[1, 1], [1, 1]]
    for values in (found.accuracy, found.accuracy_random, found.coverage, found.imbalance, found.near_duplicates):
        assert np.array_equal(values[0], values[1])


def test_the_order_of_the_samples_does_not_matter():
    vectors, labels = blobs(noise=1.0)
    ids = np.array([f"{k:03}" for k in range(80)])
    other = np.random.default_rng(3).permutation(80)
    place = np.argsort(other)
    sets = {"a": np.arange(20), "b": np.arange(30, 60)}
    one = compare_arrays(sets, vectors, labels, ids=ids, seeds=2, seed=4)
    two = compare_arrays(
        {k: place[v] for k, v in sets.items()}, vectors[other], labels[other], ids=ids[other], seeds=2, seed=4
    )
    assert np.allclose(one.coverage_random, two.coverage_random, atol=1e-6)
    assert np.array_equal(one.accuracy, two.accuracy)
    assert np.array_equal(one.accuracy_random, two.accuracy_random)
    assert np.array_equal(one.imbalance_random, two.imbalance_random)


def test_a_coreset_of_one_sample():
    vectors, labels = blobs(20, clusters=2)
    held_out = Repeat(Order(20), 0, 0).held_out[:1]
    found = compare_arrays({"one": held_out, "ten": np.arange(10)}, vectors, labels, seeds=8)
    lost = np.isnan(found.accuracy[0])  # the splits that hold this very sample out, the first one among them
    assert 0 < lost.sum() < 8 and np.array_equal(lost, np.isnan(found.accuracy_random[0]))
    stored = json.loads(json.dumps(found.to_dict()))
    assert stored["accuracy"][0].count(None) == lost.sum()
    assert stored["accuracy_mean"][0] == pytest.approx(found.accuracy[0][~lost].mean())
    assert f"{lost.sum()} split(s) left nothing to train on" in found.sentences[0]


def test_the_stored_form_is_plain_and_complete():
    vectors, labels = blobs(50)
    found = compare_arrays({"a": np.arange(10), "b": np.arange(5, 15)}, vectors, labels, seeds=2)
    stored = json.loads(json.dumps(found.to_dict()))
    assert stored["sizes"] == [10, 10] and stored["size_of_pool"] == 50
    assert stored["coverage_random_mean"][0] == pytest.approx(found.coverage_random[0].mean(axis=0).tolist())
    assert stored["imbalance_random_sd"][1] == pytest.approx(found.imbalance_random[1].std())
    assert "beside Random" in stored["sentences"][0]  # two seeds allow no verdict


def test_cancelled_in_the_middle():
    vectors, labels = blobs()

    def stop(fraction, detail=""):
        if fraction > 0.7:
            raise Cancelled()

    with pytest.raises(Cancelled):
        compare_arrays({"a": np.arange(10), "b": np.arange(5, 15)}, vectors, labels, seeds=2, progress=stop)


def test_progress_is_monotone_and_ends_at_one():
    vectors, labels = blobs()
    seen = []
    compare_arrays(
        {"a": np.arange(10), "b": np.arange(5, 35)},
        vectors,
        labels,
        seeds=2,
        progress=lambda fraction, detail="": seen.append(fraction),
    )
    assert seen == sorted(seen) and seen[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("selections", "words"),
    [
        ({"a": [1, 2]}, "two to 10 coresets to compare, not 1"),
        ({str(k): [k] for k in range(11)}, "two to 10 coresets to compare, not 11"),
        ({"a": [1], "b": []}, "coreset 'b' is empty"),
        ({"a": [1], "b": [80]}, "'b' must be indices from 0 to 79"),
        ({"a": [1], "b": [-1]}, "'b' must be indices"),
        ({"a": [1], "b": [0.5]}, "'b' must be indices"),
        ({"a": [1], "b": [2, 2]}, "'b' holds a sample more than once"),
    ],
)
def test_refused_selections(selections, words):
    vectors, labels = blobs()
    with pytest.raises(InvalidInput, match=words) as error:
        compare_arrays(selections, vectors, labels)
    assert error.value.field == "members"


def test_refused_pools():
    vectors, labels = blobs()
    sets = {"a": [1], "b": [2]}
    with pytest.raises(InvalidInput, match="at least 20 samples, there are 19"):
        compare_arrays(sets, vectors[:19], labels[:19])
    with pytest.raises(InvalidInput, match="two clusters at least"):
        compare_arrays(sets, vectors, np.zeros(80, dtype=int))
    with pytest.raises(InvalidInput, match="79 embeddings and 80 pseudo-labels"):
        compare_arrays(sets, vectors[1:], labels)
    with pytest.raises(InvalidInput, match="whole number from 1, not 0"):
        compare_arrays(sets, vectors, labels, seeds=0)


def test_by_a_pool():
    vectors, labels = blobs()
    pool = Pool(np.arange(80), embeddings=vectors, pseudo_labels=labels)
    found = compare({"r": select("random", pool, 10), "mine": np.arange(5)}, pool, seeds=1)
    assert found.sizes.tolist() == [10, 5]
    with pytest.raises(InvalidInput, match="needs pseudo_labels; the operator compute_pseudo_labels"):
        compare({"a": [1], "b": [2]}, Pool(np.arange(80), embeddings=vectors))


def test_rows_and_csv():
    vectors, labels = blobs()
    found = compare_arrays({"a": np.arange(10), "b, c": np.arange(5, 25)}, vectors, labels, seeds=2)
    first, second = coreset_rows(json.loads(json.dumps(found.to_dict())))
    assert (first["coreset"], first["images"], first["pool"]) == ("a", 10, 80)
    assert (first["shared_with b, c"], second["shared_with a"], second["shared_by_chance"]) == (0.5, 0.25, 0.25)
    assert first["accuracy"] == pytest.approx(found.accuracy[0].mean())
    assert first["coverage_max_random"] == pytest.approx(found.coverage_random[0].mean(axis=0)[2])
    lines = to_csv([first, second]).splitlines()
    assert len(lines) == 3 and lines[2].startswith('"b, c",20,80')
