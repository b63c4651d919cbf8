import numpy as np
import pytest

from benchmarks.audit import Probe, random_rows, split
from benchmarks.common import Data


def test_the_last_fifth_of_every_class_is_the_evaluation_set():
    truth = np.array([0, 1] * 5 + [1] * 5)  # five of class 0, ten of class 1
    pool, evaluation = split(truth)
    assert evaluation.tolist() == [8, 13, 14]
    assert sorted([*pool, *evaluation]) == list(range(15))


def test_the_probe_is_tested_on_samples_outside_the_pool():
    # Two groups far apart; the evaluation set's labels are the other way round for one of its four samples.
    vectors = np.repeat([[0.0], [10.0]], 10, axis=0) + np.linspace(0, 0.1, 20)[:, None]
    truth = np.repeat([0, 1], 10)
    truth[9] = 1
    probe = Probe(Data("", vectors, truth), np.r_[0:8, 10:18], np.array([8, 9, 18, 19]))
    assert probe.accuracy(np.arange(16)) == 0.75
    assert probe.accuracy(np.arange(8)) == 0.25  # one class alone is all that it can name


def test_random_subsets_differ_with_seed_and_size_and_with_nothing_else():
    assert random_rows(50, 5, 0).tolist() == random_rows(50, 5, 0).tolist()
    assert len(set(random_rows(50, 50, 1))) == 50
    assert random_rows(50, 5, 0).tolist() != random_rows(50, 5, 1).tolist()
    assert set(random_rows(50, 5, 0)) - set(random_rows(50, 6, 0)) != set()
    with pytest.raises(ValueError):
        random_rows(5, 6, 0)
