"""The job that chooses the next batch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from bson import json_util

from ... import rounds
from ...contracts import Budget, Sink
from ...errors import InvalidInput
from ...pipeline import CHOOSING
from ...rounds.batch import Batch
from ...rounds.class_budgets import as_mapping
from ...validation import validate_seed
from .. import fields, saving
from ..arrays import RunPool, read_pool
from ..choose import READING, WRITING, as_pool
from ..fiftyone_types import Dataset
from ..run_job import RunJob
from . import free_images, interrupted, samples, setting_up, state
from .samples import RoundSamples
from .setting_up import COVERAGE_SHARE
from .state import ANNOTATED, COVERAGE, GOLDEN, SELECTED, SENT, TARGETED, Labelling, Round

if TYPE_CHECKING:
    from ...selectors import Pool


def next_batch(
    dataset: Dataset,
    key: str = "elfs",
    *,
    budget: Budget | str,
    labels_field: str | None = None,
    classes: Iterable[str] | str | None = None,
    golden: int | None = None,
    names: Mapping[str, str] | None = None,
    share: float = COVERAGE_SHARE,
    target: str = "uncertainty",
    class_budgets: Mapping[str, int] | str | None = None,
    failures_tag: str | None = None,
    seed: int = 0,
    device: str = "auto",
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Chooses the images of the next round of a run and tags them; the first time it sets the rounds up.

    Args:
        budget: images of the batch, a count or a fraction of those that can still be chosen; the golden set comes on
            top of the first
        labels_field: where labels come to, and where those that there are already are read: a field of classifications,
            or the name of a new one
        classes: what annotators choose from; default: the classes in the field. Later those that are to be added
        golden: size of the golden set, which is drawn once, at random, is labelled with the first batch, is never
            chosen or learnt from, and measures how far the rounds have come
        names: others than the usual :class:`~.names.RoundNames`
        share: of the batch that covers the images; the rest goes to the ``target``
        target: one of :data:`~...rounds.batch.TARGETS`
        class_budgets: {class: images of it that are wanted}, as far as a model can tell; or a text: ``cat=20, dog=10``
        failures_tag: images that the user's own model got wrong, for ``target="failures"``

    Raises:
        InvalidInput, NameTaken
    """
    seed = validate_seed(seed)
    rounds.check_mix(share, target)
    asked = {"share": share, "target": target, "class_budgets": as_mapping(class_budgets), "seed": seed}
    with _Choosing(dataset, key, (labels_field, classes, golden, names), sinks) as job:
        job.reporter.stage(READING)
        if job.made is not None:
            return job.finished(job.made)
        found = read_pool(job.run)
        held = samples.read(job.dataset, key, job.labelling.labels_field)
        drawn = job.draw_golden(found, held, seed)
        pool = _pool(as_pool(job.run, found), held, drawn)
        count = _count(pool, budget)
        batch = rounds.next_batch(
            pool,
            count,
            samples.labelled(found.ids, held.known),
            **asked,
            failures=_failures(job.dataset, failures_tag, found),
            device=device,
            progress=job.reporter.stage(CHOOSING),
        )
        for warning in batch.warnings:
            job.reporter.warn(warning)
        one = job.note(batch, found.ids[batch.indices].tolist(), drawn, held, {**asked, "budget": count})
        job.publish(job.reporter.stage(WRITING))
        return job.summary(one, len(drawn), len(held.known), batch.warnings)


class _Choosing(RunJob):
    """The job of :func:`next_batch`. What it is asked is checked before it waits for the lock, and under it."""

    labelling: Labelling

    def __init__(self, dataset, key, asked, sinks):
        self._asked = asked
        weights = {READING: 2, CHOOSING: 8, WRITING: 2}
        super().__init__(dataset, key, "Choosing the next batch", weights, sinks, kind=interrupted.KIND, needs="scores")
        self._began = interrupted.began(self.dataset, key)
        self.begin()

    def begin(self):
        self.labelling = setting_up.check(self.dataset, self.record, *self._asked)
        self._number = len(state.rounds_of(self.record))
        self.made = interrupted.chosen_since(self.record, self._began)
        setting_up.check_names(self.dataset, self.record, self.labelling.called, self._number)

    def finished(self, one: Round) -> dict[str, Any]:
        """What is told of a round that an interrupted job had chosen."""
        self.reporter.warn(interrupted.FINISHED)
        held = samples.read(self.dataset, self.key, self.labelling.labels_field)
        golden = sum(held.source.get(i) == GOLDEN for i in held.of_round(one.number))
        return self.summary(one, golden, len(held.known), [interrupted.FINISHED])

    def summary(self, one: Round, golden: int, labelled: int, warnings: Iterable[str]) -> dict[str, Any]:
        return {
            "key": self.key,
            "round": one.number,
            "chosen": one.chosen,
            "sources": one.sources,
            "golden": golden,
            "method": one.method,
            "labelled": labelled,
            "warnings": list(warnings),
            "tag": self.labelling.called.for_round(one.number)["batch"],
        }

    def draw_golden(self, found: RunPool, held: RoundSamples, seed: int) -> list[str]:
        """The ids of the golden set that come with this round: it is drawn once, with the first; later ones take up
        what was not labelled in a round that was ended."""
        if self._number:
            return [i for i in found.ids.astype(str).tolist() if i in held.golden and i not in held.status]
        if not self.labelling.golden:
            return []
        rows = rounds.draw_golden(found.ids, self.labelling.golden, seed)
        return found.ids[rows].astype(str).tolist()

    def note(
        self, batch: Batch, ids: Sequence[str], drawn: Sequence[str], held: RoundSamples, asked: Mapping[str, Any]
    ) -> Round:
        """Lets the draft say which samples are in the round, and the record how they were chosen."""
        number, now, called = self._number, time.time(), self.labelling.called
        numbered = called.for_round(number)
        sources = dict(zip(ids, batch.sources))
        counts = {source: batch.sources.count(source) for source in dict.fromkeys(batch.sources)}
        one = Round(
            number,
            SELECTED,
            batch.method,
            len(ids),
            counts,
            dict(asked),
            when={SELECTED: now},
        )
        self._put(number, ids, drawn, sources, held)
        details = {"method": batch.method, "budget": len(ids), "seed": asked["seed"], "warnings": list(batch.warnings)}
        saving.own(self.record, numbered["batch"], numbered["batch_view"], {**details, "notes": [], "round": number})
        self._tag(numbered["batch"], [*ids, *(i for i in drawn)])
        self._views(numbered, len(ids))
        self.record.labelling = asdict(self.labelling)
        state.keep(self.record, one)
        return one

    def _put(self, number, ids, drawn, sources, held):
        key, members = self.key, [*ids, *drawn]
        status = dict.fromkeys(members, SELECTED) | {i: ANNOTATED for i in drawn if i in held.labels}
        self.draft.add(
            fields.value_column(f"{key}.status", status),
            fields.value_column(f"{key}.round", dict.fromkeys(members, number)),
            fields.value_column(f"{key}.turn", {i: turn for turn, i in enumerate(members)}),
            fields.value_column(f"{key}.source", {**sources, **dict.fromkeys(drawn, GOLDEN)}),
        )
        self.draft.step("labels", field=self.labelling.labels_field)
        self.draft.step("indexes")
        called = self.labelling.called
        waiting = [*held.with_status(held.status, SELECTED, SENT), *(i for i in members if status[i] == SELECTED)]
        self._tag(called.waiting, waiting)
        if drawn:
            self._tag(called.golden, sorted(held.golden.union(drawn)))
        done = [i for i in drawn if status[i] == ANNOTATED]
        if done:
            self._tag(called.for_round(number)["annotated"], done)
        everyone = {**held.source, **sources}
        for source in (COVERAGE, TARGETED):
            chosen = [i for i, own in everyone.items() if own == source]
            if chosen:
                self._tag(called.for_source(source), chosen)

    def _tag(self, tag, ids):
        self.draft.tag(tag, ids)
        if tag not in self.record.tags:
            self.record.tags.append(tag)

    def _views(self, numbered, count):
        called, field = self.labelling.called, f"{self.labelling.labels_field}.label"
        text = f"Round {self._number} of run {self.key}: {count:,} images in the order of labelling"
        self._view(numbered["batch_view"], text, tag=numbered["batch"], sort=f"{self.key}.turn")
        path = f"{self.key}.source"
        wanted = {f"{self.key}.status": None, field: None, f"{self.key}.rank": {"$ne": None}, path: {"$ne": GOLDEN}}
        free = json_util.dumps(wanted)
        self._view(called.pool_view, f"Images of run {self.key} that are neither labelled nor chosen", match=free)
        if self.labelling.golden:
            text = f"Golden set of run {self.key}: measures, and is never chosen"
            self._view(called.golden, text, tag=called.golden)

    def _view(self, name, text, **details):
        self.draft.step("view", name=name, text=text, **details)
        if name not in self.record.saved_views:
            self.record.saved_views.append(name)


def _pool(pool: Pool, held: RoundSamples, drawn: Sequence[str]) -> Pool:
    ids = pool.ids.astype(str).tolist()
    refused = held.refused | set(drawn)
    return replace(
        pool,
        locked=np.array([i in held.taken and i not in refused for i in ids], dtype=bool),
        excluded=np.array([i in refused for i in ids], dtype=bool),
    )


def _count(pool, budget):
    free = int(pool.free.sum())
    return free_images.resolve(budget, free)


def _failures(dataset, tag, found):
    """Rows of the images with a tag, or None where none is named."""
    if not tag:
        return None
    rows = found.places(fields.writable(dataset).match_tags(tag).values("id"))
    if not len(rows):
        raise InvalidInput(f"No image of the run has the tag '{tag}'.", "failures_tag")
    return rows
