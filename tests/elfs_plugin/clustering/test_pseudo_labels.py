from dataclasses import replace

import numpy as np
import pytest
import torch

from elfs_plugin.clustering.pseudo_labels import (
    ClusteringConfig,
    cluster,
    principal_components,
    standardize,
)
from elfs_plugin.clustering.temi_training import Training, starts
from elfs_plugin.errors import Cancelled, ElfsError, InvalidInput
from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.progress import silent
from tests import helpers

QUICK = ClusteringConfig(heads=3, epochs=1, max_steps=40, min_steps=40, learning_rate=2e-4, warm_start_steps=20)


def blobs(n=120, dim=8):
    """Well separated clusters in orthogonal directions, and their labels."""
    return helpers.blobs(n, 3, dim=dim, distance=4)


@pytest.fixture(scope="module")
def clustered():
    vectors, labels = blobs()
    return vectors, labels, cluster(vectors, knn_graph(vectors, 8), 3, config=QUICK, device="cpu")


def test_separated_blobs_are_recovered(clustered):
    _, labels, result = clustered
    assert pseudo_label_accuracy(result.labels, labels) == 1.0
    assert result.occupancy.tolist() == [40, 40, 40] and result.num_clusters == 3
    assert result.warnings == []


def test_shapes_and_ranges(clustered):
    _, _, result = clustered
    assert result.labels.shape == (120,) and result.labels.dtype == np.int32
    assert result.confidence.shape == (120,) and result.confidence.dtype == np.float32
    assert (result.confidence > 1 / 3).all() and (result.confidence <= 1 + 1e-6).all()
    assert (result.agreement == 1).all()
    assert result.head_losses.shape == (3,) and result.best_head == result.head_losses.argmin()
    assert result.head_scores.shape == (3,) and result.seed_agreement == 1.0
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
    cluster(
        vectors,
        knn_graph(vectors, 4),
        2,
        config=config,
        device="cpu",
        progress=lambda fraction, detail="": reports.append(fraction),
    )
    assert reports == sorted(reports) and reports[-1] == pytest.approx(1.0) and len(reports) > 5


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


class _Stop:
    """A progress callable that cancels at its ``at``-th report."""

    def __init__(self, at):
        self.left = at

    def __call__(self, fraction, detail=""):
        self.left -= 1
        if self.left == 0:
            raise Cancelled()


LONGER = replace(QUICK, heads=2, min_steps=22, max_steps=22, batch_size=64)


@pytest.fixture(scope="module", autouse=True)
def close_looks():
    """At steps 5, 10, 15, 20 and 22 of LONGER."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elfs_plugin.clustering.temi_training.STEPS_BETWEEN_LOOKS", 5)
        yield


@pytest.fixture(scope="module")
def uninterrupted():
    vectors, _ = blobs(200)
    return cluster(vectors, knn_graph(vectors, 8), 3, config=LONGER, device="cpu")


@pytest.mark.parametrize("at", [1, 24, 26, 28])
def test_interrupted_and_called_again_it_ends_at_the_same_result(tmp_path, uninterrupted, at):
    vectors, _ = blobs(200)
    graph = knn_graph(vectors, 8)
    checkpoint = tmp_path / "clustering.pt"
    with pytest.raises(Cancelled):
        cluster(vectors, graph, 3, config=LONGER, device="cpu", checkpoint=checkpoint, progress=_Stop(at))
    details = []
    resumed = cluster(
        vectors,
        graph,
        3,
        config=LONGER,
        device="cpu",
        checkpoint=checkpoint,
        progress=lambda fraction, detail="": details.append(detail),
    )
    for name in ("labels", "confidence", "agreement", "head_losses", "loss_curve", "head_scores"):
        assert np.array_equal(getattr(resumed, name), getattr(uninterrupted, name)), name
    assert any("resumed at step" in detail for detail in details) == (at > 22)
    assert not checkpoint.exists()


def test_a_checkpoint_of_another_call_is_ignored(tmp_path):
    vectors, _ = blobs(200)
    graph = knn_graph(vectors, 8)
    checkpoint = tmp_path / "clustering.pt"
    with pytest.raises(Cancelled):
        cluster(vectors, graph, 3, config=LONGER, device="cpu", checkpoint=checkpoint, progress=_Stop(26))
    assert checkpoint.exists()
    other = cluster(vectors, graph, 3, config=LONGER, seed=1, device="cpu", checkpoint=checkpoint)
    alone = cluster(vectors, graph, 3, config=LONGER, seed=1, device="cpu")
    assert np.array_equal(other.loss_curve, alone.loss_curve)


def test_a_loss_that_is_not_a_number_names_stage_step_and_cause(tmp_path, monkeypatch):
    vectors, _ = blobs(200)
    checkpoint = tmp_path / "clustering.pt"
    monkeypatch.setattr("elfs_plugin.clustering.temi_training.temi_loss", _nan_at(7))
    # Every look at the loss writes a checkpoint: the one at step 5 is the last good one.
    monkeypatch.setattr("elfs_plugin.clustering.pseudo_labels.TrainingCheckpoint.due", True)
    with pytest.raises(ElfsError, match=r"Clustering \(TEMI\) failed at step 7 of 22.*learning rate"):
        cluster(vectors, knn_graph(vectors, 8), 3, config=LONGER, device="cpu", checkpoint=checkpoint)
    assert torch.load(checkpoint, weights_only=True)["state"]["step"] == 5


def _nan_at(step):
    from elfs_plugin.clustering.temi import temi_loss

    calls = []

    def loss(*arguments, **options):
        calls.append(1)
        return temi_loss(*arguments, **options) * (float("nan") if len(calls) >= step else 1.0)

    return loss


def test_training_stops_when_the_loss_no_longer_falls():
    vectors, _ = blobs(48)
    config = replace(QUICK, heads=1, max_steps=5000, epochs=5000, min_steps=410, tolerance=0.05, batch_size=16)
    result = cluster(vectors, knn_graph(vectors, 8), 3, config=config, device="cpu")
    # Three steps an epoch; the first look at a plateau is at step 410.
    assert 137 <= len(result.loss_curve) < 450


def test_out_of_memory_halves_the_batch_and_then_leaves_the_gpu(monkeypatch):
    import elfs_plugin.clustering.pseudo_labels as module

    vectors, _ = blobs(600)
    tried = []
    real = module._cluster

    def attempt(vectors, graph, num_clusters, config, seed, device, checkpoint, progress):
        tried.append((config.batch_size, device.type))
        if device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(vectors, graph, num_clusters, config, seed, device, checkpoint, progress)

    monkeypatch.setattr(module, "_cluster", attempt)
    monkeypatch.setattr(module, "resolve_device", lambda device: torch.device("cuda"))
    config = replace(QUICK, heads=1, min_steps=3, max_steps=3, batch_size=1024)
    result = cluster(vectors, knn_graph(vectors, 8), 3, config=config)
    assert tried == [(1024, "cuda"), (64, "cuda"), (1024, "cpu")]
    assert result.warnings[0] == "The GPU's memory was not enough; clustering used the CPU."


def test_half_of_the_heads_start_from_the_neighbours():
    """Two rings around each other: k-means cuts both, the neighbours tell them apart."""
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 400)
    radius = np.repeat([1.0, 3.0], 200)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
    near = np.argsort(np.square(points[:, None] - points[None]).sum(axis=2), axis=1)[:, 1:11]
    given = torch.from_numpy(points), torch.from_numpy(near), 2
    config = replace(QUICK, heads=4)
    plain = starts(*given, config, 0, silent).numpy()
    both = starts(*given, replace(config, spectral=True), 0, silent).numpy()
    assert np.array_equal(both[:2], plain[:2])
    right = [pseudo_label_accuracy(labels, radius > 2) for labels in both]
    assert max(right[:2]) < 0.6 and right[2:] == [1.0, 1.0]


def test_too_many_clusters_for_a_spectral_start_begin_from_k_means():
    data, near = torch.eye(6, 4), torch.arange(6)[:, None].flip(0)
    config = replace(QUICK, heads=2)
    plain = starts(data, near, 5, config, 0, silent)
    assert torch.equal(starts(data, near, 5, replace(config, spectral=True), 0, silent), plain)


def test_of_the_neighbours_a_share_is_kept(monkeypatch):
    seen = []

    class Seen(Training):
        def __init__(self, student, data, neighbors, *rest):
            seen.append((data.shape, neighbors.shape[1]))
            super().__init__(student, data, neighbors, *rest)

    monkeypatch.setattr("elfs_plugin.clustering.pseudo_labels.Training", Seen)
    vectors, labels = blobs()
    config = replace(QUICK, components=5, whiten=True, neighbor_share=0.5, min_steps=20, max_steps=20)
    for k in (30, 16, 8):
        result = cluster(vectors, knn_graph(vectors, k), 3, config=config, device="cpu")
        assert pseudo_label_accuracy(result.labels, labels) == 1.0
    assert seen == [((120, 5), 15), ((120, 5), 10), ((120, 5), 8)]


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_share_of_neighbours_that_is_none(share):
    with pytest.raises(InvalidInput, match="neighbor_share must be above 0 and at most 1") as error:
        ClusteringConfig(neighbor_share=share)
    assert error.value.field == "neighbor_share"


def test_without_bfloat16_it_computes_in_float32(monkeypatch):
    vectors, labels = blobs()
    monkeypatch.setattr("elfs_plugin.clustering.pseudo_labels.matmul_dtype", lambda device: torch.float32)
    result = cluster(vectors, knn_graph(vectors, 8), 3, config=QUICK, device="cpu")
    assert pseudo_label_accuracy(result.labels, labels) == 1.0


def test_many_exact_duplicates():
    vectors, labels = blobs(12)
    vectors, labels = np.repeat(vectors, 20, axis=0), np.repeat(labels, 20)
    result = cluster(vectors, knn_graph(vectors, 8), 3, config=QUICK, device="cpu")
    assert np.isfinite(result.head_losses).all()
    assert pseudo_label_accuracy(result.labels, labels) == 1.0


def test_one_giant_cluster_is_finite_and_reported():
    rng = np.random.default_rng(0)
    vectors = (np.ones((300, 8)) + 0.01 * rng.normal(size=(300, 8))).astype(np.float32)
    vectors[:3] = -vectors[:3]
    result = cluster(vectors, knn_graph(vectors, 8), 4, config=QUICK, device="cpu")
    assert np.isfinite(result.head_losses).all() and result.occupancy.sum() == 300


@pytest.mark.parametrize("name", ["select", "combine"])
def test_unknown_choices_in_the_config(name):
    with pytest.raises(InvalidInput, match=f"{name} must be one of .*, not 'magic'"):
        ClusteringConfig(**{name: "magic"})


def test_the_average_of_the_heads_labels_too():
    vectors, labels = blobs()
    config = replace(QUICK, combine="average", select="information")
    result = cluster(vectors, knn_graph(vectors, 8), 3, config=config, device="cpu")
    assert pseudo_label_accuracy(result.labels, labels) == 1.0
    assert result.best_head == result.head_scores.argmax()


def test_principal_components_by_hand():
    # Points on the line (1, 1) with a little of (1, -1): the first component is their position along (1, 1) / sqrt(2).
    along, across = torch.tensor([-3.0, -1.0, 1.0, 3.0]), torch.tensor([0.1, -0.1, -0.1, 0.1])
    data = torch.stack([along + across, along - across], dim=1)
    reduced = principal_components(data, 1)
    torch.testing.assert_close(reduced, along[:, None] * 2**0.5)


def test_wide_embeddings_are_reduced_first():
    vectors, labels = blobs(dim=40)
    config = replace(QUICK, components=5)
    result = cluster(vectors, knn_graph(vectors, 8), 3, config=config, device="cpu")
    assert pseudo_label_accuracy(result.labels, labels) == 1.0
