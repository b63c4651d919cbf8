"""FiftyOne's own annotation: the tab *Annotate* of an opened image. The queue that it lacks is :mod:`..queue`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import fiftyone as fo

from ....contracts import Progress
from ....errors import InvalidInput
from ....validation import shown
from ... import fields, jobs, reading, record
from ...fiftyone_types import Dataset
from ..state import SentPart, labelling_of
from .base import Backend, Returned, Sending, Standing

RADIO, DROPDOWN = "radio", "dropdown"
RADIOS = 5
"""Classes that are shown side by side; of more FiftyOne makes a list."""
MOST = 1000
"""Classes that a label schema of FiftyOne can have."""
READ_ONLY = {"type": "classification", "read_only": True}


class InApp(Backend):
    """Labels are written by the App itself, into the label field. Sending makes the field one that the App offers, with
    the classes to choose from. Pre-labels stay in ``<key>.prelabel``, which the App shows beside and does not let
    change, if it is there when the part is sent. The open-source App does not note who labelled an image."""

    name = "in_app"
    title = "FiftyOne App"
    listed = 0

    def check(self, dataset: Dataset, options: Mapping[str, Any]) -> None:
        if dataset.media_type not in (None, fo.core.media.IMAGE, fo.core.media.GROUP):
            raise InvalidInput(f"The App cannot label images of a {dataset.media_type} dataset.", "to")

    def send(self, sending: Sending, progress: Progress) -> dict[str, Any]:
        dataset, field = sending.dataset, sending.labels_field
        self.check(dataset, sending.options)
        with jobs.changing(dataset):
            dataset._reload(hard=True)
            _check_field(dataset, field)
            schema = label_schema(dataset.label_schemas.get(field), sending.classes)
            dataset.update_label_schema(field, schema)
            dataset.activate_label_schemas(field, prepend=True)
            for path in _prelabel_fields(dataset, field) if sending.prelabels else ():
                shown = {"attributes": [], "component": "text", **dataset.label_schemas.get(path, {}), **READ_ONLY}
                dataset.update_label_schema(path, shown)
                dataset.activate_label_schemas(path)
        progress(1.0)
        return {"field": field}

    def take(self, dataset: Dataset, part: SentPart, ids: Sequence[str], options: Mapping[str, Any]) -> Returned:
        return Returned(labels=_labels(dataset, part, ids))

    def standing(
        self, dataset: Dataset, part: SentPart, ids: Sequence[str], options: Mapping[str, Any]
    ) -> list[Standing]:
        return [Standing(part.annotator or self.title, len(_labels(dataset, part, ids)), len(ids))]


def label_schema(known: Mapping[str, Any] | None, classes: Sequence[str]) -> dict[str, Any]:
    """The label schema of a Classification that offers ``classes``. Of one that is there already (``known``) everything
    stays, its other classes too, after which the new ones come.

    Raises:
        InvalidInput: when it is read-only, or there are too many classes
    """
    if known and known.get("read_only"):
        raise InvalidInput(
            "The label field is read-only for annotation in the App. Make it editable in its label schema (tab "
            "Annotate, Schema), or choose another field.",
            "labels_field",
        )
    offered = list(dict.fromkeys([*((known or {}).get("classes") or ()), *classes]))
    if len(offered) > MOST:
        raise InvalidInput(f"The App can offer at most {MOST:,} classes, and there are {len(offered):,}.", "classes")
    usual = RADIO if len(offered) <= RADIOS else DROPDOWN
    made = {"attributes": [], **(known or {}), "type": "classification", "classes": offered}
    # Free text takes no classes; a few radio buttons that have become many are a list.
    if made.get("component") != DROPDOWN:
        made["component"] = usual
    return made


def _check_field(dataset, field):
    found = dataset.get_field(field)
    if not isinstance(found, fo.EmbeddedDocumentField) or found.document_type is not fo.Classification:
        raise InvalidInput(
            f"The dataset has no field {shown(field)} of classifications. Choose another field for the labels.",
            "labels_field",
        )
    fields.check_not_read_only(dataset, field)


def _prelabel_fields(dataset, field):
    """The fields with the pre-labels of the runs whose labels go into ``field``."""
    found = []
    for key, run in record.records(dataset).items():
        labelling = labelling_of(run)
        if labelling and labelling.labels_field == field and dataset.get_field(f"{key}.prelabel") is not None:
            found.append(f"{key}.prelabel")
    return found


def _labels(dataset, part, ids):
    """{id: class} of the samples that have one now; the App also keeps labels whose class has not been chosen yet."""
    field = part.receipt.get("field")
    if not field:
        raise InvalidInput(f"The part '{part.key}' has not been sent. Use send_batch first.", "round")
    if not ids or dataset.get_field(field) is None:
        return {}
    return {i: label for i, label in reading.by_id(dataset, ids, f"{field}.label").items() if label}
