"""Neighbours → pseudo-labels: TEMI, its health, and how many clusters there are."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "pseudo_labels": ["ClusteringConfig", "PseudoLabels", "cluster"],
    },
)
