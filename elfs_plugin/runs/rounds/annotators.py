"""Who labels a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...errors import InvalidInput
from ...validation import shown, whole_number
from .backends.base import Backend


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


def check_people(tool: Backend | type[Backend], people: Sequence[str], control: int) -> None:
    """Refuses annotators for a tool that has none, and a control set that nobody can disagree on.

    Raises:
        InvalidInput
    """
    count = whole_number(control)
    if count is None or count < 0:
        raise InvalidInput(f"The control set has a whole number of images, not {shown(control)}.", "control")
    if people and not tool.people:
        raise InvalidInput(f"{tool.title} does not deal batches out among annotators. Leave them out.", "annotators")
    if count and len(people) < 2:
        raise InvalidInput("A control set tells annotators apart: name two at least.", "control")
