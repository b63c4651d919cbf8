"""What rows have and images have not: a parent, and of frames a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..contracts import Array, Floats
from . import companions
from .fiftyone_types import Dataset


def parents_and_times(dataset: Dataset, ids: Sequence[str]) -> tuple[Array | None, Floats | None]:
    """((N,) ids of parents as texts, (N,) seconds) of the samples ``ids``; None for what they have not."""
    if companions.rows_of(dataset) is None:
        return None, None
    timed = dataset.has_sample_field("time")
    wanted = {"_parent_id": 1, **({"time": 1} if timed else {})}
    found = {str(row["_id"]): row for row in dataset._sample_collection.find({}, wanted)}
    rows = [found.get(i, {}) for i in ids]
    parents = np.array([str(row.get("_parent_id", "")) for row in rows])
    if not timed or any(row.get("time") is None for row in rows):
        return parents, None
    return parents, np.array([row["time"] for row in rows], dtype=np.float64)
