"""The vector of a group as the mean of those of its slices."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import fiftyone as fo
import numpy as np
from bson import ObjectId
from pymongo import UpdateOne

from ...contracts import Floats
from ...errors import InvalidInput
from ..fiftyone_types import Dataset
from ..stored_vectors import StoredVectors
from . import carried
from .group_slices import id_path, image_slices

logger = logging.getLogger(__name__)

BATCH = 2_000
"""Groups whose vectors are in memory at once."""


def averaged_fields(source: Dataset, wanted: str | None) -> list[str]:
    """The vector fields of a source whose mean the groups get: the one that is ``wanted``, else every VectorField.

    Raises:
        InvalidInput: when there is none
    """
    schema = source.get_field_schema()
    if wanted is None:
        found = [name for name, kind in schema.items() if isinstance(kind, fo.VectorField)]
    else:
        found = [wanted] if carried.holds_vectors(schema.get(wanted)) else []
    if found:
        return found
    have = [name for name, kind in schema.items() if carried.holds_vectors(kind)]
    what = "has no vectors" if wanted is None else f"has no vectors in a field '{wanted}'"
    slices = ", ".join(repr(name) for name in image_slices(source))
    raise InvalidInput(
        f"The dataset '{source.name}' {what} to take the mean of (fields of vectors: {', '.join(have) or 'none'}). "
        f"Compute embeddings of all slices first: compute_embeddings on the view select_group_slices([{slices}]). Or "
        "take the vectors of one slice (vectors slice).",
        "embeddings_field",
    )


def write_means(
    source: Dataset, companion: Dataset, field: str, groups: list[ObjectId], check: Callable[[], None]
) -> None:
    """Gives each of the rows ``groups`` of the companion the mean of the vectors of its slices in ``field``, each
    divided by its length; none, where no slice has a vector, or they differ in dimension. Rows that have it already are
    not written.

    Args:
        check: called in between; may raise to stop it
    """
    kind = companion.get_field(field)
    path, place = kind.db_field or field, source.get_field(field).db_field or field
    stored = StoredVectors(kind)
    mixed = 0
    for at in range(0, len(groups), BATCH):
        check()
        part = groups[at : at + BATCH]
        found: dict[ObjectId, list[Floats]] = {}
        query = {id_path(source): {"$in": part}, place: {"$ne": None}}
        shown = {"group": f"${id_path(source)}", "vector": f"${place}"}
        # In the order of their ids: a sum of floats depends on the order.
        stages = [{"$match": query}, {"$project": shown}, {"$sort": {"_id": 1}}]
        for sample in source._sample_collection.aggregate(stages, allowDiskUse=True):
            vector = _unit(stored.read(sample["vector"]))
            if vector is not None:
                found.setdefault(sample["group"], []).append(vector)
        means = {group: mean_of(vectors) for group, vectors in found.items()}
        mixed += sum(mean is None for mean in means.values())
        _write(companion, path, stored, kind, part, means)
    if mixed:
        logger.warning("%d groups have vectors of several dimensions in '%s': they get none.", mixed, field)


def mean_of(vectors: list[Floats]) -> Floats | None:
    """The (D,) mean of vectors, None where they differ in dimension."""
    if len({len(vector) for vector in vectors}) != 1:
        return None
    return np.asarray(np.mean(vectors, axis=0, dtype=np.float64), np.float32)


def _unit(value: Any) -> Floats | None:
    """A stored vector divided by its length; None for what is no vector, or has no length."""
    try:
        vector = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    length = np.linalg.norm(vector)
    usable = vector.ndim == 1 and vector.size > 0 and np.isfinite(length) and length > 0
    return vector / length if usable else None


def _write(companion, path, stored, kind, groups, means):
    rows = companion._sample_collection
    changes = []
    for row in rows.find({"_id": {"$in": groups}}, {path: 1}):
        mean, before = means.get(row["_id"]), row.get(path)
        if mean is None and before is None:
            continue
        if mean is not None and before is not None and np.array_equal(stored.read(before), mean):
            continue
        value = kind.to_mongo(mean.tolist() if isinstance(kind, fo.ListField) and mean is not None else mean)
        change = {"$set": {path: value}, "$currentDate": {"last_modified_at": True}}
        changes.append(UpdateOne({"_id": row["_id"]}, change))
    if changes:
        rows.bulk_write(changes, ordered=False)
