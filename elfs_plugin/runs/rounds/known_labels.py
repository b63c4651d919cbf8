"""Which labels there are for a batch to learn from."""

from __future__ import annotations

from ..fiftyone_types import Dataset, Query
from .queue import NO_LABEL
from .state import ANNOTATED, GOLDEN


def by_class(dataset: Dataset, key: str, labels_field: str) -> dict[str, int]:
    """{class: images of the run ``key``} of what :attr:`~.samples.RoundSamples.known` has of them: labels given before
    the rounds, or accepted in one."""
    label = f"{labels_field}.label"
    if not dataset.has_sample_field(label):
        return {}
    known: Query = {
        label: {"$nin": list(NO_LABEL)},
        f"{key}.rank": {"$ne": None},
        f"{key}.status": {"$in": [None, ANNOTATED]},
        f"{key}.source": {"$ne": GOLDEN},
    }
    groups = [{"$match": known}, {"$group": {"_id": f"${label}", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}]
    return {each["_id"]: each["n"] for each in dataset._sample_collection.aggregate(groups)}
