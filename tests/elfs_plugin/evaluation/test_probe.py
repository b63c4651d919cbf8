import numpy as np
import pytest

from elfs_plugin.evaluation.probe import Repeat, accuracies, beside_random
from elfs_plugin.order import Order
from tests.few_steps import candidate_steps


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    candidate_steps(30, replace=monkeypatch.setattr)


def blobs(n=80, clusters=4):
    labels = np.arange(n) % clusters
    noise = 0.2 * np.random.default_rng(0).normal(size=(n, 6))
    return (3 * np.eye(6)[labels] + noise).astype(np.float32), labels


def test_a_task_leaves_out_what_is_held_out_and_forgets_when_it_was_chosen():
    repeat = Repeat(Order(40), seed=0, number=0)
    rows = np.random.default_rng(1).permutation(40)[:20]
    task = repeat.task(rows)
    assert task.rows.tolist() == sorted(set(rows.tolist()) - set(repeat.held_out.tolist()))
    assert task.held_out is repeat.held_out and len(task.held_out) == 4


def test_larger_choices_of_random_contain_the_smaller_ones():
    repeat = Repeat(Order(40), seed=0, number=0)
    small, large = repeat.random(5), repeat.random(30)
    assert len(small.rows) == 5 and set(small.rows) < set(large.rows) and not set(large.rows) & set(repeat.held_out)


def test_a_pair_is_as_large_and_begins_alike():
    repeat = Repeat(Order(40), seed=0, number=0)
    own, random = repeat.pair(np.arange(20))
    assert len(own.rows) == len(random.rows) and own.seed == random.seed
    assert own.seed != Repeat(Order(40), seed=0, number=1).random(3).seed


def test_a_set_of_every_cluster_teaches_more_than_one_of_a_single_cluster():
    vectors, labels = blobs()
    sets = [np.flatnonzero(labels == 0), np.arange(40), np.array([], dtype=np.int64)]
    own, random = beside_random(sets, vectors, labels, repeats=2)
    assert own.shape == random.shape == (3, 2)
    assert own[0].max() < 0.6 and own[1].min() > 0.9 and random[1].min() > 0.9
    assert np.isnan(own[2]).all() and np.isnan(random[2]).all()


def test_tasks_of_all_sizes_at_once_are_those_alone():
    vectors, labels = blobs()
    order = Order(80)
    tasks = [Repeat(order, 0, number).random(size) for number in range(2) for size in (5, 20, 5)]
    together = accuracies(vectors, labels, tasks, order=order)
    alone = [accuracies(vectors, labels, [task], order=order)[0] for task in tasks]
    assert together == pytest.approx(np.array(alone))
