"""Bringing the results of a run on rows to where the rows come from.

What is to be written is committed together with the run's record, see :mod:`.journal`, and carried out as its last
step: what is killed in between is finished by whoever comes next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..contracts import Sink
from . import written_back
from .fiftyone_types import Dataset
from .kinds.base import Written
from .run_job import RunJob

if TYPE_CHECKING:
    from .journal import Draft
    from .record import RunRecord

WRITING = "Writing to the source"


def write_rows_back(
    dataset: Dataset,
    key: str = "elfs",
    *,
    tag: str | None = None,
    options: Mapping[str, Any] | None = None,
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Writes the results of a run on a companion to the samples of its source; written again, they are replaced.

    Args:
        dataset: the companion
        tag: a coreset of the run: its rows are the chosen ones. Default: the one that was saved last
        options: of the kind of rows, see its ``options``; default: those of the last time

    Returns:
        ``key``, ``dataset`` (the source's name), ``tag``, ``chosen`` (how many rows), ``views`` (their names)

    Raises:
        InvalidInput: for a dataset that is no companion, or whose source is gone; for a run that has saved no coreset
        NameTaken: when names on the source are somebody else's
    """
    with RunJob(dataset, key, "Writing results back", {WRITING: 1}, sinks, kind="write_back", needs="scores") as job:
        source = written_back.source_to_write(job.dataset)
        add(job.draft, job.record, job.dataset, tag, options)
        job.publish(job.reporter.stage(WRITING))
        written = job.record.written_back
        return {
            "key": key,
            "dataset": source.name,
            "tag": written["tag"],
            "chosen": len(job.dataset.match_tags(written["tag"])),
            "views": [entry["name"] for entry in written["views"]],
        }


def add(
    draft: Draft, run: RunRecord, dataset: Dataset, tag: str | None = None, options: Mapping[str, Any] | None = None
) -> None:
    """Lets a draft write a run's results back, after what it writes on the companion itself.

    Raises:
        InvalidInput, NameTaken: see :func:`write_rows_back`
    """
    source = written_back.source_to_write(dataset)
    kind = written_back.kind_of(dataset)
    tag = written_back.saved_tag(run, tag)
    before = written_back.restored(run)
    if options is None and before is not None:
        options = before.options
    written = Written(run.key, tag, list(run.tags), kind.checked_options(options or {}))
    known = {} if before is None else before.views
    written.views = {**known, **{name: known.get(name, "") for name in kind.view_names(written)}}
    kind.check_free(source, dataset, written)
    written_back.note(run, written)
    draft.step("write_rows")
