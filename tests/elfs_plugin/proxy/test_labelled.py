import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.proxy.labelled import probabilities_of_all
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
