"""A finished run as arrays: everything that an analysis takes, bound to sample ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..contracts import Array, Floats, Integers, Mask, Vectors
from ..errors import InvalidInput
from ..neighbors.neighbor_graph import NeighborGraph
from ..selectors import Pool
from . import ranking, vectors

if TYPE_CHECKING:
    from .run import Run


@dataclass(frozen=True)
class RunPool:
    """The N samples of a run that have a score, a pseudo-label and a vector, in the order of their ids.

    ``ids`` (N,) str, ``scores`` (N,) of the score ``score``, ``labels`` (N,) int with their ``names``, ``vectors``
    (N, D) float32. ``without_vector`` scored samples have none any more; ``deleted`` are gone from the dataset.
    """

    ids: Array
    scores: Floats
    labels: Integers
    names: list[str]
    vectors: Vectors
    score: str
    without_vector: int
    deleted: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_classes(self) -> int:
        return max(len(self.names), 2)

    @property
    def counts(self) -> dict[str, int]:
        """What is said beside every result."""
        return {"samples": len(self), "without_vector": self.without_vector, "deleted": self.deleted}

    def as_pool(self, neighbors: NeighborGraph | None = None) -> Pool:
        return Pool(self.ids, embeddings=self.vectors, neighbors=neighbors, pseudo_labels=self.labels)

    def places(self, ids: Iterable[str]) -> Integers:
        """Sorted indices (b,) of those of the ids that are in the pool."""
        wanted = np.unique(np.array(list(ids), dtype=self.ids.dtype))
        at = np.searchsorted(self.ids, wanted)
        inside = at < len(self.ids)
        return at[inside][self.ids[at[inside]] == wanted[inside]]

    def only(self, rows: Integers | Mask) -> RunPool:
        """The pool of some of its samples, ``rows`` indices or (N,) bool; no copy when that is all."""
        if np.asarray(rows).dtype == bool and np.all(rows):
            return self
        return RunPool(
            self.ids[rows],
            self.scores[rows],
            self.labels[rows],
            self.names,
            self.vectors[rows],
            self.score,
            self.without_vector,
            self.deleted,
        )


def read_pool(run: Run) -> RunPool:
    """The :class:`RunPool` of a :class:`~.run.Run` with scores.

    Raises:
        InvalidInput: when the run has no scores, or no sample has a vector any more
    """
    stage = run.require("scores", "an analysis").stages["scores"]
    ids, scores, labels, names = ranking.read_ranking(run)
    order = np.argsort(ids, kind="stable")
    ids, scores, labels = ids[order], scores[order], labels[order]
    found, ok = vectors.read(run, ids.tolist())
    if not ok.any():
        raise InvalidInput(
            f"No sample of the run '{run.key}' has a usable vector in {run.record.vectors_in} any more. "
            "Compute the embeddings and pseudo-labels again.",
            "key",
        )
    deleted = max(0, stage["scored"] - len(ids))
    return RunPool(ids[ok], scores[ok], labels[ok], names, found, stage["score"], int((~ok).sum()), deleted)


def kept_graph(run: Run, pool: RunPool) -> NeighborGraph | None:
    """The run's own :class:`~..neighbors.graph.NeighborGraph` when it is of exactly these samples, else None."""
    kept = run.graph
    if kept is None or len(kept.ids) != len(pool) or not np.array_equal(kept.ids, pool.ids.astype(kept.ids.dtype)):
        return None
    if (kept.neighbors[:] < 0).any():
        return None
    return NeighborGraph(np.asarray(kept.neighbors), np.asarray(kept.similarities, dtype=np.float32))
