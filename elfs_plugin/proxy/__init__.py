"""Pseudo-labels → training dynamics of a proxy, on embeddings or on images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "config": ["ProxyConfig"],
        "dynamics": ["Dynamics"],
        "train": ["train_proxy"],
    },
)
