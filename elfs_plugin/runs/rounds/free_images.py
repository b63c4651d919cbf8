"""How many images of a run can still be chosen, and what a budget is of them."""

from __future__ import annotations

from ...contracts import Budget
from ...errors import InvalidInput
from ...pruning.zones import resolve_budget
from ..fiftyone_types import Dataset, Query
from .queue import NO_LABEL
from .state import GOLDEN


def count(dataset: Dataset, key: str, labels_field: str) -> int:
    """Images of the run ``key`` that are neither labelled nor in a batch; a golden set that is still to be drawn is
    among them."""
    free: Query = {f"{key}.status": None, f"{key}.source": {"$ne": GOLDEN}, f"{key}.rank": {"$ne": None}}
    if dataset.has_sample_field(f"{labels_field}.label"):
        free[f"{labels_field}.label"] = {"$in": list(NO_LABEL)}
    return dataset._sample_collection.count_documents(free)


def resolve(budget: Budget | str, free: int) -> int:
    """The images of a batch, where so many are free.

    Raises:
        InvalidInput
    """
    if not free:
        raise InvalidInput("Every image of the run is labelled or in a batch already.", "budget")
    return resolve_budget(budget, free)
