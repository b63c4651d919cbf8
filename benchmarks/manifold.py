"""Synthetic embeddings that, like an encoder's, have many dimensions but few degrees of freedom."""

import numpy as np

from .common import Data


def manifold(samples, dimensions, degrees=24, clusters=10, seed=0):
    """Overlapping Gaussian clusters in ``degrees`` dimensions, bent into ``dimensions`` by a random network of one
    hidden layer, with a little noise in every dimension; float32, made in blocks."""
    vectors = np.empty((samples, dimensions), dtype=np.float32)
    truth = _fill(vectors, degrees, clusters, seed)
    return Data(f"{degrees}-dimensional manifold", vectors, truth)


def manifold_into(file, samples, dimensions, degrees=24, clusters=10, seed=0):
    """The same vectors in a new ``.npy`` file. Returns (N,) int, the cluster of each."""
    vectors = np.lib.format.open_memmap(file, "w+", np.float32, (samples, dimensions))
    truth = _fill(vectors, degrees, clusters, seed)
    vectors.flush()
    return truth


def _fill(vectors, degrees, clusters, seed):
    samples, dimensions = vectors.shape
    rng = np.random.default_rng(seed)
    hidden = 256
    bend = rng.normal(size=(degrees, hidden), scale=2 / np.sqrt(degrees)).astype(np.float32)
    spread = rng.normal(size=(hidden, dimensions), scale=1 / np.sqrt(hidden)).astype(np.float32)
    centres = rng.normal(size=(clusters, degrees)).astype(np.float32)
    truth = rng.integers(clusters, size=samples)
    for start in range(0, samples, 65536):
        block = truth[start : start + 65536]
        inner = centres[block] + 0.7 * rng.standard_normal((len(block), degrees), dtype=np.float32)
        noise = rng.standard_normal((len(block), dimensions), dtype=np.float32)
        vectors[start : start + 65536] = np.tanh(inner @ bend) @ spread + 0.05 * noise
    return truth


def intrinsic_dimension(vectors, k=50, points=300, seed=0):
    """Levina and Bickel's maximum-likelihood estimate (NIPS 2004) from the k nearest neighbours of some points, with
    the distances of unit vectors."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    some = np.random.default_rng(seed).choice(len(unit), min(points, len(unit)), replace=False)
    similarity = unit[some] @ unit.T
    similarity[np.arange(len(some)), some] = -np.inf
    nearest = np.sort(similarity, axis=1)[:, -k:]
    distance = np.sqrt(np.maximum(2 - 2 * nearest, 1e-12))  # farthest first
    return float(1 / np.mean(np.log(distance[:, :1] / distance[:, 1:])))
