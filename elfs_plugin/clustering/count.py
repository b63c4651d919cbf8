"""How many clusters? Three label-free criteria, each beside the same criterion on data without clusters.

One family of partitions is judged from three sides. The partitions are k-means (Lloyd) on unit vectors, started from
Ward's tree, so that no random start decides; every number is held out: the centroids of one half of the rows judge the
other half, and both ways are averaged. The reference is one Gaussian with the principal variances of the data, taken
through the same steps (the idea of the gap statistic: Tibshirani, Walther, Hastie 2001).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import as_matrix
from ..contracts import Floats, Integers, Progress
from ..errors import InvalidInput
from ..neighbors.vectors import normalize
from ..plain import plain
from ..progress import part, silent
from ..seeds import Stream, rng
from .count_choice import CRITERIA, choose, explain, near, widened
from .count_partitions import GRAPH_NEIGHBORS, Components, Halves, without_clusters

if TYPE_CHECKING:
    from ..neighbors.neighbor_graph import NeighborGraph


SAMPLE_ROWS = 20_000
"""Rows looked at; of more, a seeded sample."""

MIN_ROWS = 20
"""Fewer different vectors than this say nothing about a number of clusters."""

MAX_CLUSTERS = 1000
ROWS_PER_CLUSTER = 20
"""The largest candidate leaves this many rows a cluster on average: ten in each half."""

DIMENSIONS = 64
"""Principal components that the partitions are made in."""


@dataclass(frozen=True)
class ClusterCount:
    """What :func:`estimate` found.

    ``suggested``: the number of clusters to start with, at least 2. ``clear``: False when most criteria cannot tell the
    data from data without clusters; then ``suggested`` is a working number and no finding. ``picks`` maps each of
    :data:`CRITERIA` to its own choice, 1 for "no clusters". ``agree``: all of them are near each other. ``low`` and
    ``high``: the plausible range. ``rows``: how many vectors were looked at. ``candidates`` (K,) int, ascending;
    ``curves`` and ``reference`` map each criterion to (K,) float, on the data and on the reference.
    """

    suggested: int
    low: int
    high: int
    agree: bool
    clear: bool
    picks: dict[str, int]
    explanation: str
    rows: int
    candidates: Integers = field(repr=False)
    curves: dict[str, Floats] = field(repr=False)
    reference: dict[str, Floats] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists, dicts and strings, for JSON."""
        return {name: plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClusterCount:
        """The opposite of :meth:`to_dict`."""
        arrays = {name: {k: np.asarray(v) for k, v in values[name].items()} for name in ("curves", "reference")}
        return cls(**{**values, **arrays, "candidates": np.asarray(values["candidates"])})


def estimate(
    vectors: ArrayLike,
    graph: NeighborGraph | None = None,
    *,
    candidates: Iterable[int] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> ClusterCount:
    """Suggests a number of clusters, with the evidence for it.

    Three criteria choose among the candidates, each with its own idea of a cluster:

    * prediction strength (Tibshirani, Walther 2005): the strongest of the largest numbers for which the centroids of
      one half of the rows still tell which rows of the other half belong together (0.8 or more);
    * simplified silhouette (Hruschka, de Castro, Campello 2004): where it exceeds the reference's most (the idea of the
      gap statistic: Tibshirani, Walther, Hastie 2001);
    * modularity of the k-NN graph (Newman, Girvan 2004): where it is highest.

    A criterion that does no better than on the reference chooses none. Where two find clusters the result is ``clear``;
    the suggestion is the median of what was found (the geometric mean of two). The rule and its thresholds were chosen
    on subsets of the classes of CIFAR-10 and on Gaussian data, with clusters and without. The Calinski-Harabasz and
    Davies-Bouldin indices, the gap statistic and the eigengap of the graph did worse there and are left out.
    Classes that overlap in these embeddings cannot be counted by any criterion.

    Time is about O(n d sum(candidates)), n at most 20,000 rows and d at most 64 components; no N x N matrix. It runs on
    one thread: then the result is the same on any number of cores.

    Args:
        vectors: (N, D), finite; at least 20 different ones
        graph: their :class:`~..neighbors.graph.NeighborGraph`, if there is one already (used where all rows are looked
            at; a sample gets a graph of its own)
        candidates: the numbers of clusters to try; by default about geometric from 2 to N / 20, at most 1,000, finer
            around the criteria's choices
        seed: same seed, same result

    Returns:
        :class:`ClusterCount`

    Raises:
        InvalidInput: too few different vectors, values that are not finite, or impossible candidates
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        evidence, rows = _gather(vectors, graph, candidates, seed, progress)
    progress(1.0)
    measured, curves, reference = evidence.curves()
    return conclude(measured, curves, reference, rows)


def _gather(vectors, graph, candidates, seed, progress):
    """The :class:`_Evidence` and the number of rows it rests on."""
    unit, neighbors = _prepare(vectors, graph, seed)
    progress(0.02, f"{len(unit):,} vectors")
    components = Components.of(unit, min(DIMENSIONS, len(unit) - 1, unit.shape[1]))
    data = Halves(components.transform(unit), neighbors, seed)
    progress(0.08, "a reference without clusters")
    reference = Halves(components.transform(without_clusters(unit, components, seed)), None, seed)
    evidence = _Evidence(data, reference)
    if candidates is not None:
        evidence.measure(_given(candidates, len(unit)), part(progress, 0.15, 1.0))
    else:
        top = max(2, min(len(unit) // ROWS_PER_CLUSTER, MAX_CLUSTERS))
        evidence.measure(_coarse(top), part(progress, 0.15, 0.7))
        for start, end in ((0.7, 0.9), (0.9, 1.0)):
            evidence.measure(evidence.between(), part(progress, start, end))
    return evidence, len(unit)


def conclude(candidates: Integers, curves: dict[str, Floats], reference: dict[str, Floats], rows: int) -> ClusterCount:
    """The :class:`ClusterCount` that (K,) ``candidates`` and their curves, ``{criterion: (K,)}``, amount to."""
    picks = choose(candidates, curves, reference)
    numbers = sorted(pick for pick in picks.values() if pick > 1)
    clear = 2 * len(numbers) > len(picks)
    if clear:
        suggested = numbers[len(numbers) // 2] if len(numbers) % 2 else round(math.sqrt(numbers[0] * numbers[-1]))
        low, high = widened(numbers[0], numbers[-1], candidates[-1])
    else:
        suggested = int(candidates[np.argmax(curves["modularity"])])
        low, high = int(candidates[0]), int(candidates[-1])
    agree = clear and len(numbers) == len(picks) and near(numbers[0], numbers[-1])
    return ClusterCount(
        suggested=suggested,
        low=low,
        high=high,
        agree=agree,
        clear=clear,
        picks=picks,
        explanation=explain(suggested, low, high, clear, picks),
        rows=rows,
        candidates=candidates,
        curves=curves,
        reference=reference,
    )


def _prepare(vectors, graph, seed):
    """The rows to look at as (n, D) unit vectors, and their (n, k) neighbors where those are known.

    Of more than :data:`SAMPLE_ROWS` rows a sample; of equal ones one, for copies would look like the best of clusters.
    """
    vectors = as_matrix(vectors)
    rows = np.arange(len(vectors))
    if len(rows) > SAMPLE_ROWS:
        rows = np.sort(rng(seed, Stream.COUNT_ROWS).choice(len(rows), SAMPLE_ROWS, replace=False))
    if not np.isfinite(vectors.sum(axis=1, dtype=np.float64)).all():
        raise InvalidInput("The vectors hold NaN or infinite values; exclude those rows first.")
    unit = normalize(vectors[rows])
    if len(unit):
        _, first = np.unique(unit, axis=0, return_index=True)
        first.sort()
        unit = unit[first]
    if len(unit) < MIN_ROWS:
        raise InvalidInput(
            f"{len(unit)} different vectors (length aside) are too few to estimate the number of clusters; at least "
            f"{MIN_ROWS} are needed. Set the number of clusters by hand.",
            "num_clusters",
        )
    known = graph is not None and len(unit) == len(vectors)
    return unit, graph.indices[:, :GRAPH_NEIGHBORS] if known else None


def _coarse(top, ratio=1.25):
    """All of 2 to 12, then about geometric up to ``top``."""
    counts = list(range(2, min(top, 12) + 1))
    while counts[-1] < top:
        counts.append(min(top, round(counts[-1] * ratio)))
    return counts


def _given(candidates, n):
    counts = sorted({int(count) for count in candidates})
    if not counts or counts[0] < 2 or counts[-1] > n // 4:
        raise InvalidInput(
            f"The candidate numbers of clusters must be 2 to {n // 4:,}, a quarter of the different vectors.",
            "num_clusters",
        )
    return counts


class _Evidence:
    """The criteria on the data and on the reference, for every candidate measured so far."""

    def __init__(self, data, reference):
        self._sides = data, reference
        self._measured = {}

    def measure(self, counts, progress):
        new = [count for count in counts if count not in self._measured]
        for step, count in enumerate(new):
            self._measured[count] = [side.measure(count) for side in self._sides]
            progress((step + 1) / len(new), f"{count} clusters")

    def curves(self):
        """``candidates`` (K,) and the curves of the data and of the reference."""
        counts = sorted(self._measured)
        data, reference = (
            {name: np.array([self._measured[count][side][name] for count in counts]) for name in CRITERIA}
            for side in (0, 1)
        )
        return np.array(counts), data, reference

    def between(self, steps=6):
        """Numbers between each criterion's choice and the candidates beside it."""
        candidates, *curves = self.curves()
        counts = set()
        for pick in choose(candidates, *curves).values():
            at = int(np.searchsorted(candidates, pick))
            around = candidates[max(at - 1, 0) : at + 2]
            for start, end in zip(around[:-1], around[1:]):
                counts.update(np.linspace(start, end, steps + 2).round().astype(int).tolist())
        return sorted(counts)
