"""How many samples of a pool go on to the stages after the embedding."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidInput
from ..validation import shown, whole_number

ABOVE = 5_000_000
"""Samples above which ``"auto"`` cuts."""

KEPT = 1_000_000
"""So many are kept then, or more where the budget asks for it."""

PER_CHOSEN = 5
"""Samples that are kept for each that is to be chosen, at least."""

FEWEST = 2


def check_precut(precut: Any) -> str | int:
    """``precut`` as ``"off"``, ``"auto"`` or an int.

    Raises:
        InvalidInput: for anything else
    """
    if isinstance(precut, str) and precut in ("off", "auto"):
        return precut
    count = None if isinstance(precut, str) else whole_number(precut)
    if count is None or count < FEWEST:
        raise InvalidInput(
            f"precut is 'auto', 'off' or how many images to keep, a whole number from {FEWEST}, not {shown(precut)}.",
            "precut",
        )
    return count


def resolve_precut(precut: str | int, n: int, budget: int) -> int:
    """How many of ``n`` samples are kept, of which ``budget`` will be chosen; ``n`` where nothing is cut.

    ``"auto"`` cuts pools above :data:`ABOVE` to :data:`KEPT`, or :data:`PER_CHOSEN` times the budget if that is more.

    Raises:
        InvalidInput: where fewer would be kept than are to be chosen
    """
    precut = check_precut(precut)
    if precut == "off" or (precut == "auto" and n <= ABOVE):
        return n
    if isinstance(precut, str):
        return min(n, max(KEPT, PER_CHOSEN * budget))
    if precut < budget:
        raise InvalidInput(
            f"The pre-cut keeps {precut:,} images, fewer than the budget of {budget:,}. Keep more, or choose fewer.",
            "precut",
        )
    return min(n, precut)
