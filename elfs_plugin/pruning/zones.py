"""Double-end pruning: drop the hardest by β, keep the budget, drop the easiest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import as_array
from ..contracts import Array, Budget, Integers
from ..errors import InvalidInput
from ..validation import plain_number, shown

ZONES = ("hard", "coreset", "easy")
"""The zones in the order of the ranks, hardest first."""

_EPSILON = 1e-9
"""Keeps 0.3 * 10 at 3 despite binary fractions; far below one sample for any N."""


@dataclass(frozen=True)
class Zones:
    """``rank`` (N,) int64, 0 = hardest, dense; hard [0, m), coreset [m, m + b), easy [m + b, N)."""

    rank: Integers
    hard_count: int
    budget: int

    @property
    def coreset(self) -> Integers:
        """Indices of the coreset, hardest first."""
        order = np.argsort(self.rank)
        return order[self.hard_count : self.hard_count + self.budget]

    @property
    def zone(self) -> Array:
        """(N,) array of ``"hard"``, ``"coreset"`` and ``"easy"``."""
        cuts = [self.hard_count, self.hard_count + self.budget]
        return np.array(ZONES)[np.searchsorted(cuts, self.rank, side="right")]


def difficulty_rank(scores: ArrayLike, *, hard: str = "low", ids: Sequence[Any] | Array | None = None) -> Integers:
    """Dense ranks (N,), 0 = hardest.

    Args:
        scores: (N,) finite
        hard: the end at which the hard samples stand, ``"low"`` (AUM) or ``"high"`` (forgetting, EL2N)
        ids: (N,) distinct and sortable; they break ties, so that the order does not depend on positions
    """
    scores = as_array(scores, "The scores", "scores").astype(np.float64, copy=False)
    if not np.isfinite(scores).all():
        raise InvalidInput("The scores hold NaN or infinite values; exclude those samples first.")
    if hard not in ("low", "high"):
        raise InvalidInput(f"hard must be 'low' or 'high', not {hard!r}.")
    ties = np.arange(len(scores)) if ids is None else np.asarray(ids)
    order = np.lexsort((ties, scores if hard == "low" else -scores))
    rank = np.empty(len(scores), dtype=np.int64)
    rank[order] = np.arange(len(scores))
    return rank


def as_budget(budget: Budget | str) -> Budget:
    """A budget as :func:`resolve_budget` takes it, an int (images) or a float (a fraction), of a number of any type or
    a text: ``"100"``, ``"0.1"``, ``"10%"``.

    Raises:
        InvalidInput: for anything else
    """
    return _parse_budget(budget, "budget") if isinstance(budget, str) else _number(budget, "The budget", "budget")


def as_beta(beta: float | str) -> float:
    """β as a float, of a number of any type or a text: ``"0.2"``, ``"20%"``.

    Raises:
        InvalidInput: for anything else
    """
    if not isinstance(beta, str):
        return float(_number(beta, "β", "beta"))
    text = beta.strip()
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise InvalidInput(f"β must be a number, not {shown(beta)}. Write it as 0.2 or 20%.", "beta") from None


def check_beta(beta: float | str) -> float:
    """β as a float, where no budget is known that would limit it further.

    Raises:
        InvalidInput: unless 0 <= beta < 1
    """
    value = as_beta(beta)
    if not 0 <= value < 1:
        raise InvalidInput(f"β must be from 0 to below 1; it is {shown(beta)}.", "beta")
    return value


def _number(value, what, field):
    """An int or a float."""
    value = plain_number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidInput(f"{what} must be a number, not {shown(value)}.", field)
    return value


def resolve_budget(budget: Budget | str, n: int) -> int:
    """A budget as a number of images.

    A float in (0, 1] is a fraction of n (rounded down, at least 1); an int is a count. The integer 1 is one image, the
    float 1.0 is everything. A float above 1 is refused, for it may be meant as either. See also :func:`as_budget`.

    Raises:
        InvalidInput: with the valid range
    """
    text = (
        "The budget must be a fraction above 0 and at most 1, or a whole number from 1 to "
        f"{n:,}; it is {shown(budget)}."
    )
    if not isinstance(budget, str):
        try:
            budget = _number(budget, "The budget", "budget")
        except InvalidInput:
            raise InvalidInput(text, "budget") from None
    budget = as_budget(budget)
    fraction = isinstance(budget, float)
    if budget != budget or budget <= 0 or budget > (1 if fraction else n):
        if fraction and 1 < budget <= n and budget == int(budget):
            text += f" Write {int(budget)} for so many images, or a percentage as '2%'."
        raise InvalidInput(text, "budget")
    return max(1, int(np.floor(budget * n + _EPSILON))) if fraction else int(budget)


def parse_budgets(text: str) -> list[Budget]:
    """Budgets of a text such as ``100, 500, 10%, 0.3``: counts, percentages up to 100, fractions with a point.

    Raises:
        InvalidInput: with the part that is no budget
    """
    return [_parse_budget(item, "budgets") for item in text.replace(";", ",").split(",")]


def _parse_budget(text, field):
    item = text.strip()
    try:
        if item.isdecimal():
            return int(item)
        share = float(item[:-1]) / 100 if item.endswith("%") else float(item)
        if 0 < share <= 1:  # 200% is not the count 2
            return share
    except ValueError:
        pass
    raise InvalidInput(f"'{item[:60]}' is no budget. Write whole numbers, or percent up to 100: 100, 500, 10%.", field)


def count_hard(beta: float, n: int) -> int:
    """The number of hardest of n samples that β (a float) drops, floor(beta n); :func:`resolve_beta` refuses what a
    budget has no room for."""
    return int(np.floor(beta * n + _EPSILON))


def resolve_beta(beta: float | str, budget: int, n: int) -> int:
    """The number of hardest samples to drop, :func:`count_hard`.

    Args:
        beta: β, as :func:`as_beta` takes it

    Raises:
        InvalidInput: unless 0 <= beta <= 1 - budget / n
    """
    limit = 1 - budget / n
    try:
        value = as_beta(beta)
        valid = 0 <= value <= limit + _EPSILON  # NaN is not
    except (InvalidInput, OverflowError):
        valid = False
    if not valid:
        raise InvalidInput(
            f"With a budget of {budget:,} of {n:,} images ({budget / n:.1%}), β must be between 0 and {limit:.4g}; "
            f"it is {shown(beta)}.",
            "beta",
        )
    return min(count_hard(value, n), n - budget)


def double_end(
    scores: ArrayLike,
    budget: Budget | str,
    beta: float | str,
    *,
    hard: str = "low",
    ids: Sequence[Any] | Array | None = None,
) -> Zones:
    """ELFS's double-end pruning (Zheng et al., ICLR 2025).

    Args:
        scores: (N,) difficulty scores; see ``hard`` for their direction
        budget: b, a count or a fraction, see :func:`resolve_budget`
        beta: β, the fraction of all N samples dropped as too hard; 0 <= β <= 1 - b / N

    Returns:
        :class:`Zones` with exactly b samples in the coreset
    """
    n = np.size(scores := as_array(scores, "The scores", "scores"))
    if n == 0:
        raise InvalidInput("There are no scored samples.")
    count = resolve_budget(budget, n)
    hard_count = resolve_beta(beta, count, n)
    return Zones(difficulty_rank(scores, hard=hard, ids=ids), hard_count, count)
