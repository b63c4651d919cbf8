"""Which method is recommended for a run. Imports nothing heavy, for forms and the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contracts import Budget
from ..pruning.zones import resolve_budget
from ..selectors.recommend import Recommendation, check_learner, recommend
from . import fields

if TYPE_CHECKING:
    from .run import Run


def is_trusted(run: Run) -> bool:
    """Whether nothing speaks against the pseudo-labels of a run."""
    return not run.results.get("clusters", {}).get("warnings")


def advice(run: Run, budget: Budget | str, *, learner: str = "probe", locked_tag: str | None = None) -> Recommendation:
    """The method that is recommended for a run at a budget, without reading its vectors."""
    check_learner(learner)
    n = run.require("scores", "a recommendation").stages["scores"]["scored"]
    labelled = (
        fields.writable(run.dataset).match_tags(locked_tag).exists(f"{run.key}.rank").count() if locked_tag else 0
    )
    free = max(n - labelled, 1)
    return recommend(
        free,
        resolve_budget(budget, free),
        clusters=run.stages["pseudo_labels"]["clusters"],
        labelled=labelled,
        learner=learner,
        trusted=is_trusted(run),
    )
