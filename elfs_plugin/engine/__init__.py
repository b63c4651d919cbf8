"""How independent pieces of work are run: in threads of this process, or on a Ray cluster."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"choose": ["current", "using"], "names": ["available"]},
)
