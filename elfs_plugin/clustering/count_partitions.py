"""The partitions that are judged, of the data and of a reference without clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..contracts import Floats, Integers, Vectors
from ..neighbors.vectors import normalize
from ..principal_components import principal_axes
from ..seeds import Stream, rng
from .count_choice import CRITERIA
from .count_criteria import cross_table, modularity, prediction_strength, simplified_silhouette

GRAPH_NEIGHBORS = 15
"""Nearest neighbors that modularity counts."""

TREE_ROWS = 3000
"""Rows that Ward's tree is built of."""

LLOYD_STEPS = 8


@dataclass(frozen=True)
class Components:
    """The first principal components of (n, D) float32 data: they hold what separates clusters, and k-means on them
    saves time."""

    mean: Floats
    axes: Floats

    @classmethod
    def of(cls, data: Vectors, count: int) -> Components:
        mean = data.mean(axis=0, dtype=np.float64).astype(np.float32)
        axes = principal_axes([torch.from_numpy(data - mean)], data.shape[1], count)
        return cls(mean, axes.float().numpy())

    def transform(self, data: Vectors) -> Vectors:
        """(n, D) -> (n, count)."""
        return (data - self.mean) @ self.axes

    def inverse(self, points: Vectors) -> Vectors:
        """(n, count) -> (n, D)."""
        return points @ self.axes.T + self.mean


def without_clusters(unit: Vectors, components: Components, seed: int, steps: int = 3) -> Vectors:
    """As many unit vectors, from one Gaussian cloud with the mean and the principal variances of ``unit`` (n, D).

    On the sphere again, for a long cloud seen from its middle is denser at both ends, clusters or no clusters. That
    flattens it, so its axes are corrected a few times.
    """
    numbers = rng(seed, Stream.COUNT_REFERENCE)
    scores = components.transform(unit)
    rest = (unit - components.inverse(scores)).std(axis=0) * numbers.standard_normal(unit.shape, dtype=np.float32)
    cloud = numbers.standard_normal(scores.shape, dtype=np.float32)
    wanted = scores.std(axis=0)
    scale = wanted
    for _ in range(steps):
        drawn = normalize(components.inverse(cloud * scale) + rest)
        scale = scale * wanted / np.maximum(components.transform(drawn).std(axis=0), 1e-12)
    return normalize(components.inverse(cloud * scale) + rest)


class Halves:
    """(n, d) points, split into two random halves, and what any number of clusters makes of them."""

    def __init__(self, points: Vectors, neighbors: Integers | None, seed: int) -> None:
        from scipy.cluster.hierarchy import linkage

        order = rng(seed, Stream.COUNT_HALVES).permutation(len(points))[: len(points) // 2 * 2]
        points = np.ascontiguousarray(points, dtype=np.float32)
        self._points = points
        # No two points are equal, so the nearest is the point itself.
        self._neighbors = nearest(points, points, GRAPH_NEIGHBORS + 1)[1][:, 1:] if neighbors is None else neighbors
        self._halves = [points[rows] for rows in np.split(order, 2)]
        self._trees = [linkage(half[:TREE_ROWS], "ward") for half in self._halves]

    def measure(self, count: int) -> dict[str, float]:
        """Every criterion at ``count`` clusters, as ``{name: value}``."""
        centroids = [k_means(half, tree, count) for half, tree in zip(self._halves, self._trees)]
        values: dict[str, list[float]] = {name: [] for name in CRITERIA}
        for own, other, half in zip(centroids, centroids[::-1], self._halves):
            distances, held_out = nearest(half, other, 2)
            values["prediction_strength"].append(
                prediction_strength(nearest(half, own, 1)[1][:, 0], held_out[:, 0], count)
            )
            values["silhouette"].append(simplified_silhouette(distances))
            values["modularity"].append(modularity(nearest(self._points, own, 1)[1][:, 0], self._neighbors, count))
        return {name: float(np.mean(both)) for name, both in values.items()}


def k_means(points: Vectors, tree: Floats, count: int) -> Vectors:
    """(count, d) centroids: Ward's clusters of the first rows, moved by Lloyd's steps on all of them."""
    from scipy.cluster.hierarchy import fcluster

    labels = fcluster(tree, count, "maxclust") - 1
    centroids = _means(points[: len(labels)], labels, np.zeros((count, points.shape[1]), dtype=np.float32))
    for _ in range(LLOYD_STEPS):
        before, labels = labels, nearest(points, centroids, 1)[1][:, 0]
        if len(before) == len(labels) and (before == labels).all():
            break
        centroids = _means(points, labels, centroids)
    return centroids


def _means(points, labels, default):
    """Mean of each cluster's points; the row of ``default`` for an empty cluster."""
    members = cross_table(labels, np.arange(len(points)), len(default), len(points)).astype(np.float32)
    sizes = np.bincount(labels, minlength=len(default))[:, None]
    return np.where(sizes > 0, (members @ points) / np.maximum(sizes, 1), default).astype(np.float32)


def nearest(points: Vectors, centroids: Vectors, m: int) -> tuple[Floats, Integers]:
    """Distances (n, m) and numbers (n, m) of the m nearest centroids."""
    import faiss

    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(centroids)
    squared, numbers = index.search(points, m)
    return np.sqrt(np.maximum(squared, 0)), numbers
