"""A first β before any search: what published settings have used at each budget."""

import numpy as np

from ..errors import InvalidInput

KEPT = (0.1, 0.2, 0.3, 0.5, 0.7)
"""Fraction of the images kept ..."""

BETAS = (0.6, 0.45, 0.3, 0.1, 0.0)
"""... and a usual β beside it: the middle of the settings of ELFS (Zheng et al., ICLR 2025) and of its reruns for
SemiPrune (Cho et al. 2026, arXiv 2605.23198), which differ by about 0.2 between data sets."""


def usual_beta(kept: float) -> float:
    """The β usual in the literature for a share ``kept`` of the data; between and beyond the stated ones by
    interpolation and as at the ends."""
    return float(np.interp(kept, KEPT, BETAS))


def prior_beta(fraction: float) -> float:
    """:func:`usual_beta` for a budget that keeps ``fraction`` of the images, 0 < fraction <= 1, but never above
    1 - fraction. A place to start from: a search around it (± 0.2) takes its place.
    """
    if isinstance(fraction, bool) or not 0 < fraction <= 1:
        raise InvalidInput(f"The kept fraction must be above 0 and at most 1, not {fraction}.", "budget")
    return min(usual_beta(fraction), 1 - float(fraction))
