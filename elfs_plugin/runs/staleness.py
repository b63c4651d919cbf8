"""Which analyses are older than the run they tell of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..plain import plain
from .ranking import ranking_version

if TYPE_CHECKING:
    from .record import RunRecord

NAMES = ("comparison", "methods", "stability", "budget_curve", "audit")
"""The entries of a run's results that :mod:`.analyses` writes."""

_SELECTION = ("beta", "hard", "coreset", "easy")


def cut_of(selection: Mapping[str, Any]) -> dict[str, Any]:
    """What of an applied selection an analysis depends on."""
    return {name: selection.get(name) for name in _SELECTION}


def stale(results: Mapping[str, Any], run: RunRecord) -> dict[str, str]:
    """Why analyses no longer tell of the run as it is: name -> sentence, for those of :data:`NAMES` that are old.

    Args:
        results: of :func:`~.record.load_results`
        run: the :class:`~.record.RunRecord`

    A tag, a saved view or another run that changed after a comparison is not noticed here.
    """
    found = {}
    for name in NAMES:
        made = (results.get(name) or {}).get("made")
        if not made:
            continue
        selection = run.stages.get("selection")
        if "scores" not in run.stages or made.get("ranking") != ranking_version(run):
            found[name] = "The scores or pseudo-labels have changed since. Run it again."
        elif made.get("selection") and (selection is None or made["selection"] != plain(cut_of(selection))):
            found[name] = "Another coreset has been applied since. Run it again."
    return found
