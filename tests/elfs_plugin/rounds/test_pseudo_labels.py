import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.rounds import Labelled, corrected
from tests.helpers import blobs

NAMES = np.array(["ant", "bee", "cat", "dog"])


def labelled_of(classes, rows):
    rows = np.asarray(rows)
    return Labelled(rows, NAMES[classes[rows]])


def test_each_cluster_gets_what_is_right_more_often():
    """Ant and bee lie apart, but are one cluster; cat and dog lie in one place, but are two clusters."""
    vectors, classes = blobs(200, 4)
    vectors[classes == 3] = np.random.default_rng(1).permutation(vectors[classes == 2])
    clusters = np.array([0, 0, 1, 2])[classes]
    found = corrected(vectors, clusters, labelled_of(classes, range(40)))
    assert found.by_model.tolist() == [True, False, False]
    assert [found.names[i] for i in found.labels] == NAMES[classes].tolist()
    assert found.agreement.tolist() == [0.5, 1, 1] and found.right_by_model[0] == 1
    assert found.counts.tolist() == [20, 10, 10] and found.warnings == []


def test_equally_right_clusters_go_the_way_of_all_together():
    vectors, classes = blobs(200, 4)
    found = corrected(vectors, np.array([0, 0, 1, 2])[classes], labelled_of(classes, range(40)))
    assert found.right_by_model.tolist() == [1, 1, 1] and found.by_model.all()
    assert not corrected(vectors, classes, labelled_of(classes, range(40))).by_model.any()


def test_where_the_embeddings_know_nothing_the_clusters_stay():
    classes = np.arange(200) % 4
    vectors = np.random.default_rng(0).normal(size=(200, 6)).astype("f4")
    found = corrected(vectors, classes, labelled_of(classes, range(60)))
    assert not found.by_model.any() and (found.labels == classes).all()
    assert found.confidence[100:] == pytest.approx((15 + 1) / (15 + 2))


def test_a_cluster_without_labels_goes_the_way_of_all_together():
    vectors, classes = blobs(90, 3)
    rows = np.flatnonzero(classes < 2)[:24]
    mixed = np.where(classes == 2, 2, np.arange(90) // 2 % 2)
    by_model = corrected(vectors, mixed, labelled_of(classes, rows))
    assert by_model.by_model.tolist() == [True, True, True] and by_model.names == ["ant", "bee"]
    assert np.isnan(by_model.agreement[2]) and np.isnan(by_model.right_by_model[2])
    noise = np.random.default_rng(0).normal(size=vectors.shape).astype("f4")
    by_cluster = corrected(noise, classes, labelled_of(classes, rows))
    assert by_cluster.names == ["ant", "bee", "cluster 2"] and by_cluster.by_model.tolist() == [False] * 3
    assert (by_cluster.labels == classes).all()
    assert by_cluster.confidence[classes == 2] == pytest.approx(0.5)
    assert "1 of 3 clusters have fewer than 5 labels" in by_cluster.warnings[0]


def test_a_single_label_says_nothing_about_its_cluster():
    vectors, classes = blobs(90, 3)
    rows = np.append(np.flatnonzero(classes < 2)[:24], np.flatnonzero(classes == 2)[0])
    mixed = np.where(classes == 2, 2, np.arange(90) // 2 % 2)
    assert corrected(vectors, mixed, labelled_of(classes, rows)).by_model.tolist() == [True, True, True]
    noise = np.random.default_rng(0).normal(size=vectors.shape).astype("f4")
    found = corrected(noise, classes, labelled_of(classes, rows))
    assert found.by_model.tolist() == [False] * 3 and found.names == ["ant", "bee", "cat"]
    assert (found.labels == classes).all()


def test_names_of_clusters_are_used_where_no_label_says_more():
    classes = np.arange(100) % 4
    noise = np.random.default_rng(0).normal(size=(100, 6)).astype("f4")
    rows = np.flatnonzero(classes < 2)[:30]
    found = corrected(noise, classes, labelled_of(classes, rows), names={0: "zebra", 2: "bee", 3: "yak"})
    assert found.names == ["ant", "bee", "yak"]
    assert found.labels[:4].tolist() == [0, 1, 1, 2]


def test_labelled_samples_keep_the_label_that_was_given():
    vectors, classes = blobs(80, 4)
    known = labelled_of(classes, range(40))
    labels = known.labels.copy()
    labels[3] = "ant"  # row 3 is a dog by all appearances
    found = corrected(vectors, classes, Labelled(known.rows, labels))
    assert found.names[found.labels[3]] == "ant" and found.confidence[3] == 1
    assert found.names[found.labels[43]] == "dog"


def test_one_class_or_none_leaves_no_model():
    vectors, classes = blobs(40, 2)
    rows = np.flatnonzero(classes == 0)[:6]
    found = corrected(vectors, classes, labelled_of(classes, rows))
    assert found.names == ["ant", "cluster 1"] and not found.by_model.any() and "one class" in found.warnings[0]
    assert np.isnan(found.right_by_model).all() and found.agreement[0] == 1
    nothing = corrected(vectors, classes, Labelled(np.zeros(0, dtype=int), np.zeros(0, dtype="U3")))
    assert nothing.names == ["cluster 0", "cluster 1"] and (nothing.labels == classes).all()


def test_the_same_twice():
    vectors, classes = blobs(80, 4, noise=2.0)
    clusters = np.random.default_rng(0).integers(0, 4, 80)
    one, two = (corrected(vectors, clusters, labelled_of(classes, range(0, 80, 2)), seed=5) for _ in range(2))
    assert (one.labels == two.labels).all() and (one.confidence == two.confidence).all()


def test_equal_vectors_leave_the_clusters_alone():
    classes = np.arange(20) % 2
    found = corrected(np.ones((20, 3)), classes, labelled_of(classes, range(10)))
    assert (found.labels == classes).all()


def test_too_few_clusters():
    with pytest.raises(InvalidInput) as error:
        corrected(np.ones((20, 3)), np.zeros(19, dtype=int), Labelled(np.array([0]), np.array(["a"])))
    assert error.value.field == "clusters"
