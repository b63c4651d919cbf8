import math

import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.rounds import Labelled, draw_golden, measure
from tests.helpers import blobs


def test_the_draw_belongs_to_the_ids_and_not_to_their_places():
    ids = np.array([f"id{i:03}" for i in range(100)])
    shuffled = np.random.default_rng(1).permutation(ids)
    first, second = ids[draw_golden(ids, 20, 3)], shuffled[draw_golden(shuffled, 20, 3)]
    assert list(first) == list(second) == sorted(set(first)) and len(first) == 20
    assert list(ids[draw_golden(ids, 20, 4)]) != list(first)


def test_a_larger_set_holds_the_smaller_and_every_sample_has_its_chance():
    assert set(draw_golden(range(50), 5)) <= set(draw_golden(range(50), 10))
    drawn = np.bincount(np.concatenate([draw_golden(range(10), 3, seed) for seed in range(400)]))
    assert drawn.sum() == 1200 and np.abs(drawn - 120).max() < 45  # four standard deviations of a fair draw


def test_only_from_within():
    within = np.arange(10) % 2 == 0
    assert list(draw_golden(range(10), 5, within=within)) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("size", [0, 11, 2.5, None])
def test_a_size_that_there_is_not(size):
    with pytest.raises(InvalidInput, match="from 1 to 10") as error:
        draw_golden(range(10), size)
    assert error.value.field == "golden"


def test_the_measure_counts_by_class():
    vectors, clusters = blobs(60, 3)
    names = np.array(["ant", "bee", "cat"])[clusters]
    known = Labelled(np.arange(30), names[:30])
    truth = names[30:42].copy()
    truth[0] = "bee"  # an ant called bee: the model must get it wrong
    found = measure(vectors, known, np.arange(30, 42), truth)
    assert found.accuracy == pytest.approx(11 / 12)
    assert found.standard_error == pytest.approx(math.sqrt((12 / 14) * (2 / 14) / 12))
    assert found.by_class == {"ant": (3, 3), "bee": (4, 5), "cat": (4, 4)}
    assert (found.n, found.labels, found.reason) == (12, 30, "")


def test_a_perfect_score_on_few_images_is_not_certain():
    vectors, clusters = blobs(60, 3)
    found = measure(vectors, Labelled(np.arange(30), clusters[:30]), np.arange(30, 36), clusters[30:36])
    assert found.accuracy == 1 and found.standard_error > 0.1


def test_the_golden_set_teaches_nothing():
    vectors, clusters = blobs(60, 3)
    wrong = (clusters + 1) % 3
    golden = np.arange(20)
    labels = np.concatenate([wrong[:20], clusters[20:]])
    found = measure(vectors, Labelled(np.arange(60), labels), golden, clusters[:20])
    assert (found.accuracy, found.labels) == (1.0, 40)


def test_a_class_without_a_label_counts_as_wrong():
    vectors, clusters = blobs(60, 3)
    rows = np.flatnonzero(clusters < 2)[:20]
    found = measure(vectors, Labelled(rows, clusters[rows]), np.array([50]), clusters[[50]])
    assert clusters[50] == 2 and found.by_class == {2: (0, 1)}


@pytest.mark.parametrize(
    ("rows", "golden", "reason"),
    [
        ([0, 1], [], "No image of the golden set is labelled"),
        ([0, 3], [1], "are of one class"),
        ([], [1], "are none"),
        ([0, 1], [1], "are of one class"),
    ],
)
def test_what_cannot_be_measured_says_why(rows, golden, reason):
    vectors, clusters = blobs(60, 3)
    rows, golden = np.array(rows, dtype=int), np.array(golden, dtype=int)
    found = measure(vectors, Labelled(rows, clusters[rows]), golden, clusters[golden])
    assert found.accuracy is None and found.standard_error is None and reason in found.reason
