"""How a budget is shared out among clusters: largest remainder, exact in total."""

import numpy as np
from numpy.typing import ArrayLike

from ..contracts import Integers
from ..errors import InvalidInput

QUOTAS = ("none", "proportional", "equal")


def shares(budget: int, weights: ArrayLike, capacity: ArrayLike) -> Integers:
    """Whole shares (C,) int64 that sum to exactly ``budget``, none above its ``capacity``.

    Every cluster gets its part in proportion to its weight (Hamilton's method: rounded down, the rest one by one to the
    largest remainders; ties to the lowest number). A cluster that cannot fill its part takes all it has and the others
    share the rest in the same way.

    Args:
        budget: whole number, at most the sum of ``capacity``
        weights: (C,) whole numbers from 0; 1 everywhere for equal shares. A cluster of weight 0 gets what no other can
            take
        capacity: (C,) whole numbers, how many each cluster can give
    """
    weights, capacity = (np.asarray(values, dtype=np.int64) for values in (weights, capacity))
    if budget > capacity.sum():
        raise InvalidInput(f"The clusters hold {capacity.sum():,} samples, fewer than the budget {budget:,}.", "budget")
    given = np.zeros(len(capacity), dtype=np.int64)
    for active in (weights > 0, weights == 0):
        part = min(budget - given.sum(), capacity[active].sum())
        _share(part, np.maximum(weights, 1), capacity, active.copy(), given)
    return given


def _share(left, weights, capacity, active, given):
    while left > 0:
        # Python's whole numbers: neither overflow nor binary fractions decide a tie.
        some = np.flatnonzero(active)
        total = int(weights[some].sum())
        products = [int(left) * int(weight) for weight in weights[some]]
        full = some[[p >= int(c) * total for p, c in zip(products, capacity[some])]]
        if len(full):
            given[full] = capacity[full]
            left -= int(capacity[full].sum())
            active[full] = False
            continue
        given[some] = [p // total for p in products]
        rest = int(left) - int(given[some].sum())
        largest = sorted(range(len(some)), key=lambda c: (-(products[c] % total), c))[:rest]
        given[some[largest]] += 1
        return
