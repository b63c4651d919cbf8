"""How much an evaluation takes. Imports nothing heavy, for forms."""

from ..errors import InvalidInput

MOST_COMPARED = 10
"""Coresets in one comparison."""


def check_number(count: int) -> None:
    """Raises :class:`InvalidInput` unless so many coresets can be compared."""
    if not 2 <= count <= MOST_COMPARED:
        raise InvalidInput(f"Choose two to {MOST_COMPARED} coresets to compare, not {count}.", "members")
