"""Groups of near-duplicates on the neighbour graph, and what a veto against them would cost.

Two samples belong together when one is among the k nearest neighbours of the other and their cosine similarity is at
least the threshold; a group is all that hangs together so (single linkage: the ends of a chain may be less similar).
More than k exact copies of one image may fall into several groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..contracts import Integers, Mask, Veto
from ..errors import InvalidInput

if TYPE_CHECKING:
    from .graph import NeighborGraph

_BLOCK = 1 << 18


@dataclass(frozen=True)
class Preview:
    """What a veto at this ``threshold`` (cosine similarity) would do to ``size`` samples.

    ``groups`` of two or more near-duplicates with ``samples`` in them together, the ``largest`` of that many; at most
    ``possible`` samples can enter a coreset, one of each group and all others.
    """

    threshold: float
    groups: int
    samples: int
    largest: int
    possible: int
    size: int

    @property
    def sentence(self) -> str:
        if self.groups == 0:
            return f"No two of the {self.size:,} images are as similar as {self.threshold:.4g}."
        return (
            f"{self.samples:,} of {self.size:,} images are in {self.groups:,} groups of near-duplicates (similarity "
            f"{self.threshold:.4g} or more; the largest of {self.largest:,}); a coreset can have {self.possible:,}."
        )


def resolve_threshold(veto: Veto, graph: NeighborGraph) -> float:
    """A veto as a cosine similarity.

    Args:
        veto: a similarity in (-1, 1], or ``{"quantile": q}`` with q in [0, 1]: that quantile of the samples'
            similarities to their nearest neighbours (0.95: the closest twentieth)
    """
    kind, value = check_veto(veto)
    if kind == "quantile":
        return float(np.quantile(graph.similarities[:, 0], value))
    return float(value)


def check_veto(veto: Any) -> tuple[str, float]:
    """("similarity" or "quantile", its value), or :class:`InvalidInput`."""
    kind, value = "similarity", veto
    if isinstance(veto, dict) and len(veto) == 1:
        kind, value = next(iter(veto.items()))
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if kind not in ("similarity", "quantile") or not number or not np.isfinite(value):
        raise InvalidInput(
            f"The veto is a similarity above -1 and at most 1, or {{'quantile': q}} with q from 0 to 1, not {veto!r}.",
            "veto",
        )
    if kind == "quantile":
        if not 0 <= value <= 1:
            raise InvalidInput(f"The veto's quantile must be from 0 to 1, not {value}.", "veto")
    elif not -1 < value <= 1:
        raise InvalidInput(f"The veto's similarity must be above -1 and at most 1, not {value}.", "veto")
    return kind, value


def groups(graph: NeighborGraph, threshold: float, among: Mask | None = None) -> Integers:
    """(N,) int32 group of each sample, numbered in the order of their first members; single samples are groups of one.

    Args:
        graph: :class:`~.graph.NeighborGraph` of N samples
        threshold: cosine similarity from which on two samples are near-duplicates; the rounding of float32 is allowed
            for, so that a threshold of 1 finds exact copies
        among: (N,) bool; the others are left alone, each a group of its own
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(graph.indices)
    starts, ends = [], []
    for start in range(0, n, _BLOCK):
        rows, columns = np.nonzero(graph.similarities[start : start + _BLOCK] >= threshold - 1e-6)
        found = graph.indices[start : start + _BLOCK][rows, columns]
        rows = rows + start
        if among is not None:
            inside = among[rows] & among[found]
            rows, found = rows[inside], found[inside]
        starts.append(rows.astype(np.int32))
        ends.append(found.astype(np.int32))
    one, other = (np.concatenate(rows or [np.empty(0, dtype=np.int32)]) for rows in (starts, ends))
    links = coo_matrix((np.ones(len(one), dtype=bool), (one, other)), shape=(n, n))
    return connected_components(links, directed=False)[1]


def preview(graph: NeighborGraph, veto: Veto, among: Mask | None = None) -> Preview:
    """:class:`Preview` of a veto; arguments as for :func:`resolve_threshold` and :func:`groups`."""
    threshold = resolve_threshold(veto, graph)
    inside = np.ones(len(graph.indices), dtype=bool) if among is None else np.asarray(among)
    sizes = np.bincount(groups(graph, threshold, inside)[inside])
    sizes = sizes[sizes > 0]
    several = sizes[sizes > 1]
    largest = int(several.max(initial=0))
    return Preview(threshold, len(several), int(several.sum()), largest, len(sizes), int(inside.sum()))
