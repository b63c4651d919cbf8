"""What the samples of a run hold of its rounds and labels, read at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...contracts import Integers
from ...rounds.labelled import Labelled
from .. import fields
from .state import ANNOTATED, GOLDEN, SELECTED, SENT, SKIPPED

if TYPE_CHECKING:
    from ..fiftyone_types import Dataset


@dataclass(frozen=True)
class RoundSamples:
    """Of all samples of a dataset, each a mapping by sample id without those that have no value: ``status``, ``round``,
    ``turn``, ``source`` of the run ``key``, and ``labels`` of the label field."""

    status: dict[str, str]
    round: dict[str, int]
    turn: dict[str, int]
    source: dict[str, str]
    labels: dict[str, str]

    @cached_property
    def golden(self) -> set[str]:
        """Ids of the golden set."""
        return {i for i, source in self.source.items() if source == GOLDEN}

    @cached_property
    def known(self) -> dict[str, str]:
        """{id: label} that count: given before the rounds, or accepted in one. Not those of a batch that is out, which
        may be half done, and not the golden set's."""
        out = {i for i, status in self.status.items() if status != ANNOTATED}
        return {i: label for i, label in self.labels.items() if i not in out and i not in self.golden}

    @cached_property
    def golden_labels(self) -> dict[str, str]:
        return {i: label for i, label in self.labels.items() if i in self.golden and self.status.get(i) == ANNOTATED}

    @cached_property
    def taken(self) -> set[str]:
        """Ids that cannot be chosen and stand for others: labelled, or in a batch."""
        out = {i for i, status in self.status.items() if status in (SELECTED, SENT, ANNOTATED)}
        return (out | set(self.labels)) - self.golden

    @cached_property
    def refused(self) -> set[str]:
        """Ids that cannot be chosen and stand for nothing: the golden set, and what annotators have skipped."""
        return self.golden | {i for i, status in self.status.items() if status == SKIPPED}

    def of_round(self, number: int) -> list[str]:
        """Ids of a round in the order of labelling."""
        found = [i for i, r in self.round.items() if r == number]
        return sorted(found, key=lambda i: (self.turn.get(i, len(self.turn)), i))

    def with_status(self, ids: Iterable[str], *wanted: str) -> list[str]:
        return [i for i in ids if self.status.get(i) in wanted]


def read(dataset: Dataset, key: str, labels_field: str | None) -> RoundSamples:
    """The :class:`RoundSamples` of a run; fields that are not there yet hold nothing."""
    names = ["status", "round", "turn", "source"]
    paths = [*(f"{key}.{name}" for name in names), *([f"{labels_field}.label"] if labels_field else [])]
    there = [path for path in paths if dataset.has_sample_field(path)]
    ids, *columns = fields.writable(dataset).values(["id", *there])
    found: dict[str, dict[str, Any]] = {
        # The App keeps "" as the class of an image until one is chosen.
        path: {i: v for i, v in zip(ids, column) if v is not None and v != ""}
        for path, column in zip(there, columns)
    }
    own = {name: found.get(f"{key}.{name}", {}) for name in names}
    return RoundSamples(**own, labels=found.get(f"{labels_field}.label", {}))


def labelled(ids: np.ndarray, labels: dict[str, str]) -> Labelled:
    """The labels of those of the ``ids`` (N,) that have one, as rows of these ids."""
    texts = ids.astype(str).tolist()
    rows: Integers = np.array([row for row, i in enumerate(texts) if i in labels], dtype=np.int64)
    return Labelled(rows, np.array([labels[texts[row]] for row in rows.tolist()], dtype=str))
