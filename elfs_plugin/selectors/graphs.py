"""The neighbour graph of a pool with as many neighbours as are wanted."""

from __future__ import annotations

from ..contracts import Progress
from ..neighbors.neighbor_graph import NeighborGraph
from ..progress import silent
from .pool import Pool


def graph_with(pool: Pool, neighbors: int, seed: int = 0, progress: Progress = silent) -> NeighborGraph:
    """The pool's graph, or one with more neighbours, where it has too few and the embeddings are there: that of a
    clustering has few where there are many clusters."""
    from ..neighbors.graph import knn_graph

    wanted = min(neighbors, len(pool) - 1)
    if pool.neighbors is not None and (pool.neighbors.k >= wanted or pool.embeddings is None):
        return pool.neighbors
    return knn_graph(pool.embeddings, wanted, seed=seed, progress=progress)
