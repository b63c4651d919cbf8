"""A balanced part of a pool that is too large for the stages that follow."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "balanced": ["balanced_rows"],
        "size": ["resolve_precut"],
    },
)
