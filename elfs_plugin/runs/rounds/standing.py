"""How far annotators are with a round: asked of its back end, which may be on another machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .backends.base import Standing
from .backends.registry import backend
from .state import round_of
from .views import round_view

if TYPE_CHECKING:
    from ..run import Run


def standings(run: Run, number: int | None = None, options: Mapping[str, Any] | None = None) -> list[Standing]:
    """How far each part of a round (None: the last one) is; of a round that was not sent, nothing.

    Args:
        options: values of the back end's options beside those in the record, which has no secrets

    Raises:
        InvalidInput: when there is no such round, or the back end cannot be reached
    """
    one = round_of(run.record, number)
    if not one.sent.get("to"):
        return []
    tool, given = backend(one.sent["to"]), {**(one.sent.get("options") or {}), **(options or {})}
    found: list[Standing] = []
    for part in one.parts:
        if part.state == "planned" or not part.receipt:
            found.append(Standing(part.annotator or part.key, 0, part.samples))
        else:
            found += tool.standing(run.dataset, part, _ids(run, one, part), given)
    return found


def _ids(run, one, part):
    """Ids of a part: those of its receipt, else all of the round."""
    known = part.receipt.get("ids")
    return list(known) if known else round_view(run, "batch", one.number).values("id")
