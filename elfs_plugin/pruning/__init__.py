"""Scores, β and a budget → zones. NumPy only: the panel and the forms may import it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "zones": ["ZONES", "Zones", "double_end"],
    },
)
