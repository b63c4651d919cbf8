"""What a choice costs, so that a comparison of all methods can leave out what would keep everybody waiting."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """One seed takes about ten minutes on two cores where the product of ``factors`` reaches ``ten_minutes``.

    ``factors`` are out of ``"samples"`` (N), ``"budget"`` (b) and ``"dimensions"`` (D).
    """

    ten_minutes: float
    factors: tuple

    def is_high(self, **sizes):
        """Whether it takes longer than that; ``sizes`` holds a number for each of the factors at least."""
        return math.prod(float(sizes[factor]) for factor in self.factors) > self.ten_minutes
