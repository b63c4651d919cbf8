"""A tenth held out: the split on which a β search, a probe and an audit test what they have trained."""

from dataclasses import dataclass

import numpy as np

from ..contracts import Floats, Integers
from ..order import Order
from ..pruning.zones import double_end

HELD_OUT = 0.1
MIN_SAMPLES = 20
"""Fewer samples leave too little to hold out."""


@dataclass(frozen=True)
class Split:
    """Rows to ``train`` on, in random order, and rows ``held_out``."""

    train: Integers
    held_out: Integers


def split(order: Order, numbers: np.random.Generator) -> Split:
    """Holds out a tenth, one sample at least, drawn by ``numbers`` from an :class:`~..order.Order`."""
    places = numbers.permutation(len(order))
    count = max(1, round(HELD_OUT * len(order)))
    return Split(order.rows[places[count:]], order.rows[places[:count]])


def coreset_of(train: Integers, scores: Floats, kept: float, beta: float, hard: str) -> Integers:
    """The coreset of a part of the samples: ``kept`` and ``beta`` as fractions, so that the part is a small copy of the
    whole.

    Args:
        train: (t,) rows in the order of their ids
        scores: (N,) difficulty of all samples, ``hard`` its hard end
        kept: the budget as a fraction of N
        beta: clipped to what the budget allows

    Returns:
        rows, as many whatever ``beta``
    """
    size = max(1, min(len(train), round(kept * len(train))))
    return train[double_end(scores[train], size, min(beta, 1 - size / len(train)), hard=hard).coreset]
