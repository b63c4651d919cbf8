"""What of a round is worth a look: its batch, changed pre-labels, labels that their cluster does not expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson import ObjectId

from .. import fields
from ..fiftyone_types import Query, View
from .queue import NO_LABEL
from .state import SKIPPED, labelling_of, round_of

if TYPE_CHECKING:
    from ..run import Run

PARTS = ("batch", "changed", "unexpected", "disagreed", "skipped")


def round_view(run: Run, part: str = "batch", number: int | None = None) -> View:
    """A part of a round (None: the last one):

    * ``batch``: all its samples, in the order of choice
    * ``changed``: those whose label is another one than the pre-label, the surest pre-label first
    * ``unexpected``: those whose label is another one than most labels in their cluster, the surest cluster first
    * ``disagreed``: those of the control set that annotators have labelled differently
    * ``skipped``

    Raises:
        InvalidInput: when there is no such round
        ValueError: for another part
    """
    one, labelling = round_of(run.record, number), labelling_of(run.record)
    label = f"{labelling.labels_field}.label"
    wanted: Query = {f"{run.key}.round": one.number}
    order, reverse = f"{run.key}.turn", False
    if part == "changed":
        before = f"{run.key}.prelabel"
        labelled = {label: {"$nin": list(NO_LABEL)}, f"{before}.label": {"$nin": list(NO_LABEL)}}
        wanted |= {**labelled, "$expr": {"$ne": [f"${label}", f"${before}.label"]}}
        order, reverse = f"{before}.confidence", True
    elif part == "unexpected":
        wanted |= _unexpected(run, label)
        order, reverse = f"{run.key}.pseudo_label.confidence", True
    elif part == "disagreed":
        wanted |= {"_id": {"$in": [ObjectId(i) for i in one.returned.get("disagreed", ())]}}
    elif part == "skipped":
        wanted |= {f"{run.key}.status": SKIPPED, label: {"$in": list(NO_LABEL)}}
    elif part != "batch":
        raise ValueError(f"unknown part {part!r}")
    return fields.writable(run.dataset).match(wanted).sort_by(order, reverse=reverse, create_index=False)


def _unexpected(run, label):
    """A filter: in each cluster the other labels than its most frequent one (of equal ones, the first by name)."""
    cluster = f"{run.key}.pseudo_label.label"
    grouped = run.dataset._sample_collection.aggregate(
        [
            {"$match": {cluster: {"$nin": list(NO_LABEL)}, label: {"$nin": list(NO_LABEL)}}},
            {"$group": {"_id": {"cluster": f"${cluster}", "label": f"${label}"}, "n": {"$sum": 1}}},
            {"$sort": {"n": -1, "_id.label": 1}},
        ]
    )
    usual: dict[str, str] = {}
    for group in grouped:
        usual.setdefault(group["_id"]["cluster"], group["_id"]["label"])
    others = [{cluster: name, label: {"$nin": [*NO_LABEL, most]}} for name, most in usual.items()]
    return {"$or": others or [{"_id": None}]}
