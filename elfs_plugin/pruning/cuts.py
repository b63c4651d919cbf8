"""The two cuts through the ranking, as numbers small enough to be sent to a browser and exact enough to be trusted.

Ranks go from hard to easy, 0 is the hardest (:mod:`.zones`). A cut is (hard, budget): ranks [0, hard) are too hard,
[hard, hard + budget) are the coreset, the rest is too easy. Every count follows from the two numbers alone, so a
browser can move the cuts without asking; the table below is what it needs to draw them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..contracts import Floats, Integers
from ..errors import InvalidInput

CLUSTERS = 30
"""Clusters that get a line of their own, the largest; the others are counted."""

QUANTILES = 500
"""Ranks at which the table holds the score itself; between them the browser interpolates."""

_BINS = 60
_GRID = 200


def cut_table(
    scores_by_rank: ArrayLike,
    labels_by_rank: ArrayLike,
    names: int | Iterable[str],
    *,
    hard: str,
    score_name: str,
    bins: int = _BINS,
    grid: int = _GRID,
) -> dict[str, Any]:
    """What a browser needs to draw and to move the cuts of one ranking; JSON-able, below 60 kB at any N.

    Args:
        scores_by_rank: (N,) finite scores, hardest first
        labels_by_rank: (N,) int, the cluster of each rank, in [0, len(names))
        names: the clusters' names, or their number
        hard: the end at which the hard samples stand, ``"low"`` (AUM) or ``"high"`` (forgetting, EL2N)
        score_name: the title of the score's axis
        bins: of the histogram, of equal width
        grid: at most so many ranks at which each cluster's members are counted

    Returns:
        dict: ``n``, ``score``, ``hard``;
        ``edges`` (B + 1,), from the hardest score to the easiest (descending when hard is "high");
        ``counts`` (B,) and ``ranks`` (B + 1,), where bin i holds exactly the ranks [ranks[i], ranks[i + 1]);
        ``quantiles``: {"ranks", "scores"}, the exact score at each of those ranks, first and last included;
        ``grid`` (G + 1,) ranks from 0 to n;
        ``clusters``: the largest, largest first (ties by label), each with ``label``, ``name``, ``size`` and
        ``members`` (G,), how many of its members have a rank in [grid[i], grid[i + 1]);
        ``more``: {"clusters", "size"}, those that were left out

    Raises:
        InvalidInput: for no scores, NaN, a wrong order, labels that do not fit
    """
    scores, labels, listed = _checked(scores_by_rank, labels_by_rank, names, hard)
    n = len(scores)
    edges, ranks = _histogram(scores, hard, bins)
    marks = np.unique(np.linspace(0, n - 1, min(n, QUANTILES)).round().astype(np.int64))
    points = np.unique(np.linspace(0, n, min(n, grid) + 1).round().astype(np.int64))
    sizes = np.bincount(labels, minlength=len(listed))
    shown = [int(label) for label in np.argsort(-sizes, kind="stable")[:CLUSTERS] if sizes[label] > 0]
    members = _members(labels, shown, len(listed), points)
    rest = np.setdiff1d(np.flatnonzero(sizes), shown)
    return {
        "n": n,
        "score": score_name,
        "hard": hard,
        "edges": edges.tolist(),
        "counts": np.diff(ranks).tolist(),
        "ranks": ranks.tolist(),
        "quantiles": {"ranks": marks.tolist(), "scores": scores[marks].tolist()},
        "grid": points.tolist(),
        "clusters": [
            {"label": label, "name": listed[label], "size": int(sizes[label]), "members": members[:, at].tolist()}
            for at, label in enumerate(shown)
        ],
        "more": {"clusters": len(rest), "size": int(sizes[rest].sum())},
    }


def cluster_counts(labels_by_rank: ArrayLike, hard: int, budget: int, *, clusters: int | None = None) -> Integers:
    """Exact members of each cluster in each zone: (C, 3) int64, columns hard, coreset, easy.

    Args:
        labels_by_rank: (N,) int, the cluster of each rank
        hard, budget: the cut, see :func:`check_cut`
        clusters: C; default the largest label + 1
    """
    labels = np.asarray(labels_by_rank)
    check_cut(hard, budget, len(labels))
    clusters = int(labels.max()) + 1 if clusters is None else clusters
    parts = np.split(labels, [hard, hard + budget])
    return np.stack([np.bincount(part, minlength=clusters) for part in parts], axis=1)


def cut_details(
    table: Mapping[str, Any], scores_by_rank: Floats, labels_by_rank: ArrayLike, hard: int, budget: int
) -> dict[str, Any]:
    """The exact numbers of one cut that the browser can only interpolate: what goes to it with a cut it released.

    Args:
        table: of :func:`cut_table`, made from the same ranking

    Returns:
        dict: ``scores``, those of the first and of the last sample of the coreset; ``clusters``, [hard, coreset, easy]
        of each cluster in the order of the table
    """
    counts = cluster_counts(labels_by_rank, hard, budget)
    return {
        "scores": [score_at(scores_by_rank, rank) for rank in (hard, hard + budget - 1)],
        "clusters": [counts[cluster["label"]].tolist() for cluster in table["clusters"]],
    }


def score_at(scores_by_rank: Floats, rank: int) -> float:
    """The score of the sample at a rank, as a float. ``rank`` in [0, N)."""
    n = len(scores_by_rank)
    if not 0 <= rank < n:
        raise InvalidInput(f"Rank {rank} is outside 0 to {n - 1:,}.", "rank")
    return float(scores_by_rank[rank])


def check_cut(hard: int, budget: int, n: int) -> None:
    """Refuses a cut that is no cut of n ranks: whole numbers with 0 <= hard, 1 <= budget, hard + budget <= n."""
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in (hard, budget))
    if not whole or hard < 0 or budget < 1 or hard + budget > n:
        raise InvalidInput(
            f"A cut of {n:,} images needs a budget of at least 1, and at most {n:,} images dropped and kept together; "
            f"it is {hard} dropped and {budget} kept.",
            "budget",
        )


def _checked(scores, labels, names, hard):
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    names = [f"cluster {i}" for i in range(names)] if isinstance(names, (int, np.integer)) else [str(x) for x in names]
    if hard not in ("low", "high"):
        raise InvalidInput(f"hard must be 'low' or 'high', not {hard!r}.")
    if scores.ndim != 1 or len(scores) == 0:
        raise InvalidInput("There are no scored samples.")
    if not np.isfinite(scores).all():
        raise InvalidInput("The scores hold NaN or infinite values; exclude those samples first.")
    step = np.diff(scores)
    if (step < 0).any() if hard == "low" else (step > 0).any():
        raise InvalidInput("The scores must be in the order of their ranks, hardest first.")
    if labels.shape != scores.shape or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidInput(f"{len(scores):,} scores need as many whole-numbered labels; there are {labels.shape}.")
    if labels.min() < 0 or labels.max() >= len(names):
        raise InvalidInput(
            f"The labels go from {labels.min()} to {labels.max()}, with names for 0 to {len(names) - 1}."
        )
    return scores, labels, names


def _histogram(scores, hard, bins):
    """Edges from hard to easy and the rank at each edge; one bin when all scores are equal.

    Few different whole numbers (forgetting events) get a bin each, with the number in its middle.
    """
    sign = 1 if hard == "low" else -1
    span = abs(scores[-1] - scores[0])
    if span < bins and (scores == np.rint(scores)).all():
        edges = scores[0] + sign * (np.arange(int(span) + 2) - 0.5)
    else:
        edges = np.linspace(scores[0], scores[-1], (bins if span > 0 else 1) + 1)
    ranks = np.searchsorted(sign * scores, sign * edges, side="left")
    ranks[0], ranks[-1] = 0, len(scores)  # the last bin holds its upper edge as well
    return edges, ranks


def _members(labels, shown, clusters, points):
    """(G, len(shown)) int64: members of the shown clusters between two points of the grid."""
    column = np.full(clusters, len(shown))
    column[shown] = np.arange(len(shown))
    width = len(shown) + 1  # the last column takes the clusters that are not shown
    interval = np.repeat(np.arange(len(points) - 1), np.diff(points))
    cells = np.bincount(interval * width + column[labels], minlength=(len(points) - 1) * width)
    return cells.reshape(-1, width)[:, :-1]
