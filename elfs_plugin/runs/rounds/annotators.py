"""Who labels a batch."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import InvalidInput
from ...validation import shown


def annotator_list(given: Iterable[str] | str | None) -> list[str]:
    """Names of a list, or of a text with commas between them.

    Raises:
        InvalidInput: for what is no name, and names that occur twice
    """
    if isinstance(given, str):
        given = [name for name in given.split(",") if name.strip()]
    found = [name.strip() if isinstance(name, str) else name for name in given or ()]
    for name in found:
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"An annotator is named by a text, not {shown(name)}.", "annotators")
    if len(set(found)) < len(found):
        raise InvalidInput("Two annotators have the same name.", "annotators")
    return found
