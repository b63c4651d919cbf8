"""Difficulty out of training dynamics, and the cut at the hard end that several methods share."""

import numpy as np

from ..errors import InvalidInput
from ..pruning.scores import HARD_WHEN
from ..pruning.usual_beta import prior_beta
from ..pruning.zones import difficulty_rank, resolve_beta
from .parameter import Parameter

SCORE = Parameter("score", "choice", "aum", "The difficulty score of the training dynamics.", choices=tuple(HARD_WHEN))


def hardness(dynamics, score):
    """(N,) float64 of a score of :class:`~..proxy.dynamics.Dynamics`, turned so that high is hard."""
    values = np.asarray(getattr(dynamics, score), dtype=np.float64)
    if not np.isfinite(values).all():
        raise InvalidInput(f"The score {score!r} was not recorded for every sample. Compute the scores again.", "score")
    return -values if HARD_WHEN[score] == "low" else values


def keep_after_cut(hard, beta, free, budget):
    """((N,) int64 rank among the free samples, 0 = hardest, -1 for the others; m, how many the cut drops).

    Args:
        hard: (N,), high is hard; ties by position
        beta: β, the fraction of the free samples that is dropped; None: :func:`~..pruning.usual_beta.prior_beta`
    """
    rows = np.flatnonzero(free)
    if beta is None:
        beta = prior_beta(budget / len(rows))
    rank = np.full(len(free), -1, dtype=np.int64)
    rank[rows] = difficulty_rank(hard[rows], hard="high")
    return rank, resolve_beta(beta, budget, len(rows))
