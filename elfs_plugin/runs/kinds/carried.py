"""Fields of a source that the rows of its companion have too."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import fiftyone as fo
from fiftyone.core.odm import get_field_kwargs

from .. import fields, jobs
from ..fiftyone_types import Dataset

_OWN = ("id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "parent_id")


def to_carry(source: Dataset, companion: Dataset, without: Container[str] = ()) -> dict[str, Any]:
    """Name -> field, of the sample fields of the source that rows are to have: not those of which the companion has its
    own, not ``without``, and not results of runs but their vectors."""
    found = {}
    for name, kind in source.get_field_schema().items():
        of_run = fields.is_left_behind(source, name) and not isinstance(kind, fo.VectorField)
        if name in _OWN or name in without or of_run or "written_back_by" in (kind.info or {}):
            continue
        there = companion.get_field(name)
        if there is None or is_carried(companion, name, source):
            found[name] = kind
    return found


def is_carried(companion: Dataset, name: str, source: Dataset) -> bool:
    """Whether a field of the companion was taken from the source."""
    found = companion.get_field(name)
    return found is not None and (found.info or {}).get("carried_from") == str(source._doc.id)


def declare(source: Dataset, companion: Dataset, wanted: Mapping[str, Any]) -> None:
    """Declares those of the fields that the companion lacks, marked as carried and as nothing else: a run on the
    companion must not take them for its own."""
    with jobs.changing(companion):
        companion._reload(hard=True)
        for name, kind in wanted.items():
            if not companion.has_sample_field(name):
                info = {"carried_from": str(source._doc.id)}
                companion.add_sample_field(name, **{**get_field_kwargs(kind), "info": info})


def holds_vectors(kind: Any) -> bool:
    """Whether a field can hold embeddings."""
    is_list = isinstance(kind, fo.ListField) and isinstance(kind.field, fo.FloatField)
    return is_list or isinstance(kind, (fo.VectorField, fo.ArrayField))
