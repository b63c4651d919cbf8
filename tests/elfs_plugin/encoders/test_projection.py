import numpy as np
import pytest

from elfs_plugin.encoders import projection
from elfs_plugin.errors import InvalidInput


def test_pca_of_points_on_a_line():
    points = projection.pca(np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]))
    assert points == pytest.approx(np.array([[-5.0, 0.0], [0.0, 0.0], [5.0, 0.0]]), abs=1e-6)


def test_pca_is_the_same_in_blocks_and_as_by_svd(monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(50, 6)) * [5, 3, 1, 1, 1, 1]
    whole = projection.pca(vectors)
    monkeypatch.setattr(projection, "_ROWS", 7)
    assert projection.pca(vectors) == pytest.approx(whole, abs=1e-5)
    u, s, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    assert np.abs(whole) == pytest.approx(np.abs(u[:, :2] * s[:2]), abs=1e-5)


def test_pca_does_not_flip_and_fills_missing_axes_with_zeros():
    vectors = np.random.default_rng(0).normal(size=(20, 1))
    points = projection.pca(vectors)
    assert points[:, 0] == pytest.approx((vectors - vectors.mean())[:, 0], abs=1e-6)
    assert not points[:, 1].any()


def test_umap_keeps_groups_apart_and_is_seeded(monkeypatch):
    monkeypatch.setattr(projection, "UMAP_FIT", 60)
    rng = np.random.default_rng(0)
    group = np.arange(90) % 3
    vectors = (8 * np.eye(5)[group] + rng.normal(size=(90, 5))).astype(np.float32)
    reports = []
    points = projection.project(vectors, "umap", seed=3, progress=lambda f, d="": reports.append(f))
    assert points.shape == (90, 2) and np.isfinite(points).all()
    centres = np.stack([points[group == g].mean(axis=0) for g in range(3)])
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == group).mean() > 0.95
    assert np.array_equal(points, projection.project(vectors, "umap", seed=3))
    assert reports == sorted(reports) and reports[-1] == 1.0


def test_refusals():
    with pytest.raises(InvalidInput, match="Unknown method 'tsne'"):
        projection.project(np.eye(5), "tsne")
    with pytest.raises(InvalidInput, match="3 images at least"):
        projection.project(np.eye(2), "pca")
    with pytest.raises(InvalidInput, match="200,000 images; there are 200,001. Use PCA"):
        projection.check_size(200_001, "umap")
    projection.check_size(1_000_000, "pca")
