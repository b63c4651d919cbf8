"""Which samples a pre-cut must not leave out: whoever labelled them wants them in the run."""

from __future__ import annotations

from .fiftyone_types import Dataset, Query
from .record import RunRecord


def ids_to_keep(dataset: Dataset, run: RunRecord, tag: str | None) -> set[str]:
    """Ids of the samples that have the tag, and where labelling has begun on this run, that have a label in its field
    or are in a round."""
    wanted: list[Query] = [{"tags": tag}] if tag else []
    if run.labelling is not None:
        labels = run.labelling["labels_field"]
        wanted += [{f"{labels}.label": {"$nin": [None, ""]}}, {f"{run.key}.status": {"$ne": None}}]
    if not wanted:
        return set()
    return {str(sample["_id"]) for sample in dataset._sample_collection.find({"$or": wanted}, {"_id": 1})}
