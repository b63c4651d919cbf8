"""What a run has written back to the source of its rows: noted in its record, carried out, removed again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from . import companions, kinds, own
from .fiftyone_types import Dataset
from .kinds.base import RowKind, Written

if TYPE_CHECKING:
    from .record import RunRecord


def kind_of(dataset: Dataset) -> RowKind:
    """The kind of a companion's rows.

    Raises:
        InvalidInput: for a dataset that is no companion
    """
    rows = companions.rows_of(dataset)
    if rows is None:
        raise InvalidInput(f"'{dataset.name}' is no dataset of rows that was made by make_rows: there is no source.")
    return kinds.kind(rows.kind)


def source_to_write(dataset: Dataset) -> Dataset:
    """The source of a companion, as an object of the caller's own.

    Raises:
        InvalidInput: for a dataset that is no companion, or whose source is gone
    """
    kind_of(dataset)
    source = companions.source_of(dataset)
    if source is None:
        raise InvalidInput(f"The dataset that '{dataset.name}' was made of has been deleted.")
    return own.own_dataset(source)


def saved_tag(run: RunRecord, tag: str | None) -> str:
    """The tag of a coreset that a run (its record) has saved; None: the one that was saved last.

    Raises:
        InvalidInput: when there is none
    """
    if not run.saved:
        raise InvalidInput(
            f"The run '{run.key}' has saved no coreset yet. Select one under a tag first (select_coreset).", "tag"
        )
    tag = tag or max(run.saved, key=lambda name: run.saved[name].get("when", 0))
    if tag not in run.saved:
        raise InvalidInput(
            f"The run '{run.key}' has saved no coreset under the tag '{tag}' (saved: {', '.join(run.saved)}).", "tag"
        )
    return tag


def note(run: RunRecord, written: Written) -> None:
    """Keeps in a record what is to be written, or has been."""
    run.written_back = {
        "tag": written.tag,
        "tags": list(written.tags),
        "options": dict(written.options),
        "views": [{"name": name, "id": view_id} for name, view_id in written.views.items()],
    }


def restored(run: RunRecord) -> Written | None:
    """What :func:`note` kept, None for a run that has written nothing back."""
    return _restored(run.key, run.written_back)


def _restored(key, found: Any):
    if not isinstance(found, dict) or not found.get("tag"):
        return None
    views = {entry["name"]: entry.get("id") or "" for entry in found.get("views") or []}
    return Written(key, found["tag"], list(found.get("tags") or []), dict(found.get("options") or {}), views)


def take_in(run: RunRecord, coming: RunRecord) -> None:
    """Adds to a record what an interrupted job had decided to write back: some of it may be there."""
    before, written = restored(run), restored(coming)
    if written is not None:
        views = {} if before is None else before.views
        # Those with an id first: what is not noted yet is told by its text.
        written.views = {**written.views, **{name: known for name, known in views.items() if known}}
        note(run, written)


def carry_out(dataset: Dataset, run: RunRecord) -> None:
    """Writes what the record says; a source that has gone meanwhile has nothing to be written to."""
    written, shared = restored(run), companions.source_of(dataset)
    if written is None or shared is None:
        return
    source = own.own_dataset(shared)
    kind_of(dataset).write(source, dataset, written)
    note(run, written)
    own.refresh(shared)


def remove(dataset: Dataset, run: RunRecord, others: Iterable[RunRecord]) -> None:
    """Removes from the source what a run has written there; ``others`` are the other runs of the companion."""
    written, shared = restored(run), companions.source_of(dataset)
    if written is None or shared is None:
        return
    source = own.own_dataset(shared)
    kept = [found for found in map(restored, others) if found is not None]
    kind_of(dataset).remove(source, dataset, written, kept)
    own.refresh(shared)
