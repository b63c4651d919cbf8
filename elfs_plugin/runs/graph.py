"""The run's nearest neighbours on disk, so that those of one sample are read without loading anything else.

Three arrays in a folder of the run, which are mapped, not read: the ids in order (M,), and the K nearest of each,
(M, K) rows and (M, K) similarities. 280 MB for a million samples. The record names the folder that belongs to its
results (``graph``, None for a run of an older version), so no other neighbours than its own are ever shown.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..checkpoints import fingerprint
from ..contracts import AnyPath, Array, Floats, Integers
from ..files import reserved_npy
from ..partial_files import partial_path

KEPT = 32
"""Neighbours that are kept: more than are shown, and as many as the selectors on the graph look at."""

_ROWS = 65_536
_NAME = re.compile("graph(-[0-9a-f]{12})?")


@dataclass(frozen=True)
class KeptGraph:
    """``ids`` (M,) in order; ``neighbors`` (M, K) int32 rows, nearest first, -1 where there is none; ``similarities``
    (M, K) float32, cosine (float16 in runs from before 0.3)."""

    ids: Array
    neighbors: Integers
    similarities: Floats

    def row(self, sample_id: str) -> int | None:
        """The row of an id, or None."""
        wanted = str(sample_id).encode()
        row = int(np.searchsorted(self.ids, np.array(wanted, dtype=self.ids.dtype)))
        return row if row < len(self.ids) and self.ids[row] == wanted else None

    def neighbors_of(self, sample_id: str) -> list[tuple[str, float]] | None:
        """[(id, similarity)] of a sample, most similar first; None when the graph does not have it."""
        row = self.row(sample_id)
        if row is None:
            return None
        pairs = zip(self.neighbors[row].tolist(), self.similarities[row].tolist())
        return [(self.ids[other].decode(), similarity) for other, similarity in pairs if other >= 0]


def save(folder: AnyPath, ids: Sequence[str] | Array, neighbors: Integers, similarities: Floats) -> str:
    """Writes the graph of M samples: ``ids`` in any order, (M, k) rows of their neighbours and (M, k) similarities.

    Returns:
        the token of the graph, for :func:`load`

    Raises:
        OSError: when the disk has no room for it, or may not be written to
    """
    ids = np.asarray(ids).astype("S24")
    kept = min(neighbors.shape[1], KEPT)
    order = np.argsort(ids, kind="stable")
    place = np.empty(len(ids), dtype=np.int32)
    place[order] = np.arange(len(ids), dtype=np.int32)
    # Named by what it holds, so that the same results leave the same files.
    token = fingerprint(ids, np.asarray(neighbors[:, :kept]), np.asarray(similarities[:, :kept]))[:12]
    target = _folder(folder, token)
    if load(folder, token) is not None:
        return token
    partial = partial_path(target)
    partial.mkdir(parents=True)
    try:
        np.save(partial / "ids.npy", ids[order])
        shape = (len(ids), kept)
        rows = reserved_npy(partial / "neighbors.npy", np.int32, shape)
        values = reserved_npy(partial / "similarities.npy", np.float32, shape)
        for start in range(0, len(ids), _ROWS):
            some = order[start : start + _ROWS]
            found = np.asarray(neighbors[some, :kept])
            rows[start : start + _ROWS] = np.where(found < 0, -1, place[found])
            values[start : start + _ROWS] = similarities[some, :kept]
        rows.flush()
        values.flush()
        del rows, values
        shutil.rmtree(target, ignore_errors=True)  # one that is damaged
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return token


def _folder(folder, token):
    return Path(folder, "graph" if token is None else f"graph-{token}")


def extend(
    folder: AnyPath,
    token: str | None,
    ids: Sequence[str],
    neighbors: Sequence[Sequence[str]],
    similarities: Sequence[Sequence[float]],
) -> str | None:
    """A copy of a stored graph with Q samples more: ``ids`` with, for each, ``neighbors`` (ids) and ``similarities``,
    (Q, k).

    Where a new sample is nearer to one of its neighbours than that one's last, it takes a place in its list too.
    Returns the token of the new graph; a run without a graph stays without one.
    """
    kept = load(folder, token)
    if kept is None or not len(ids):
        return token
    new = set(ids)
    old = [row for row, i in enumerate(kept.ids.astype(str).tolist()) if i not in new]
    renumbered = np.full(len(kept.ids), -1, dtype=np.int32)
    renumbered[old] = np.arange(len(old), dtype=np.int32)
    lists = np.array(kept.neighbors[old])
    lists = np.where(lists < 0, -1, renumbered[lists])
    values = np.where(lists < 0, -2.0, np.array(kept.similarities[old], dtype=np.float32))
    together = [*kept.ids[old].astype(str).tolist(), *ids]
    place = {i: row for row, i in enumerate(together)}
    width = lists.shape[1]
    lists = np.concatenate([lists, np.full((len(ids), width), -1, dtype=np.int32)])
    values = np.concatenate([values, np.full((len(ids), width), -2.0, dtype=np.float32)])
    arriving: dict[int, dict[int, float]] = {}
    for row, (others, likeness) in enumerate(zip(neighbors, similarities), start=len(old)):
        for other, similarity in zip(others, likeness):
            if other in place and place[other] != row:
                arriving.setdefault(row, {})[place[other]] = float(similarity)
                if similarity > values[place[other], -1]:
                    arriving.setdefault(place[other], {})[row] = float(similarity)
    for row, found in arriving.items():
        found.update({other: value for other, value in zip(lists[row].tolist(), values[row].tolist()) if other >= 0})
        best = sorted(found, key=lambda other: (-found[other], other))[:width]
        lists[row, : len(best)] = best
        values[row, : len(best)] = [found[other] for other in best]
    return save(folder, together, lists, np.where(lists < 0, 0.0, values))


def load(folder: AnyPath, token: str | None) -> KeptGraph | None:
    """The :class:`KeptGraph` of a run's folder, memory-mapped, or None when there is none that can be read."""
    place = _folder(folder, token)
    try:
        names = ("ids", "neighbors", "similarities")
        ids, neighbors, similarities = (np.load(place / f"{name}.npy", mmap_mode="r") for name in names)
    except (OSError, ValueError):
        return None
    whole = neighbors.shape == similarities.shape and neighbors.ndim == 2 and len(ids) == len(neighbors)
    return KeptGraph(ids, neighbors, similarities) if whole else None


def remove_others(folder: AnyPath, token: str | None) -> None:
    """Removes the graphs that do not belong to the record any more."""
    for path in Path(folder).glob("graph*"):
        if _NAME.fullmatch(path.name) and path != _folder(folder, token):
            shutil.rmtree(path, ignore_errors=True)
