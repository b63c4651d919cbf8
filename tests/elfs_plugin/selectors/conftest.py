import numpy as np
import pytest

from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.proxy.dynamics import HARD_WHEN, Dynamics
from elfs_plugin.selectors import Pool


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


@pytest.fixture
def pool():
    return make_pool()
