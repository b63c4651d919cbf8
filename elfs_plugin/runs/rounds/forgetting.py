"""The job that ends the rounds of a run: their marks go, the labels stay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...contracts import Sink
from ...errors import InvalidInput
from .. import fields, names
from ..choose import WRITING
from ..fiftyone_types import Dataset
from ..run_job import RunJob
from . import parts, state


def forget_rounds(dataset: Dataset, key: str = "elfs", *, sinks: Iterable[Sink] = ()) -> dict[str, Any]:
    """Removes what rounds have written on a run: tags, saved views, status and suggestions. Labels stay, and so does
    what was sent to a labelling tool. Afterwards rounds can begin with another label field, other classes or names.

    Raises:
        InvalidInput: for a run without rounds
    """
    with _Forgetting(dataset, key, sinks) as job:
        return job.forget()


class _Forgetting(RunJob):
    def __init__(self, dataset, key, sinks):
        super().__init__(dataset, key, "Ending the rounds", {WRITING: 1}, sinks, kind="forget_rounds", needs="scores")
        self.begin()

    def begin(self):
        if state.labelling_of(self.record) is None:
            raise InvalidInput(f"The run '{self.key}' has no rounds.", "key")

    def forget(self) -> dict[str, Any]:
        record, found = self.record, state.rounds_of(self.record)
        called = state.labelling_of(record).called
        tags = [called.waiting, called.golden, *(called.for_source(s) for s in (state.COVERAGE, state.TARGETED))]
        views = [called.golden, called.pool_view]
        for one in found:
            named = called.for_round(one.number)
            tags += [named["batch"], named["annotated"]]
            views.append(named["batch_view"])
        for tag in tags:
            if tag in record.tags:
                self.draft.tag(tag, [])
                record.tags.remove(tag)
                record.saved.pop(tag, None)
        own, ids = record.own_views(self.dataset), names.saved_view_ids(self.dataset)
        self.draft.step("drop_views", ids={name: ids[name] for name in views if name in own})
        record.saved_views = [name for name in record.saved_views if name not in views]
        record.view_ids = [entry for entry in record.view_ids if entry["name"] not in views]
        self.draft.clear(f"{self.key}.{name}" for name in fields.PATHS["rounds"])
        self.draft.results.update({parts.entry(one.number): None for one in found})
        record.labelling, record.rounds = None, []
        self.publish(self.reporter.stage(WRITING))
        return {"key": self.key, "rounds": len(found)}
