"""Which cluster is which class, or which cluster of another labelling: numbers of clusters mean nothing."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from ..contracts import Integers


def matching(overlap: ArrayLike) -> Integers:
    """The one-to-one matching of rows and columns with the largest total (Hungarian).

    Args:
        overlap: (R, C), how often row r meets column c

    Returns:
        (R,) int64: the column of each row, -1 for a row that is left over
    """
    table = np.asarray(overlap)
    rows, columns = linear_sum_assignment(-table)
    partner = np.full(len(table), -1, dtype=np.int64)
    partner[rows] = columns
    return partner
