"""The job that takes labels back, and says what they tell."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ... import rounds
from ...contracts import Sink
from ...errors import ElfsError, InvalidInput
from ...progress import part as share_of
from .. import fields, record
from ..arrays import read_pool
from ..choose import READING, WRITING
from ..fiftyone_types import Dataset
from ..run_job import RunJob
from . import merging, parts, samples, state
from .backends.registry import backend
from .merging import Merged
from .samples import RoundSamples
from .state import ACCEPTED, ANNOTATED, GOLDEN, RETURNED, SELECTED, SENT, SKIPPED, Labelling, Round
from .tool_options import complete

TAKING = "Taking labels back"
MEASURING = "Measuring"


def take_back(
    dataset: Dataset,
    key: str = "elfs",
    *,
    round: int | None = None,
    options: Mapping[str, Any] | None = None,
    close: bool = False,
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Takes the labels of a round back that annotators have finished; the rest stays sent and can be taken later.

    A suggestion that nobody has looked at is no label. A label that was taken before, or that somebody has changed in
    the dataset since, stays as it is there. An image of the control set counts by the majority of its labels, once all
    annotators have answered.

    Args:
        round: its number; default: the last one that was sent
        options: of the tool it was sent to: those that are secret, or have changed since
        close: end the round: what is not labelled goes back to the pool, and so does a part that is gone from the tool

    Returns:
        dict: ``labelled`` and ``skipped`` now and ``before``, ``waiting``; ``unknown`` {class: images}, ``doubled``,
        ``strangers``, ``deleted``, ``kept`` (labels that were in the dataset already); ``control``, ``prelabels`` and
        ``pseudo_labels``: how right they were; ``measured``: the golden set's accuracy; ``warnings``

    Raises:
        InvalidInput: for a round that was not sent, or a tool that cannot be reached
    """
    with _Returning(dataset, key, round, dict(options or {}), sinks) as job:
        merged = job.take(job.reporter.stage(TAKING), close)
        job.reporter.stage(READING)  # after what may take minutes, in which somebody labels images in the App
        held = job.held()
        told = job.accept(merged, held, close)
        job.reporter.stage(MEASURING)
        told.update(job.tell(merged, held))
        job.publish(job.reporter.stage(WRITING))
        return told


class _Returning(RunJob):
    round: Round
    labelling: Labelling

    def __init__(self, dataset, key, number, options, sinks):
        self._number, self._given = number, options
        weights = {TAKING: 6, READING: 1, MEASURING: 3, WRITING: 1}
        super().__init__(dataset, key, "Taking labels back", weights, sinks, kind="take_back", needs="scores")
        self.begin()
        self._tool.check(self.dataset, self._options)

    def begin(self):
        self.round = state.round_of(self.record, self._number if self._number is not None else self._last_sent())
        self.labelling = state.labelling_of(self.record)
        record.check_labels_field(self.dataset, self.key, self.labelling.labels_field)
        self.round.check_sent()
        self._tool = backend(self.round.sent["to"])
        self._options = complete(self._tool, self._given, self.round.sent.get("options"))

    def _last_sent(self):
        sent = [one.number for one in state.rounds_of(self.record) if one.sent]
        return sent[-1] if sent else None

    def held(self) -> RoundSamples:
        return samples.read(self.dataset, self.key, self.labelling.labels_field)

    def take(self, progress, close: bool) -> Merged:
        """Asks the tool for all parts; of a round that is to ``close``, those that it still has."""
        self._lost: list[str] = []
        members, found = parts.members(self.run, self.round), []
        sent = [part for part in self.round.parts if part.state != "planned" and part.receipt]
        for at, part in enumerate(sent):
            share_of(progress, at / len(sent), (at + 1) / len(sent))(0.0, part.key)
            ids = members[part.key]
            try:
                back = self._tool.take(self.dataset, part, ids, self._options)
            except ElfsError as error:  # a project that was deleted, say: nothing else would ever end the round
                if not close:
                    raise
                self._lost.append(f"The part {part.key} was given up: {error}")
                continue
            found.append((part, merging.within(back, ids)))
        asked = Counter(i for ids in members.values() for i in ids)
        control = {i: asked[i] for i in self.round.sent.get("control", ())}
        return merging.merge(found, self.labelling.classes, control, close)

    def accept(self, merged: Merged, held: RoundSamples, close: bool) -> dict[str, Any]:
        """Lets the draft write what came back. Returns the counts."""
        members = held.of_round(self.round.number)
        everyone = {i for ids in parts.members(self.run, self.round).values() for i in ids}
        there = set(fields.writable(self.dataset).values("id"))
        open_ids = set(held.with_status(members, SELECTED, SENT, SKIPPED))
        back = {i: label for i, label in merged.labels.items() if i in open_ids and i in there}
        written = {i: label for i, label in back.items() if i not in held.labels}
        self._late = len((merged.labels.keys() & there) - set(members))
        kept = [i for i, label in back.items() if held.labels.get(i, label) != label]
        new = self._new = {i: held.labels.get(i, label) for i, label in back.items()}
        skipped = {i for i in merged.skipped if i in open_ids and i not in new}
        status: dict[str, str | None] = {**dict.fromkeys(skipped, SKIPPED), **dict.fromkeys(new, ANNOTATED)}
        waiting = [i for i in held.with_status(members, SELECTED, SENT) if i not in status]
        if close:
            status.update(dict.fromkeys(waiting))
        self._write(written, status, members, held, new, waiting if close else ())
        before = held.with_status(members, ANNOTATED)
        one, now = self.round, time.time()
        one.state = ACCEPTED if close or not waiting else RETURNED
        one.when[one.state] = now
        for part in one.parts:
            part.state = "returned" if one.state == ACCEPTED and part.state != "planned" else part.state
        counts = {
            "labelled": len(new),
            "before": len(before),
            "skipped": len(skipped) + len([i for i in held.with_status(members, SKIPPED) if i not in status]),
            "waiting": 0 if close else len(waiting),
            "given_up": len(waiting) if close else 0,
            "unknown": merged.unknown,
            "doubled": len(merged.doubled),
            "strangers": merged.strangers,
            "deleted": len(everyone - there),
            "kept": len(kept),
            "control": merged.control,
            "disagreed": merged.disagreed,
        }
        one.returned = {**counts, "unknown": [{"class": name, "images": n} for name, n in merged.unknown.items()]}
        return {"key": self.key, "round": one.number, "state": one.state, **counts}

    def _write(self, written, status, members, held, new, given_up):
        key, called = self.key, self.labelling.called
        self.draft.step("labels", field=self.labelling.labels_field)
        if written:
            self.draft.add(fields.class_column(self.labelling.labels_field, written, field_of_user=True))
        if status:
            self.draft.add(fields.value_column(f"{key}.status", status))
        if given_up:
            free = [i for i in given_up if i not in held.golden]  # those are measured by, and never chosen
            for name, ids in (("round", given_up), ("turn", given_up), ("source", free)):
                self.draft.add(fields.value_column(f"{key}.{name}", dict.fromkeys(ids)))
        number = self.round.number
        annotated = [i for i in members if status.get(i, held.status.get(i)) == ANNOTATED]
        waiting = [i for i, own in {**held.status, **status}.items() if own in (SELECTED, SENT)]
        self._tag(called.waiting, waiting)
        if annotated:
            self._tag(called.for_round(number)["annotated"], annotated)
        if given_up:
            gone, batch = set(given_up), called.for_round(number)["batch"]
            rest = [i for i in members if i not in gone]
            self._tag(batch, rest)
            self.record.saved.get(batch, {})["budget"] = len(rest)
            for source in {held.source[i] for i in free}:
                still = [i for i, own in held.source.items() if own == source and i not in gone]
                self._tag(called.for_source(source), still)

    def _tag(self, tag, ids):
        self.draft.tag(tag, ids)
        if tag not in self.record.tags:
            self.record.tags.append(tag)

    def tell(self, merged: Merged, held: RoundSamples) -> dict[str, Any]:
        """What the labels say of suggestions, pseudo-labels, and of what a model has learnt; it goes into the round."""
        one, warnings = self.round, _warnings(merged, self.round.returned, self._tool.title)
        warnings += self._lost
        if self._late:
            warnings.append(
                f"{self._late:,} labels are of images that were given back to the pool when the round was ended; they "
                "were left."
            )
        fresh = self._new
        told: dict[str, Any] = {"prelabels": merging.changed(self._suggested(), fresh)}
        known = {**held.known, **{i: label for i, label in fresh.items() if held.source.get(i) != GOLDEN}}
        golden = {**held.golden_labels, **{i: label for i, label in fresh.items() if i in held.golden}}
        try:
            told["pseudo_labels"] = self._measure(known, golden)
        except InvalidInput as error:  # the vectors are gone; the labels must come back all the same
            told["pseudo_labels"] = {}
            warnings.append(f"Nothing could be measured by the labels: {error}")
        told["measured"] = one.measured
        one.returned.update({name: told[name] for name in ("prelabels", "pseudo_labels")})
        state.keep(self.record, one)
        for warning in warnings:
            self.reporter.warn(warning)
        return {**told, "warnings": warnings, "advice": self._advice()}

    def _measure(self, known, golden):
        """Lets the golden set measure what the labels teach. Returns how right the pseudo-labels are."""
        found = read_pool(self.run)
        judged = rounds.judged(found.labels, samples.labelled(found.ids, {**known, **golden}))
        if golden:
            tested = samples.labelled(found.ids, golden)
            learnt = samples.labelled(found.ids, known)
            measured = rounds.measure(found.vectors, learnt, tested.rows, tested.labels)
            self.round.measured = {
                "labels": measured.labels,
                "n": measured.n,
                "accuracy": measured.accuracy,
                "standard_error": measured.standard_error,
                "reason": measured.reason,
            }
        uncovered = [str(name) for name in judged.uncovered]
        return {"right": judged.accuracy, "images": judged.n, "uncovered": uncovered}

    def _suggested(self):
        if not self.round.sent.get("prelabels") or not self.dataset.has_sample_field(f"{self.key}.prelabel"):
            return {}
        ids, values = fields.writable(self.dataset).values(["id", f"{self.key}.prelabel.label"])
        return {i: value for i, value in zip(ids, values) if value is not None}

    def _advice(self):
        curve = [
            (one.measured["labels"], one.measured["accuracy"], one.measured["standard_error"])
            for one in state.rounds_of(self.record)
            if one.measured.get("accuracy") is not None
        ]
        return rounds.advise(curve).text if curve else ""


def _warnings(merged, counts, title):
    found = []
    if merged.unknown:
        names = ", ".join(f"'{name}' ({n:,})" for name, n in list(merged.unknown.items())[:5])
        found.append(
            f"{title} returned classes that these rounds do not have: {names}. Those images stay sent; add the classes "
            "with the next batch, or correct the labels there, and take them back again."
        )
    if merged.disagreed:
        found.append(
            f"Annotators differ on {len(merged.disagreed):,} of the {merged.control['images']:,} images of the control "
            "set that several have labelled. The majority counts, once all have answered."
        )
    if merged.doubled:
        found.append(f"{len(merged.doubled):,} images have labels that contradict each other, which do not count.")
    if merged.strangers:
        found.append(f"{merged.strangers:,} labels were of images that are in no part of this round; they were left.")
    if counts["deleted"]:
        found.append(f"{counts['deleted']:,} images of the round are no longer in the dataset.")
    if counts["kept"]:
        found.append(f"{counts['kept']:,} images had a label in the dataset already, which stays.")
    return found
