"""Sequences of rows as the unit of choice: all rows of a chosen one are chosen."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..contracts import Budget, Floats, Integers
from ..errors import InvalidInput
from ..pruning.zones import resolve_budget
from ..validation import shown, whole_number
from .base import Selection
from .pool import Pool
from .reasons import Reasons

if TYPE_CHECKING:
    from ..proxy.dynamics import Dynamics


BREAK = 2.5
"""A step in time of more than so many median steps of its parent ends a sequence."""


def check_sequence(length: Any) -> int:
    """The length of a sequence as an int; None: 1, single rows.

    Raises:
        InvalidInput: unless it is a whole number from 1
    """
    found = 1 if length is None else whole_number(length)
    if found is None or found < 1:
        raise InvalidInput(f"The length of a sequence is a whole number from 1, not {shown(length)}.", "sequence")
    return found


class Sequences:
    """The S sequences of L rows that follow each other in a parent, from its first on, and anew after each step in time
    of more than :data:`BREAK` times the parent's median step; what is left before such a step or at the end belongs to
    none and is not chosen.

    Attributes:
        pool: a :class:`~.pool.Pool` of the sequences: of a sequence the id of its first row, the mean of vectors,
            scores and probabilities, the most frequent label, the time of its middle and the seconds that it lasts;
            locked or excluded when one of its rows is. After the S sequences come the locked rows of what is left, as
            locked samples, so that they count
        members: (S, L) rows of the pool that was given

    Raises:
        InvalidInput: when the pool has no parents or times, or no parent has L rows
            one after the other
    """

    def __init__(self, pool: Pool, length: int) -> None:
        if pool.parents is None or pool.times is None:
            raise InvalidInput("Sequences need rows that have parents and times, such as frames of videos.", "sequence")
        self.given = pool
        self.members, rest = _members(pool, length)
        if len(self.members) == 0:
            raise InvalidInput(
                f"No parent has {length:,} rows one after the other, as many as a sequence. Use a shorter one.",
                "sequence",
            )
        self.pool = _pooled(pool, np.concatenate([self.members, rest]))

    def budget(self, given: Budget | str) -> int:
        """The number of sequences for a budget of rows, rounded down."""
        rows = resolve_budget(given, int(self.given.free.sum()))
        length, free = self.members.shape[1], int(self.pool.free.sum())
        if not 1 <= rows // length <= free:
            raise InvalidInput(
                f"A budget of {rows:,} is {rows // length:,} sequences of {length:,}; 1 to {free:,} can be chosen.",
                "budget",
            )
        return rows // length

    def expanded(self, selection: Selection) -> Selection:
        """The choice of sequences as a choice of rows, those of a sequence in the order of their times."""
        n = len(self.given)
        of_row = np.full(n, -1, dtype=np.int64)
        of_row[self.members] = np.arange(len(self.members))[:, None]
        scores = np.where(of_row >= 0, selection.scores[np.maximum(of_row, 0)], np.nan)

        def reason(i):
            if of_row[i] < 0:
                return "not chosen: at the end of its parent or before a break, in no whole sequence"
            return f"its sequence: {selection.reasons[int(of_row[i])]}"

        notes = (*selection.notes, f"{len(selection.indices):,} sequences of {self.members.shape[1]:,}.")
        return replace(
            selection,
            indices=self.members[selection.indices].reshape(-1),
            scores=scores,
            reasons=Reasons(n, reason),
            notes=notes,
            represented_by=None,
        )


def _pooled(pool, rows):
    averaged = ("embeddings", "probabilities", "confidence", "grand")
    means: dict[str, Any] = {name: _mean(getattr(pool, name), rows) for name in averaged}
    labels: dict[str, Any] = {name: _most_frequent(getattr(pool, name), rows) for name in ("pseudo_labels", "labels")}
    locked = _flags(pool, "locked")[rows].any(axis=1)
    times = np.asarray(pool.times, dtype=np.float64)
    return Pool(
        np.asarray(pool.ids)[rows[:, 0]],
        **means,
        **labels,
        dynamics=None if pool.dynamics is None else _mean_dynamics(pool.dynamics, rows),
        parents=np.asarray(pool.parents)[rows[:, 0]],
        times=_mean(pool.times, rows[:, [0, -1]]),
        extents=times[rows[:, -1]] - times[rows[:, 0]],
        locked=locked,
        excluded=_flags(pool, "excluded")[rows].any(axis=1) & ~locked,
    )


def _members(pool, length):
    """((S, L) rows of the sequences, (T, L) locked rows of what is left, each repeated at the end to fill a row up)."""
    locked, whole, rest = _flags(pool, "locked"), [], []
    for run in _runs(pool):
        end = len(run) // length * length
        whole.append(run[:end])
        left = run[end:]
        left = left[locked[left]]
        if len(left):
            rest.append(np.append(left, np.repeat(left[-1], length - len(left))))
    none = np.zeros(0, dtype=np.int64)
    return tuple(np.concatenate([none, *found]).reshape(-1, length) for found in (whole, rest))


def _runs(pool):
    """The rows of each parent in the order of their times, cut where nothing follows soon."""
    codes = np.unique(np.asarray(pool.parents), return_inverse=True)[1].reshape(-1)
    times = np.asarray(pool.times, dtype=np.float64)
    order = np.lexsort((np.asarray(pool.ids), times, codes))
    starts = np.searchsorted(codes[order], np.arange(int(codes.max(initial=-1)) + 2))
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist()):
        rows = order[start:end]
        steps = np.diff(times[rows])
        usual = np.median(steps[steps > 0]) if (steps > 0).any() else 0.0
        yield from np.split(rows, np.flatnonzero(steps > BREAK * usual) + 1)


def _flags(pool, name):
    bare = Pool(pool.ids, **{name: getattr(pool, name)})
    return ~bare.free


def _mean(values, rows) -> Floats | None:
    if values is None:
        return None
    values = np.asarray(values)
    total = values[rows[:, 0]].astype(np.float64)
    for column in rows.T[1:]:  # one row of each sequence at a time: no array of all rows
        total += values[column]
    mean = total / rows.shape[1]
    return mean.astype(np.float32) if values.dtype == np.float32 else mean


def _most_frequent(labels, rows) -> Integers | None:
    """The most frequent label of each sequence, of several the lowest."""
    if labels is None:
        return None
    found = np.sort(np.asarray(labels)[rows], axis=1)
    best = np.zeros(len(rows), dtype=np.int64)
    run = np.ones(len(rows), dtype=np.int64)
    longest, at = run.copy(), best.copy()
    for column in range(1, rows.shape[1]):
        run = np.where(found[:, column] == found[:, column - 1], run + 1, 1)
        better = run > longest
        longest, at = np.where(better, run, longest), np.where(better, column, at)
    return found[np.arange(len(rows)), at]


def _mean_dynamics(dynamics: Dynamics, rows: Integers) -> Dynamics:
    values = {f.name: getattr(dynamics, f.name) for f in fields(dynamics)}
    means: dict[str, Any] = {name: _mean(v, rows) for name, v in values.items() if isinstance(v, np.ndarray)}
    return replace(dynamics, **means)
