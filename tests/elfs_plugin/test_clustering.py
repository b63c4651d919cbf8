import math
from dataclasses import replace

import numpy as np
import pytest

from elfs_plugin.clustering import (
    ClusteringConfig,
    PseudoLabels,
    align,
    cluster,
    head_agreement,
    health_warnings,
    marginal_entropy,
    standardize,
    validate_num_clusters,
)
from elfs_plugin.errors import InvalidInput
from elfs_plugin.evaluation import pseudo_label_accuracy
from elfs_plugin.neighbors import knn_graph

QUICK = ClusteringConfig(heads=3, epochs=1, max_steps=40, min_steps=40, learning_rate=2e-4, warm_start_steps=20)


def blobs(n=120, classes=3, dim=8, seed=0):
    """Well separated clusters in orthogonal directions, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return (4 * np.eye(dim)[labels] + 0.2 * rng.normal(size=(n, dim))).astype(np.float32), labels


@pytest.fixture(scope="module")
def clustered():
    vectors, labels = blobs()
    return vectors, labels, cluster(vectors, knn_graph(vectors, 8), 3, config=QUICK, device="cpu")


def pseudo_labels(labels, num_clusters, *, agreement=1.0, heads=3):
    labels = np.asarray(labels)
    n = len(labels)
    return PseudoLabels(
        labels=labels,
        confidence=np.ones(n),
        agreement=np.full(n, agreement),
        head_losses=np.zeros(heads),
        best_head=0,
        occupancy=np.bincount(labels, minlength=num_clusters),
        loss_curve=np.zeros(1),
    )


def test_separated_blobs_are_recovered(clustered):
    _, labels, result = clustered
    assert pseudo_label_accuracy(result.labels, labels) == 1.0
    assert result.occupancy.tolist() == [40, 40, 40] and result.num_clusters == 3
    assert result.warnings == []


def test_shapes_and_ranges(clustered):
    _, _, result = clustered
    assert result.labels.shape == (120,) and result.labels.dtype == np.int32
    assert result.confidence.shape == (120,) and result.confidence.dtype == np.float32
    assert (result.confidence > 1 / 3).all() and (result.confidence <= 1).all()
    assert (result.agreement == 1).all()
    assert result.head_losses.shape == (3,) and result.best_head == result.head_losses.argmin()
    # 120 samples in batches of 64 are one step an epoch: 40 epochs.
    assert result.loss_curve.shape == (40,)
    assert result.loss_curve[-5:].mean() < result.loss_curve[:5].mean()


def test_same_seed_same_result_and_another_seed_another_training(clustered):
    vectors, _, result = clustered
    graph = knn_graph(vectors, 8)
    again = cluster(vectors, graph, 3, config=QUICK, device="cpu")
    for name in ("labels", "confidence", "agreement", "head_losses", "loss_curve"):
        assert np.array_equal(getattr(again, name), getattr(result, name)), name
    other = cluster(vectors, graph, 3, config=QUICK, seed=1, device="cpu")
    assert not np.array_equal(other.loss_curve, result.loss_curve)


def test_from_a_cold_start_the_loss_falls():
    vectors, _ = blobs(64)
    config = replace(QUICK, warm_start_steps=0, heads=2, learning_rate=4e-3, min_steps=60, max_steps=60)
    result = cluster(vectors, knn_graph(vectors, 5), 3, config=config, device="cpu")
    assert result.loss_curve[-5:].mean() < result.loss_curve[:5].mean()
    assert len(np.unique(result.labels)) > 1


def test_as_many_clusters_as_samples():
    vectors = np.eye(5, 8, dtype=np.float32) * 3
    config = replace(QUICK, heads=1, min_steps=2, max_steps=2, warm_start_steps=2)
    result = cluster(vectors, knn_graph(vectors, 2), 5, config=config, device="cpu")
    assert result.occupancy.sum() == 5 and len(result.occupancy) == 5


def test_identical_samples_do_not_break_it():
    vectors = np.ones((12, 4), dtype=np.float32)
    config = replace(QUICK, min_steps=3, max_steps=3, warm_start_steps=0)
    result = cluster(vectors, knn_graph(vectors, 3), 2, config=config, device="cpu")
    assert np.isfinite(result.head_losses).all()
    assert len(np.unique(result.labels)) == 1
    assert any("empty" in warning for warning in result.warnings)


def test_progress_is_monotone_and_ends_at_one():
    vectors, _ = blobs(40)
    reports = []
    config = replace(QUICK, min_steps=5, max_steps=5, warm_start_steps=2)
    cluster(vectors, knn_graph(vectors, 4), 2, config=config, device="cpu",
            progress=lambda fraction, detail="": reports.append(fraction))  # fmt: skip
    assert reports == sorted(reports) and reports[-1] == pytest.approx(1.0) and len(reports) > 5


@pytest.mark.parametrize(
    ("num_clusters", "message"),
    [
        (1, "between 2 and 10, not 1"),
        (0, "between 2 and 10, not 0"),
        (-3, "between 2 and 10, not -3"),
        (11, "10 samples cannot fill 11 clusters. Choose between 2 and 10"),
        (2.5, "whole number, not 2.5"),
        (3.0, "whole number, not 3.0"),
        (math.nan, "whole number, not nan"),
        (True, "whole number, not True"),
        (None, "whole number, not None"),
        ("three", "whole number, not three"),
    ],
)
def test_invalid_numbers_of_clusters(num_clusters, message):
    with pytest.raises(InvalidInput, match=message) as error:
        validate_num_clusters(num_clusters, 10)
    assert error.value.field == "num_clusters"


@pytest.mark.parametrize("num_clusters", [2, 10, np.int64(5)])
def test_valid_numbers_of_clusters(num_clusters):
    assert validate_num_clusters(num_clusters, 10) is None


def test_cluster_refuses_too_few_samples_and_another_graph():
    vectors, _ = blobs(10)
    graph = knn_graph(vectors, 3)
    with pytest.raises(InvalidInput, match="10 samples cannot fill 11 clusters"):
        cluster(vectors, graph, 11, config=QUICK)
    with pytest.raises(InvalidInput, match="graph has 10 points, the vectors 9"):
        cluster(vectors[:9], graph, 2, config=QUICK)


@pytest.mark.parametrize("name", ["heads", "epochs", "batch_size"])
def test_invalid_config(name):
    with pytest.raises(InvalidInput, match=f"{name} must be at least 1, not 0") as error:
        ClusteringConfig(**{name: 0})
    assert error.value.field == name


def test_schedule():
    # (batch, steps per epoch, all steps): a power of two of at most a quarter of the samples, at least 64.
    assert ClusteringConfig.published().schedule(50_000) == (1024, 48, 9600)
    assert ClusteringConfig.published().schedule(1000) == (128, 7, 1400)
    assert ClusteringConfig.published().schedule(100) == (64, 1, 200)
    assert ClusteringConfig.published().schedule(10) == (10, 1, 200)
    assert ClusteringConfig(epochs=1, min_steps=500).schedule(100)[2] == 500
    assert ClusteringConfig(max_steps=7).schedule(100)[2] == 7


def test_published_recipe():
    config = ClusteringConfig.published()
    assert (config.heads, config.epochs, config.beta, config.temperature) == (50, 200, 0.6, 0.1)
    assert (config.teacher_momentum, config.marginal_momentum) == (0.996, 0.9)
    assert ClusteringConfig(**config.to_dict()) == config


def test_standardize_keeps_the_proportions_of_the_dimensions():
    vectors = np.array([[1.0, 10.0], [3.0, 10.0], [1.0, 14.0], [3.0, 14.0]])
    # Centred: +-1 and +-2; the mean square is (1 + 4) / 2.
    np.testing.assert_allclose(standardize(vectors), np.array([[-1, -2], [1, -2], [-1, 2], [1, 2]]) / np.sqrt(2.5))
    assert (standardize(np.ones((3, 2))) == 0).all()


def test_align_renames_the_clusters():
    reference = np.array([0, 0, 0, 1, 1, 2, 2])
    labels = np.array([2, 2, 0, 0, 0, 1, 1])
    # 2 overlaps most with 0, 0 with 1, 1 with 2.
    assert align(labels, reference, 3).tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert align(reference, reference, 3).tolist() == reference.tolist()


def test_head_agreement_by_hand():
    best = [0, 0, 0, 1, 1, 1]
    renamed = [1, 1, 1, 0, 0, 0]  # the same partition
    other = [0, 0, 1, 1, 1, 1]  # the third sample differs
    agreement = head_agreement(np.array([other, best, renamed]), 1, 2)
    np.testing.assert_allclose(agreement, [1, 1, 2 / 3, 1, 1, 1], rtol=1e-6)
    assert head_agreement(np.array([best]), 0, 2).tolist() == [1.0] * 6


def test_marginal_entropy():
    assert marginal_entropy([5, 5, 5, 5]) == pytest.approx(1.0)
    assert marginal_entropy([10, 0]) == 0.0
    assert marginal_entropy([5, 5, 0, 0]) == pytest.approx(0.5)
    assert marginal_entropy([7]) == 0.0 and marginal_entropy([0, 0]) == 0.0


def test_no_warnings_for_even_clusters():
    assert health_warnings(pseudo_labels([0, 1] * 10, 2)) == []


def test_warning_about_empty_clusters():
    warnings = health_warnings(pseudo_labels([0, 1] * 10, 3))
    assert len(warnings) == 1 and warnings[0].startswith("1 of 3 clusters are empty")


def test_warning_about_tiny_clusters_and_collapse():
    # 100 samples, 4 clusters: an even share is 25, a tenth of it 2.5.
    warnings = health_warnings(pseudo_labels([0] * 96 + [1, 1] + [2, 3], 4))
    assert warnings[0].startswith("3 of 4 clusters hold less than a tenth")
    assert "collapse" in warnings[1] and len(warnings) == 2
    assert health_warnings(pseudo_labels([0] * 47 + [1] * 47 + [2] * 3 + [3] * 3, 4)) == []


def test_warning_about_heads_that_disagree():
    warnings = health_warnings(pseudo_labels([0, 1] * 10, 2, agreement=0.5))
    assert len(warnings) == 1 and "agree on only 50%" in warnings[0]
    assert health_warnings(pseudo_labels([0, 1] * 10, 2, agreement=0.5, heads=1)) == []
