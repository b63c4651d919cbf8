"""What images cost that are chosen by their objects; light, for the form that asks for it."""

from __future__ import annotations

import numpy as np

from ..contracts import Array, Floats, Integers
from ..errors import InvalidInput
from ..validation import shown
from . import companions
from .fiftyone_types import Dataset

METHOD = "object_coverage"
COSTS = {"image": "each image costs 1", "object": "each image costs as much as it has objects"}
"""Costs that are known of every image; any other is a field of the images with a number above 0."""


def check_objects(dataset: Dataset) -> None:
    """Refuses a dataset whose samples are not objects.

    Raises:
        InvalidInput
    """
    rows = companions.rows_of(dataset) if dataset is not None else None
    if rows is None or rows.kind != "objects":
        raise InvalidInput(
            "Images are chosen by their objects on a dataset of objects. Make one with the operator make_rows (kind "
            "objects), run ELFS on it, and choose there."
        )


def check_cost(dataset: Dataset, cost: str) -> None:
    """Refuses a cost that is neither one of :data:`COSTS` nor a field of numbers of the images.

    Raises:
        InvalidInput
    """
    import fiftyone as fo

    if cost in COSTS:
        return
    source = companions.source_of(dataset)
    field = source.get_field(cost) if source is not None and isinstance(cost, str) else None
    if not isinstance(field, (fo.FloatField, fo.IntField)):
        raise InvalidInput(
            f"The cost {shown(cost)} is neither 'image' nor 'object', nor a field of numbers of the images.", "cost"
        )


def costs_of(dataset: Dataset, images: Array, of_image: Integers, cost: str) -> Floats:
    """(P,) costs of the images with these ids; ``of_image`` (N,) is the image of each object.

    Raises:
        InvalidInput: see :func:`check_cost`; for images without a number above 0
    """
    check_cost(dataset, cost)
    if cost == "image":
        return np.ones(len(images))
    if cost == "object":
        return np.bincount(of_image, minlength=len(images)).astype(np.float64)
    source = companions.source_of(dataset)
    known = {str(doc["_id"]): doc.get(cost) for doc in source._sample_collection.find({}, {cost: 1})}
    found = np.array([known.get(image) or np.nan for image in images.tolist()], dtype=np.float64)
    bad = ~(np.isfinite(found) & (found > 0))
    if bad.any():
        raise InvalidInput(
            f"{bad.sum():,} of {len(images):,} images have no number above 0 in '{cost}'. Give them one, or choose "
            "another cost.",
            "cost",
        )
    return found
