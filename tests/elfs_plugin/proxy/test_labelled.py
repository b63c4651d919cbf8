import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.proxy.labelled import learn, predicted, probabilities_of_all
from tests.helpers import blobs


def test_it_learns_what_few_labels_say():
    vectors, clusters = blobs(200, 4)
    rows = np.arange(12)
    names = np.array(["ant", "bee", "cat", "dog"])[clusters]
    found = probabilities_of_all(vectors, rows, names[rows])
    assert found.shape == (200, 4) and found.dtype == np.float32
    assert found.sum(axis=1) == pytest.approx(np.ones(200), abs=1e-5)
    assert (found.argmax(axis=1) == clusters).all()  # the classes in sorted order


def test_labels_that_are_noise_leave_it_less_sure():
    vectors, clusters = blobs(400, 2, noise=1.5)
    rows = np.arange(100)
    flipped = np.where(np.random.default_rng(0).random(100) < 0.4, 1 - clusters[rows], clusters[rows])
    sure = probabilities_of_all(vectors, rows, clusters[rows]).max(axis=1).mean()
    unsure = probabilities_of_all(vectors, rows, flipped).max(axis=1).mean()
    assert unsure < sure - 0.1


def test_two_classes_and_one_sample_of_each():
    vectors, clusters = blobs(60, 2)
    found = probabilities_of_all(vectors, np.array([0, 1]), clusters[:2])
    assert (found.argmax(axis=1) == clusters).all()


@pytest.mark.parametrize(("rows", "message"), [([], "No image is labelled"), ([0, 4], r"all of one class \(0\)")])
def test_too_little_to_learn_from(rows, message):
    vectors, clusters = blobs(60, 4)
    with pytest.raises(InvalidInput, match=message):
        probabilities_of_all(vectors, np.array(rows, dtype=int), clusters[rows])


def test_what_is_learnt_comes_with_answers_to_labels_that_were_held_out():
    vectors, clusters = blobs(200, 4)
    rows = np.arange(60)
    labels = clusters[rows].copy()
    labels[7] = 0  # it looks like a 3, and nothing that has not seen its label can say otherwise
    found = learn(vectors, rows, labels)
    assert found.classes.tolist() == [0, 1, 2, 3] and (found.held_out == clusters[rows]).all()
    assert (found.probabilities == probabilities_of_all(vectors, rows, labels)).all()


@pytest.mark.parametrize("singles", [1, 2])
def test_a_class_of_one_or_two_samples_does_not_spoil_the_answers_to_the_others(singles):
    vectors, clusters = blobs(200, 4)
    rows = np.append(np.flatnonzero(clusters < 3)[:60], np.flatnonzero(clusters == 3)[:singles])
    found = learn(vectors, rows, clusters[rows], seed=1)
    assert (found.held_out[:60] == clusters[rows[:60]]).all()
    assert found.held_out[60] == 3 if singles == 2 else found.held_out[60] != 3


def test_two_samples_are_each_answered_by_the_other():
    vectors, clusters = blobs(60, 2)
    assert learn(vectors, np.array([0, 1]), clusters[:2]).held_out.tolist() == [1, 0]


def test_it_names_some_samples():
    vectors, clusters = blobs(60, 2)
    names = np.array(["ant", "bee"])[clusters]
    found = predicted(vectors, np.arange(10), names[:10], np.array([50, 31]))
    assert found.tolist() == ["ant", "bee"]


def test_its_fits_take_one_thread(monkeypatch):
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_info

    seen = []
    fit = LogisticRegression.fit

    def watched(self, *arguments):
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return fit(self, *arguments)

    monkeypatch.setattr(LogisticRegression, "fit", watched)
    vectors, clusters = blobs(60, 2)
    learn(vectors, np.arange(20), clusters[:20])
    assert set(seen) == {1}
