from dataclasses import replace

import numpy as np
import pytest

from elfs_plugin.rounds import targets
from elfs_plugin.selectors import Pool
from tests.helpers import blobs


def on_a_circle(degrees):
    angles = np.deg2rad(np.asarray(degrees, dtype=float))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def task_of(vectors, probabilities=None, counts=(1, 1), failures=(), locked=()):
    n = len(vectors)
    mask = np.isin(np.arange(n), locked)
    pool = Pool(np.arange(n), vectors, locked=mask, excluded=np.zeros(n, dtype=bool))
    probabilities = np.full((n, len(counts)), 1 / len(counts)) if probabilities is None else np.asarray(probabilities)
    names = np.array(["ant", "bee", "cat"])[: len(counts)]
    return targets.Task(pool, names, np.array(counts), probabilities.astype("f4"), np.array(failures, dtype=int))


def test_failures_take_turns_and_no_sample_twice():
    vectors = on_a_circle([0, 90, 1, 2, 3, 89, 50])
    task = task_of(vectors, failures=[0, 1], locked=[0, 1])
    rows, said = targets.failures(task, task.pool.free, 5)
    assert rows.tolist() == [2, 5, 3, 6, 4]
    assert said[1] == "near 1, which the model got wrong (cosine 1.00)"


def test_two_failures_at_one_place_share_its_neighbours():
    vectors = on_a_circle([0, 0, 1, 2, 3, 4])
    task = task_of(vectors, failures=[0, 1], locked=[0, 1])
    assert targets.failures(task, task.pool.free, 4)[0].tolist() == [2, 3, 4, 5]


def test_more_failures_than_the_budget_and_more_budget_than_near_ones():
    vectors = blobs(200, 4)[0]
    task = task_of(vectors, failures=np.arange(50), locked=np.arange(50))
    assert len(targets.failures(task, task.pool.free, 7)[0]) == 7
    one = replace(task, failures=np.array([0]))
    rows = targets.failures(one, task.pool.free, 150)[0]
    assert sorted(rows) == list(range(50, 200))


def test_beyond_the_nearest_ones_the_rest_follows_in_order():
    """Ten failures at one place: the 64 neighbours that are sorted for each are the same, and 80 are wanted."""
    vectors = on_a_circle([0] * 10 + list(range(1, 81)))
    task = task_of(vectors, failures=range(10), locked=range(10))
    assert targets.failures(task, task.pool.free, 80)[0].tolist() == list(range(10, 90))


def test_rare_classes_come_first_until_their_even_share():
    """Of 11 labels and 3 to come each of two classes should have 7: the bees, with 1, take all."""
    p = np.array([0.9, 0.2, 0.6, 0.02, 0.5, 0.01])
    vectors = on_a_circle(np.arange(6) * 30)
    task = task_of(vectors, np.stack([1 - p, p], axis=1), counts=(10, 1))
    rows, said = targets.rare(task, task.pool.free, 3)
    assert rows.tolist() == [0, 2, 4]
    assert said[0] == "the model gives it to bee (p = 0.90), which has 1 labels"


def test_what_rare_classes_do_not_need_goes_to_uncertainty():
    p = np.array([0.9, 0.02, 0.03, 0.01])
    vectors = on_a_circle(np.arange(4) * 30)
    task = task_of(vectors, np.stack([1 - p, p], axis=1), counts=(10, 1))
    rows, said = targets.rare(task, task.pool.free, 3)
    assert rows[0] == 0 and len(set(rows.tolist())) == 3
    assert all("the model is unsure" in reason for reason in said[1:])


def test_without_rare_classes_all_goes_to_uncertainty():
    vectors, classes = blobs(40, 2)
    task = task_of(vectors, np.eye(2)[classes] * 0.8 + 0.1, counts=(5, 5))
    free = task.pool.free
    assert targets.rare(task, free, 6)[0].tolist() == targets.uncertainty(task, free, 6)[0].tolist()


def test_few_labels_ask_for_little_probability():
    assert [targets.least_probability(labels) for labels in (0, 10)] == [0, 0.25]
    assert 0.04 < targets.least_probability(1) < 0.05 and targets.least_probability(10_000) < 0.5


def test_typicality_is_the_place_of_the_mean_similarity():
    from elfs_plugin.neighbors.neighbor_graph import NeighborGraph

    graph = NeighborGraph(np.zeros((4, 2), dtype="i4"), np.array([[0.9, 0.7], [0.2, 0.2], [0.9, 0.9], [0.5, 0.1]]))
    assert targets.typicality(Pool(np.arange(4), neighbors=graph)).tolist() == [0.75, 0.25, 1.0, 0.5]
    assert targets.typicality(Pool(np.arange(4))).tolist() == [1, 1, 1, 1]


def test_uncertainty_prefers_the_middle_between_two_classes():
    vectors = on_a_circle([0, 1, 44, 46, 89, 90])
    p = np.array([0.99, 0.98, 0.52, 0.49, 0.02, 0.01])
    task = task_of(vectors, np.stack([p, 1 - p], axis=1), locked=[0, 5])
    rows, said = targets.uncertainty(task, task.pool.free, 1)
    assert rows[0] in (2, 3) and said[0].startswith("the model is unsure (1 - margin = 0.9")


def test_of_many_samples_only_the_least_sure_compete(monkeypatch):
    vectors, classes = blobs(300, 3)
    unsure = np.zeros(300, dtype=bool)
    unsure[50:110] = True
    p = np.where(unsure, 0.5, 0.99)
    task = task_of(vectors, np.stack([p, 1 - p], axis=1), locked=[0, 1, 2])
    monkeypatch.setattr(targets, "MOST_UNSURE", 40)
    rows = targets.uncertainty(task, task.pool.free, 2)[0]
    assert unsure[rows].all() and len(rows) == 2


@pytest.mark.parametrize("target", targets.TARGETS)
def test_every_target_gives_what_was_asked_for_of_equal_vectors(target):
    task = task_of(np.ones((20, 3)), counts=(2, 1), failures=[0], locked=[0, 1, 2])
    rows, said = targets.TARGETS[target](task, task.pool.free, 17)
    assert sorted(rows.tolist()) == list(range(3, 20)) and len(said) == 17
