"""Difficulty out of training dynamics, and the cut at the hard end that several methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..contracts import Floats, Integers, Mask
from ..errors import InvalidInput
from ..pruning.scores import SCORES
from ..pruning.usual_beta import prior_beta
from ..pruning.zones import difficulty_rank, resolve_beta
from .candidates import Eligible
from .parameter import Parameter

if TYPE_CHECKING:
    from ..proxy.dynamics import Dynamics


BETA = Parameter(
    "beta",
    "number",
    None,
    "β, the fraction dropped as too hard, at most 1 - budget / N; none: what published settings use at this budget.",
    0.0,
    1.0,
)

SCORE = Parameter("score", "choice", "aum", "The difficulty score of the training dynamics.", choices=tuple(SCORES))


@dataclass(frozen=True)
class Cut(Eligible):
    """The free samples but for the hardest. ``hard`` (N,) is high where a sample is hard; ``rank`` (N,) int64 among the
    free samples, 0 = hardest, -1 for the others; ``dropped``: how many ranks the cut drops."""

    hard: Floats
    rank: Integers
    dropped: int

    @property
    def beta(self) -> float:
        """The fraction of the free samples that is dropped."""
        return self.dropped / self.ranked

    @property
    def ranked(self) -> int:
        """How many samples have a rank."""
        return int((self.rank >= 0).sum())


def hardness(dynamics: Dynamics, score: str) -> Floats:
    """(N,) float64 of a score of :class:`~..proxy.dynamics.Dynamics`, turned so that high is hard."""
    values = np.asarray(getattr(dynamics, score), dtype=np.float64)
    if not np.isfinite(values).all():
        raise InvalidInput(f"The score {score!r} was not recorded for every sample. Compute the scores again.", "score")
    return -values if SCORES[score].hard == "low" else values


def keep_after_cut(hard: Floats, beta: float | None, free: Mask, budget: int) -> Cut:
    """The :class:`Cut` that drops the β hardest of the free samples, and leaves the budget at least.

    Args:
        hard: (N,), high is hard; ties by position
        beta: β, the fraction of the free samples that is dropped; None: :func:`~..pruning.usual_beta.prior_beta`
        free: (N,) bool
    """
    rows = np.flatnonzero(free)
    if beta is None:
        beta = prior_beta(budget / len(rows))
    rank = np.full(len(free), -1, dtype=np.int64)
    rank[rows] = difficulty_rank(hard[rows], hard="high")
    dropped = resolve_beta(beta, budget, len(rows))
    return Cut(rank >= dropped, hard, rank, dropped)
