"""What tests of several modules are made of."""

import contextlib
import os

import numpy as np

from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.proxy.dynamics import HARD_WHEN, Dynamics
from elfs_plugin.selectors import Pool


def blobs(n=80, clusters=4, *, dim=6, distance=3, noise=0.2, seed=0):
    """((n, dim) float32 vectors around one axis per cluster, their (n,) clusters 0, 1, 2, … in turn)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % clusters
    return (distance * np.eye(dim)[labels] + noise * rng.normal(size=(n, dim))).astype(np.float32), labels


def random_images(n=12, size=16, seed=0):
    """(n, 3, size, size) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def make_dynamics(hard, **changes):
    """Every score says the same: the higher ``hard`` (N,), the harder."""
    hard = np.asarray(hard, dtype=np.float64)
    scores = {name: -hard if end == "low" else hard for name, end in HARD_WHEN.items()}
    return Dynamics(**{**scores, **changes}, epochs=5)


def make_pool(n=60, dimensions=6, clusters=3, seed=0, k=10):
    """Everything a method may need, random; ids in ascending order."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % clusters
    vectors = (rng.normal(size=(clusters, dimensions))[labels] + 0.5 * rng.normal(size=(n, dimensions))).astype("f4")
    probabilities = rng.dirichlet(np.ones(clusters), size=n).astype("f4")
    return Pool(
        ids=np.array([f"id{i:04}" for i in range(n)]),
        embeddings=vectors,
        neighbors=knn_graph(vectors, k),
        pseudo_labels=labels,
        dynamics=make_dynamics(rng.random(n)),
        labels=labels,
        probabilities=probabilities,
        confidence=probabilities.max(axis=1),
        grand=rng.random(n),
    )


@contextlib.contextmanager
def datasets_of(paths):
    """A factory of datasets of the first ``n`` images (then ``extra`` ones); deleted after the block."""
    import fiftyone as fo

    made = []

    def make(n=80, extra=()):
        dataset = fo.Dataset(f"elfs-test-{os.getpid()}-{os.urandom(8).hex()}")
        made.append(dataset)
        dataset.add_samples([fo.Sample(filepath=str(path)) for path in (*paths[:n], *extra)])
        return dataset

    try:
        yield make
    finally:
        for dataset in made:
            if not dataset.deleted:
                dataset.delete()
