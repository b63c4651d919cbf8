"""The job that sends a batch to be labelled."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ... import rounds
from ...contracts import Sink
from ...errors import InvalidInput
from ...progress import part as share_of
from ...validation import validate_seed
from .. import fields, reading, record
from ..choose import READING, WRITING
from ..fiftyone_types import Dataset
from ..run_job import RunJob
from . import parts, prelabels, samples, state
from .annotators import annotator_list, check_people
from .backends.base import Backend, Sending
from .backends.registry import backend
from .state import SELECTED, SENT, Labelling, Round, SentPart
from .tool_options import complete

SENDING = "Sending to the labelling tool"


def send_batch(
    dataset: Dataset,
    key: str = "elfs",
    *,
    to: str = "in_app",
    round: int | None = None,
    annotators: Iterable[str] | str | None = None,
    control: int = 0,
    chunk: int | None = None,
    prelabels: str | None = None,
    weights: str | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Sends the samples of a round, and with the first the golden set, to a labelling tool, in the order of choice.

    What was interrupted goes on where it stopped: parts that have been sent are not sent again.

    Args:
        to: one of :func:`~.backends.registry.backends`
        round: its number; default: the last one
        annotators: names; the batch is dealt out among them, so that each gets hard and easy images
        control: images that all annotators get, by which their agreement is measured
        chunk: images in one request at most; default: what the tool can take
        prelabels: where suggestions come from, see :func:`~.prelabels.suggest`; default: none
        weights: a local checkpoint, where they come from a CLIP model
        options: of the tool, see :attr:`~.backends.base.Backend.options`; secrets among them are not kept

    Raises:
        InvalidInput: also for a round that has been sent
    """
    tool, seed = backend(to), validate_seed(seed)
    people = annotator_list(annotators)
    check_people(tool, people, control)
    with _Sending(dataset, key, to, round, tool, dict(options or {}), sinks) as job:
        job.reporter.stage(READING)
        if not job.round.parts:
            job.plan(people, control, chunk, (prelabels, weights), seed)
        job.send_all(job.reporter.stage(SENDING))
        job.publish(job.reporter.stage(WRITING))
        return job.summary()


class _Sending(RunJob):
    def __init__(self, dataset, key, to, number, tool: Backend, options, sinks):
        self._to, self._number, self._tool, self._given = to, number, tool, options
        stages = {READING: 1, SENDING: 10, WRITING: 1}
        super().__init__(dataset, key, "Sending a batch", stages, sinks, kind="send_batch", needs="scores")
        self.begin()
        tool.check(self.dataset, self._options)

    round: Round
    labelling: Labelling

    def begin(self):
        self.round = state.round_of(self.record, self._number)
        self.labelling = state.labelling_of(self.record)
        record.check_labels_field(self.dataset, self.key, self.labelling.labels_field)
        self.round.check_unsent(self._to)
        self._options = complete(self._tool, self._given, self.round.sent.get("options"))

    def plan(
        self,
        people: Sequence[str],
        control: int,
        chunk: int | None,
        suggestions: tuple[str | None, str | None],
        seed: int,
    ) -> None:
        """Writes down what is to be sent before anything is."""
        held = samples.read(self.dataset, self.key, self.labelling.labels_field)
        ids = held.with_status(held.of_round(self.round.number), SELECTED)
        if not ids:
            raise InvalidInput(f"Round {self.round.number} has no image that is to be labelled any more.", "round")
        if control > len(ids):
            raise InvalidInput(
                f"The batch has {len(ids):,} images, fewer than a control set of {control:,}.", "control"
            )
        source, weights = suggestions
        suggested = prelabels.suggest(self.run, source, self.labelling, held, ids, seed, weights) if source else {}
        limit = min([size for size in (chunk, self._tool.chunk) if size], default=None)
        shares = rounds.deal(ids, people or None, limit, control if len(people) > 1 else 0)
        name = f"{self.key}_r{self.round.number}"
        kept = {}
        for at, share in enumerate(shares):
            part = SentPart(f"{name}_{at}", len(share.ids), share.annotator)
            self.round.parts.append(part)
            kept[part.key] = list(share.ids)
        secret = {option.name for option in self._tool.options if option.secret}
        public = {name: value for name, value in self._options.items() if name not in secret}
        self.round.sent = {
            "to": self._to,
            "options": public,
            "prelabels": source,
            "control": _shared(shares),
        }
        if suggested:
            self.draft.add(fields.class_column(f"{self.key}.prelabel", suggested))
        self.draft.results[parts.entry(self.round.number)] = kept
        self.draft.step("labels", field=self.labelling.labels_field)
        self._keep()

    def send_all(self, progress) -> None:
        members = parts.members(self.run, self.round)
        suggested = self._suggested()
        waiting = [part for part in self.round.parts if part.state == "planned"]
        for at, part in enumerate(waiting):
            ids = members[part.key]
            status = self._status(ids)
            if not status:  # all its samples have been deleted: there is nothing to send, nor to take back
                part.state = "returned"
                self._note(at == len(waiting) - 1)
                continue
            sending = Sending(
                self.dataset,
                ids,
                replace(part),
                self.labelling.labels_field,
                self.labelling.classes,
                {i: suggested[i] for i in ids if i in suggested} or None,
                self._options,
            )
            self.reporter.verify()
            part.receipt = self._tool.send(sending, share_of(progress, at / len(waiting), (at + 1) / len(waiting)))
            part.state = "sent"
            still = [i for i, own in self._status(ids).items() if own == SELECTED]
            self.draft.add(fields.value_column(f"{self.key}.status", dict.fromkeys(still, SENT)))
            self._note(at == len(waiting) - 1)

    def summary(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "round": self.round.number,
            "to": self._to,
            "sent": len({i for ids in parts.members(self.run, self.round).values() for i in ids}),
            "parts": [
                {"key": p.key, "samples": p.samples, "annotator": p.annotator, **p.receipt} for p in self.round.parts
            ],
        }

    def _suggested(self):
        if not self.round.sent.get("prelabels"):
            return {}
        path = f"{self.key}.prelabel.label"
        ids, values = fields.writable(self.dataset).values(["id", path])
        return {i: value for i, value in zip(ids, values) if value is not None}

    def _status(self, ids):
        """{id: status or None} of those of the ids that are in the dataset."""
        return reading.by_id(self.dataset, ids, f"{self.key}.status")

    def _note(self, is_last):
        if is_last:
            self.round.state, self.round.when[SENT] = SENT, time.time()
        self._keep()

    def _keep(self):
        """Writes where the round stands: what was sent is known, whatever happens next."""
        state.keep(self.record, self.round)
        one = self.round
        self.publish()
        self.round = one


def _shared(shares):
    """Ids that are in several shares: the control set."""
    count = Counter(i for share in shares for i in share.ids)
    return [i for i, times in count.items() if times > 1]
