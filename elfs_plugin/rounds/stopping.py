"""Is another round of labelling worth it?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InvalidInput
from ..validation import shown

FEWEST = 3
"""Points without which no curve can be called flat."""


@dataclass(frozen=True)
class Advice:
    """``text``: sentences for the user. ``flat``: the last round gained no more than its spread, on a curve of
    :data:`FEWEST` points at least."""

    text: str
    flat: bool


def advise(curve: Sequence[tuple[int, float, float]]) -> Advice:
    """What the accuracies of the rounds so far say about another one.

    The spread of a gain is the standard error of the difference of two accuracies that were measured independently of
    each other. Both come from the same golden set, so the true spread is rather smaller.

    Args:
        curve: (labels, accuracy in [0, 1], its standard error) of each round, in order

    Raises:
        InvalidInput: for numbers that are none of these
    """
    points = [_checked(point) for point in curve]
    if not points:
        return Advice("No round has been measured on the golden set yet.", False)
    labels, accuracy, error = points[-1]
    now = f"With {labels:,} labels the model is right on {accuracy:.1%} (± {error:.1%}) of the golden set."
    if len(points) == 1:
        return Advice(f"{now} After the next round it can be said what a round gains.", False)
    before = points[-2]
    gain, spread = accuracy - before[1], math.hypot(error, before[2])
    more = labels - before[0]
    changed = f"the last {more:,} labels changed this by {100 * gain:+.1f} points (spread ± {100 * spread:.1f})"
    if gain < -spread:
        return Advice(f"{now} It got worse: {changed}. Look at the labels of the last round.", False)
    if gain > spread:
        return Advice(f"{now} Another round is worth it: {changed}.", False)
    if len(points) < FEWEST:
        return Advice(f"{now} That is within the spread: {changed}. Two rounds are too few to tell.", False)
    return Advice(
        f"{now} The curve is flat: {changed}. Stop here, unless single classes still matter; a larger golden set would "
        "show smaller gains.",
        True,
    )


def _checked(point):
    try:
        labels, accuracy, error = (float(value) for value in point)
    except (TypeError, ValueError):
        labels = accuracy = error = math.nan
    if not (0 <= labels < math.inf and 0 <= accuracy <= 1 and 0 <= error < math.inf):
        raise InvalidInput(
            f"A round of the curve is (labels, accuracy from 0 to 1, standard error); one is {shown(point)}.", "curve"
        )
    return int(labels), accuracy, error
