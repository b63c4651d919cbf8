"""UHerding: MaxHerding where a model of the labels so far is unsure (Bae et al. 2025)."""

import numpy as np

from ...contracts import Floats, Progress, Vectors
from ..base import Choice, Selector
from ..bounded import is_whole
from ..candidates import Candidates
from ..geometry import prepare
from ..pool import Pool
from .max_herding import herd


class UHerding(Selector):
    """The objective of MaxHerding, each sample weighted by 1 - (p1 - p2): how close the two highest probabilities of a
    model are that has learnt the locked samples' labels (:func:`~...proxy.labelled.probabilities_of_all`, scaled by a
    temperature); 0 for locked samples. The width h of the kernel is the smallest distance between two locked samples
    that differ, so it shrinks while labels grow. Without locked samples, or without probabilities, it is MaxHerding."""

    name = "u_herding"
    listed = 24
    purpose = "For later rounds: covers the images that a model of the labels so far is unsure of."
    paper = "Bae et al., Uncertainty Herding, ICLR 2025 (arXiv 2412.20644)"
    direction = "coverage"
    nested = True
    needs = ("embeddings",)
    optional = ("probabilities",)
    learns_from = "locked"

    def is_nested(self, samples: int, budget: int) -> bool:
        return is_whole(samples, budget)

    def choose(self, pool: Pool, budget: int, seed: int, candidates: Candidates, progress: Progress) -> Choice:
        vectors = prepare(pool.embeddings, "cosine")
        weights, bandwidth = np.ones(len(pool), dtype=np.float32), 1.0
        if pool.probabilities is not None and pool.locked.any():
            weights = margin_uncertainty(pool.probabilities)
            weights[pool.locked] = 0.0
            bandwidth = smallest_distance(vectors[pool.locked])
        return herd(pool, vectors, weights, bandwidth, budget, seed, candidates, progress)


def margin_uncertainty(probabilities: Vectors) -> Floats:
    """(N,) float32: 1 - (p1 - p2) of (N, C) probabilities."""
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities), dtype=np.float32)
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    return (1.0 - (top[:, 1] - top[:, 0])).astype(np.float32)


def smallest_distance(vectors: Vectors, otherwise: float = 1.0, least: float = 0.05) -> float:
    """The smallest Euclidean distance between two of the unit vectors that differ, ``least`` at least: a kernel that no
    other sample reaches covers nothing. ``otherwise``: where no two differ."""
    smallest = np.inf
    for start in range(0, len(vectors), 1024):
        squares = 2.0 - 2.0 * (vectors[start : start + 1024] @ vectors.T)
        smallest = min(smallest, float(squares[squares > 1e-5].min(initial=np.inf)))
    return max(np.sqrt(smallest), least) if np.isfinite(smallest) else otherwise
