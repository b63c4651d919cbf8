"""k-medoids and TypiClust."""

from dataclasses import replace

import numpy as np
import pytest

from elfs_plugin.progress import silent
from elfs_plugin.seeds import Stream
from elfs_plugin.selectors import Pool, select
from elfs_plugin.selectors.candidates import Candidates
from elfs_plugin.selectors.engines import k_means as engine
from elfs_plugin.selectors.methods.typiclust import typicality
from elfs_plugin.selectors.turns import take_turns
from tests.helpers import blobs


def of(vectors, **known):
    return Pool(np.arange(len(vectors)), embeddings=vectors, **known)


@pytest.mark.parametrize("method", ["k_medoids", "typiclust"])
def test_one_of_each_cluster_the_largest_first(method):
    vectors, clusters = blobs(100, 4)
    kept = np.concatenate([np.flatnonzero(clusters == c)[:size] for c, size in enumerate((10, 25, 20, 15))])
    vectors, clusters = vectors[kept], clusters[kept]
    chosen = select(method, of(vectors), 4).indices
    assert clusters[chosen].tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize("method", ["k_medoids", "typiclust"])
def test_a_cluster_that_has_a_labelled_image_is_the_last(method):
    vectors, clusters = blobs(80, 4)
    locked = np.flatnonzero(clusters == 2)[:1]
    chosen = select(method, of(vectors, locked=locked), 3).indices
    assert sorted(clusters[chosen].tolist()) == [0, 1, 3]


def test_the_medoid_is_nearest_to_the_mean():
    vectors, clusters = blobs(80, 2, noise=0.4)
    chosen = select("k_medoids", of(vectors), 2, metric="euclidean").indices
    for i in chosen:
        own = np.flatnonzero(clusters == clusters[i])
        assert i == own[np.argmin(np.linalg.norm(vectors[own] - vectors[own].mean(axis=0), axis=1))]


def test_typicality_by_hand():
    """Four unit vectors: at 0° 10° 20° one cluster, half of which is one neighbour; 90° is alone in the other."""
    angles = np.radians([0, 10, 30, 90])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = typicality(vectors, np.array([0, 0, 0, 1]), 2, silent)
    chord = 2 * np.sin(np.radians(np.array([5, 5, 10])))
    assert found == pytest.approx([*(1 / (chord + 1e-5)), 0.0], rel=1e-3)


def test_typiclust_is_that_of_an_independent_implementation():
    from skactiveml.pool import TypiClust

    vectors, _ = blobs(80, 4)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    # Its k is counted for the whole cluster of 20; half of that is 10.
    theirs = TypiClust(k=10, random_state=0).query(unit, np.full(80, np.nan), batch_size=4)
    assert sorted(theirs.tolist()) == sorted(select("typiclust", of(vectors), 4).indices.tolist())


def test_small_clusters_have_no_turn_before_the_others_are_used_up():
    vectors, clusters = blobs(84, 4)
    few = np.r_[np.flatnonzero(clusters == 0)[:5], np.flatnonzero(clusters != 0)]
    vectors, clusters = vectors[few], clusters[few]
    assert 0 not in clusters[select("typiclust", of(vectors), 4).indices]
    assert 0 in clusters[select("typiclust", of(vectors), 4, smallest=5).indices]
    assert len(set(select("typiclust", of(vectors), len(vectors)).indices.tolist())) == len(vectors)


def test_turns_by_hand():
    labels, rows = np.array([0, 0, 0, 1, 1]), np.array([4, 7, 8, 1, 2])
    candidates = Candidates(np.ones(9, dtype=bool), 5)
    keys = np.array([3.0, 1.0, 1.0, 5.0, 4.0])
    assert take_turns(np.array([1, 0]), labels, rows, keys, 5, candidates).tolist() == [2, 7, 1, 8, 4]


@pytest.mark.parametrize("method", ["k_medoids", "typiclust"])
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("budget", [1, 13, 20])
def test_equal_vectors(method, value, budget):
    chosen = select(method, of(np.full((20, 4), value, dtype=np.float32)), budget).indices.tolist()
    assert len(set(chosen)) == budget


def test_more_locked_than_budget():
    vectors, _ = blobs(80, 4)
    for method in ("k_medoids", "typiclust"):
        pool = replace(of(vectors), locked=np.arange(50))
        assert min(select(method, pool, 3).indices) >= 50


def test_two_levels_share_the_clusters_out_by_size(monkeypatch):
    vectors, clusters = blobs(400, 4, noise=0.3)
    monkeypatch.setattr(engine, "DIRECT", 10)
    labels, distances = engine.k_means(vectors, 50, 0, Stream.K_MEDOIDS, silent)
    assert len(np.unique(labels)) == 50 and labels.max() < 50
    for label in range(50):  # no cluster lies across two of the first level
        assert len(np.unique(clusters[labels == label])) == 1
    for label in range(50):
        own = vectors[labels == label]
        assert distances[labels == label] == pytest.approx(np.linalg.norm(own - own.mean(axis=0), axis=1), abs=0.1)


def test_a_group_that_gets_no_cluster_joins_the_next(monkeypatch):
    vectors = np.zeros((30, 2), dtype=np.float32)
    monkeypatch.setattr(engine, "DIRECT", 2)
    labels, _ = engine.k_means(vectors, 9, 0, Stream.K_MEDOIDS, silent)
    assert 0 <= labels.min() and labels.max() < 9
