"""What a misspelt name was probably meant to be."""

import difflib
from collections.abc import Iterable
from typing import Any


def did_you_mean(name: Any, known: Iterable[Any]) -> str:
    """`` Did you mean 'budget'?``, with a space before it, or an empty text when nothing is close."""
    if not isinstance(name, str):
        return ""
    by_lower = {str(other).lower(): str(other) for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, 1, 0.6)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""
