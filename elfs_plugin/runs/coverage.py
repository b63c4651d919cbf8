"""What an applied selection does not hold, which its numbers do not say: images that are gone, clusters left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import fields
from .fiftyone_types import Dataset, Query

if TYPE_CHECKING:
    from .record import RunRecord

MOST_NAMED = 5


def check(dataset: Dataset, run: RunRecord) -> tuple[int, list[str]]:
    """How many images the coreset has that exist, and sentences for the user about what it lacks."""
    applied = run.stages["selection"]
    low, high = applied["hard"], applied["hard"] + applied["coreset"]
    inside = {f"{run.key}.rank": {"$gte": low, "$lt": high}}
    present = dataset._sample_collection.count_documents(inside)
    warnings = []
    if present < applied["coreset"]:
        warnings.append(
            f"{applied['coreset'] - present:,} of the {applied['coreset']:,} images of the coreset are gone from the "
            "dataset, or have lost their rank. Update the run: it closes the gaps."
        )
    left_out = clusters_without(dataset, run, inside)
    if left_out:
        warnings.append(sentence(left_out))
    return present, warnings


def clusters_without(dataset: Dataset, run: RunRecord, inside: Query) -> dict[str, int]:
    """{name: size} of the clusters of which no image matches the MongoDB filter ``inside``, largest first."""
    path = f"{run.key}.pseudo_label.label"
    named = {path: {"$gte": ""}}  # all texts: with it the index of labels and ranks answers, without reading samples
    covered = set(dataset._sample_collection.distinct(path, {**named, **inside}))
    scored = {**named, f"{run.key}.rank": {"$gte": 0}}
    counted = dataset._sample_collection.aggregate(
        [{"$match": scored}, {"$group": {"_id": f"${path}", "n": {"$sum": 1}}}]
    )
    sizes = {group["_id"]: group["n"] for group in counted}
    missing = fields.natural(name for name in sizes if name not in covered)
    return {name: sizes[name] for name in sorted(missing, key=lambda name: -sizes[name])}


def sentence(left_out: Mapping[str, int]) -> str:
    """Says which clusters have no image in a coreset."""
    named = [f"{name} ({size:,} images)" for name, size in list(left_out.items())[:MOST_NAMED]]
    rest = len(left_out) - len(named)
    listed = ", ".join(named) + (f" and {rest:,} more" if rest else "")
    return (
        f"No image of {listed} is in the coreset. A model that is trained on it will not see such images: take a "
        "smaller β, a larger budget or a quota for each cluster."
    )
