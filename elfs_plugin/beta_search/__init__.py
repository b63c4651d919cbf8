"""Pseudo-labels and scores → β, by a grid search on a 90/10 split."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "search": ["BetaSearch", "search_beta"],
    },
)
