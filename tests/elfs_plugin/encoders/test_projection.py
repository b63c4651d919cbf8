import sys
from types import SimpleNamespace

import numpy as np
import pytest

from elfs_plugin.encoders import projection
from elfs_plugin.errors import InvalidInput, MissingModel


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


class PlayedUMAP:
    """Takes UMAP's place, for whose compilation a test of the plot has the time: its points are the first two of the
    dimensions that it is given."""

    made: list = []

    def __init__(self, **settings):
        self.settings = settings
        self.made.append(self)

    def fit_transform(self, vectors):
        self.fitted = vectors
        return vectors[:, :2]

    def transform(self, vectors):
        return vectors[:, :2]


@pytest.mark.parametrize("limit", [60, 90])
def test_umap_fits_some_and_places_the_others(monkeypatch, limit):
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=PlayedUMAP))
    monkeypatch.setattr(PlayedUMAP, "made", [])
    monkeypatch.setattr(projection, "UMAP_FIT", limit)
    monkeypatch.setattr(projection, "_TRANSFORM_ROWS", 13)
    vectors = np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)
    reports = []
    points = projection.project(vectors, "umap", seed=3, progress=lambda f, d="": reports.append(f))
    assert np.array_equal(points, vectors[:, :2]) and points.dtype == np.float32
    assert reports == sorted(reports) and reports[-1] == 1.0
    projection.project(vectors, "umap", seed=3)
    projection.project(vectors, "umap", seed=4)
    first, same, other = PlayedUMAP.made
    assert len(first.fitted) == limit and np.array_equal(first.fitted, same.fitted)
    assert np.array_equal(first.fitted, other.fitted) == (limit == 90)
    assert first.settings["random_state"] == same.settings["random_state"] != other.settings["random_state"]
    assert np.abs(first.settings["init"]).max() == pytest.approx(10) and first.settings["n_neighbors"] == 15
    projection.project(vectors[:5], "umap")
    assert PlayedUMAP.made[-1].settings["n_neighbors"] == 4


def test_umap_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingModel, match="pip install umap-learn"):
        projection.project(np.eye(5), "umap")


def test_refusals():
    with pytest.raises(InvalidInput, match="Unknown method 'tsne'"):
        projection.project(np.eye(5), "tsne")
    with pytest.raises(InvalidInput, match="3 images at least"):
        projection.project(np.eye(2), "pca")
    with pytest.raises(InvalidInput, match="200,000 images; there are 200,001. Use PCA"):
        projection.check_size(200_001, "umap")
    projection.check_size(1_000_000, "pca")
