"""Uncertainty sampling: least confidence, margin, entropy."""

import numpy as np

from ..base import Parameter, Ranked

MEASURES = ("least_confidence", "margin", "entropy")
_BLOCK = 65536


class Uncertainty(Ranked):
    """Most uncertain first, by probabilities (never logits)."""

    name = "uncertainty"
    listed = 130
    purpose = "The images a classifier is least sure of."
    paper = "Lewis & Gale, SIGIR 1994 (cmp-lg/9407020); margin: Scheffer et al. 2001; entropy: Settles 2009"
    direction = "hard_first"
    needs = ("probabilities",)
    parameters = (
        Parameter(
            "measure",
            "choice",
            "least_confidence",
            "1 - the highest probability, 1 - its lead over the second, or the entropy in nats.",
            choices=MEASURES,
        ),
    )
    keeps = "high"

    def score(self, pool, seed, progress):
        return uncertainty(pool.probabilities, self.settings.measure)


def uncertainty(probabilities, measure):
    """(N,) float64 of (N, C) probabilities, high = uncertain."""
    found = np.empty(len(probabilities))
    for start in range(0, len(found), _BLOCK):
        p = np.asarray(probabilities[start : start + _BLOCK], dtype=np.float64)
        found[start : start + _BLOCK] = _MEASURES[measure](p)
    return found


def _margin(p):
    if p.shape[1] < 2:
        return np.zeros(len(p))
    top = np.partition(p, -2, axis=1)
    return 1 - (top[:, -1] - top[:, -2])


def _entropy(p):
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)


_MEASURES = {"least_confidence": lambda p: 1 - p.max(axis=1), "margin": _margin, "entropy": _entropy}
