"""What a veto against near-duplicates would leave of a run. Imports nothing heavy, for forms."""

from __future__ import annotations

import functools

import numpy as np

from ..contracts import Veto
from ..neighbors import near_duplicates
from ..neighbors.neighbor_graph import NeighborGraph
from . import graph, ranking
from .run import Run


def preview_veto(run: Run, veto: Veto) -> near_duplicates.Preview | None:
    """:class:`~..neighbors.near_duplicates.Preview` of a veto, by the neighbours that a :class:`~.run.Run` keeps, if it
    does."""
    run.require("scores", "a preview")
    token, version = run.record.graph, ranking.ranking_version(run.record)
    return _preview(run.folder, token, version, *near_duplicates.check_veto(veto))


@functools.lru_cache(maxsize=32)
def _preview(folder, token, version, kind, value):
    """Cached: a form is made anew at every key that is pressed in it."""
    kept = graph.load(folder, token)
    if kept is None or (kept.neighbors[:] < 0).any():
        return None
    known = NeighborGraph(np.asarray(kept.neighbors), np.asarray(kept.similarities, dtype=np.float32))
    return near_duplicates.preview(known, {kind: value} if kind == "quantile" else value)
