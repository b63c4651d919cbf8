"""Selection methods behind one contract, see :mod:`.base`. ``select(name, pool, budget)`` is the way in."""

from ..errors import InvalidInput
from .base import Pool, Selection, Selector
from .elfs import Elfs
from .random import Random

_METHODS = {method.name: method for method in (Elfs, Random)}


def available():
    """Method name -> {"needs": (...), "purpose": "..."}."""
    return {name: {"needs": m.needs, "purpose": m.purpose} for name, m in _METHODS.items()}


def select(name, pool, budget, *, seed=0, **params):
    """Chooses a coreset of exactly ``budget`` (count or fraction) samples from a :class:`Pool`.

    Raises:
        InvalidInput: for an unknown method, a need that the pool lacks, or a parameter out of range
    """
    if name not in _METHODS:
        raise InvalidInput(f"Unknown selector {name!r}. Available: {', '.join(_METHODS)}.", "method")
    return _METHODS[name](**params).run(pool, budget, seed)


__all__ = ["Pool", "Selection", "Selector", "available", "select"]
