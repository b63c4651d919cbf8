"""Embeddings → k-NN graph, and what is read from it: near-duplicates, labels for new samples."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "graph": ["knn_graph"],
        "neighbor_graph": ["NeighborGraph"],
    },
)
