"""Which cluster is which class, or which cluster of another labelling: numbers of clusters mean nothing."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def matching(overlap):
    """The one-to-one matching of rows and columns with the largest total (Hungarian).

    Args:
        overlap: (R, C), how often row r meets column c

    Returns:
        (R,) int64: the column of each row, -1 for a row that is left over
    """
    rows, columns = linear_sum_assignment(-np.asarray(overlap))
    partner = np.full(len(overlap), -1, dtype=np.int64)
    partner[rows] = columns
    return partner
