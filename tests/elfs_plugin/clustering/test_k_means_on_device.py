"""The k-means of a GPU beside that of faiss, on the CPU; and on a GPU where there is one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from elfs_plugin.clustering import k_means_on_device, temi_training
from elfs_plugin.clustering.k_means_on_device import spherical_k_means
from elfs_plugin.clustering.temi_training import kmeans_targets
from elfs_plugin.progress import silent

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def clustered(n, dimensions, clusters=10, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dimensions))
    values = centres[rng.integers(clusters, size=n)] + spread * rng.normal(size=(n, dimensions))
    return torch.from_numpy(values.astype(np.float32))


def by_faiss(unit, clusters, seed, iterations, points):
    import faiss

    kmeans = faiss.Kmeans(
        unit.shape[1],
        clusters,
        niter=iterations,
        spherical=True,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=points,
    )
    kmeans.train(unit.numpy())
    return kmeans.index.search(unit.numpy(), 1)[1][:, 0], kmeans.iteration_stats


@pytest.mark.parametrize(
    ("n", "dimensions", "clusters", "points"),
    [(3000, 16, 10, 2048), (3000, 16, 10, 50), (2000, 8, 200, 5), (300, 4, 100, 2048), (40, 6, 40, 2048), (9, 3, 3, 3)],
    ids=["all rows", "a sample", "many of a sample", "few rows each", "as many as rows", "few"],
)
@pytest.mark.parametrize("seed", [3, 2**31 - 2])
def test_the_labels_of_faiss(n, dimensions, clusters, points, seed):
    unit = F.normalize(clustered(n, dimensions), dim=1)
    expected, _ = by_faiss(unit, clusters, seed, 25, points)
    found = spherical_k_means(unit, clusters, seed, 25, points)
    assert found.dtype == torch.int64 and (found.numpy() == expected).mean() >= 0.999


def test_empty_clusters_are_filled_as_in_faiss():
    unit = F.normalize(clustered(7, 16).repeat(400, 1), dim=1)
    expected, stats = by_faiss(unit, 5, 3, 25, 2048)
    assert stats[0]["nsplit"] > 0
    assert (spherical_k_means(unit, 5, 3, 25, 2048).numpy() == expected).all()


def test_blocks_change_nothing(monkeypatch):
    unit = F.normalize(clustered(500, 8), dim=1)
    whole = spherical_k_means(unit, 6, 1, 25, 2048)
    monkeypatch.setattr(k_means_on_device, "BLOCK_ELEMENTS", 6 * 40)
    assert torch.equal(spherical_k_means(unit, 6, 1, 25, 2048), whole)


def test_a_gpu_that_is_full_leaves_it_to_the_cpu_and_says_so_once(monkeypatch, caplog):
    data = clustered(200, 6)
    usual = kmeans_targets(data, 4, 3, 0, silent)

    def full(*given):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(temi_training, "spherical_k_means", full)
    assert torch.equal(kmeans_targets(data, 4, 3, 0, silent, device=torch.device("meta")), usual)
    assert caplog.text.count("k-means does not fit into the memory") == 1


@needs_gpu
def test_a_gpu_agrees_with_the_cpu():
    data = clustered(5000, 32)
    usual, found = (kmeans_targets(data, 10, 3, 0, silent, device=torch.device(name)) for name in ("cpu", "cuda"))
    assert (usual == found).double().mean() >= 0.999
