"""Keeps a :class:`~.spread.Spread` while samples are chosen one by one, so that the budget can always be met."""

from __future__ import annotations

import copy
from bisect import bisect_left

import numpy as np

from ..contracts import Array, Floats, Integers, Mask
from ..pruning import quotas
from .spread import Spread

_TOLERANCE = 1e-6
_UNLIMITED = np.iinfo(np.int64).max // 4


class Spacing:
    """The rules of a spread for N samples, and what is left of the budget.

    A sample that is taken closes those that are too near to it in time, and all of its parent once that has enough. As
    many others as the budget still needs must stay that can all be chosen together. How many of a parent can, is
    counted greedily from the earliest on, which on a line is the most there can be; one that is taken costs at most two
    of them. While there are some to spare anything may be taken; once there are none, only those of that count are left
    open.

    Args:
        parents: (N,) of any kind that can be sorted
        times: (N,) seconds; None where the spread has no gap
        locked: (N,) bool, chosen already
        open_: (N,) bool, changed in place: what may be chosen
        budget: b
        extents: (N,) seconds that each lasts, half of them before its time; of one parent no two at once. Default: none

    Attributes:
        possible: how many can be chosen together; the budget can be met when it is not above that
    """

    def __init__(
        self,
        spread: Spread,
        parents: Array,
        times: Floats | None,
        locked: Mask,
        open_: Mask,
        budget: int,
        extents: Floats | None = None,
    ) -> None:
        self._gap = spread.gap
        self._code: Integers = np.unique(parents, return_inverse=True)[1].reshape(-1)
        count = int(self._code.max(initial=-1)) + 1
        self._line(times, extents)
        for row in np.flatnonzero(locked).tolist():
            open_[self._near(row)] = False
        self._tight = np.zeros(count, dtype=bool)
        self._room = np.zeros(count, dtype=np.int64)
        self._dirty = set(range(count))
        self._count(open_)
        taken = np.bincount(self._code[locked], minlength=count)
        self._limit = self._limits(spread.per_parent, budget, taken, open_, count)
        self._needy = np.zeros(count, dtype=bool)
        if spread.per_parent == "one":
            self._needy = (self._room > 0) & (taken == 0)
        self.possible = int(np.minimum(self._limit, self._room).sum())
        self._left = budget
        if self.possible >= budget:
            open_[self._limit[self._code] <= 0] = False
            self._keep_enough(open_)

    def copy(self) -> Spacing:
        """One that can be tried out."""
        other = copy.copy(self)
        for name in ("_tight", "_room", "_limit", "_needy"):
            setattr(other, name, getattr(self, name).copy())
        other._dirty = set(self._dirty)
        return other

    def take(self, i: int, open_: Mask) -> None:
        """Closes what sample i, which was open and is taken, rules out."""
        parent = self._code[i]
        open_[self._near(i)] = False
        self._left -= 1
        self._limit[parent] -= 1
        self._needy[parent] = False
        self._room[parent] -= 1 if self._gap is None or self._tight[parent] else 2
        self._dirty.add(int(parent))
        if self._limit[parent] <= 0:
            open_[self._of(parent)] = False
        self._keep_enough(open_)

    def restrict(self, open_: Mask) -> None:
        """Counts anew after others have been closed, which must have left enough."""
        self._dirty.update(range(len(self._room)))
        self._count(open_)
        self._keep_enough(open_)

    def _limits(self, per_parent, budget, taken, open_, count):
        if isinstance(per_parent, int):
            return np.maximum(per_parent - taken, 0)
        if per_parent == "proportional" and self._room.sum() >= budget:
            members = np.bincount(self._code[open_], minlength=count)
            return quotas.shares(budget, members, self._room)
        return np.full(count, _UNLIMITED)

    def _line(self, times, extents):
        """Puts the samples of all parents on one line, those of different parents further apart than the gap."""
        seconds = np.zeros(len(self._code)) if times is None else np.asarray(times, dtype=np.float64)
        seconds = seconds - seconds.min(initial=np.inf)
        half = np.zeros(len(self._code)) if extents is None else np.asarray(extents, dtype=np.float64) / 2
        far = float(seconds.max(initial=0.0)) + 2 * (self._gap or 0) + 2 * float(half.max(initial=0.0)) + 1
        place = self._code * far + seconds
        self._order = np.argsort(place, kind="stable")
        self._begin, self._end = place - half, place + half
        self._begins, self._ends = self._begin[self._order], self._end[self._order]
        self._starts = np.searchsorted(self._code[self._order], np.arange(int(self._code.max(initial=-1)) + 2))

    def _of(self, parent):
        return self._order[self._starts[parent] : self._starts[parent + 1]]

    def _near(self, i):
        """The sample and those that are too near to it."""
        if self._gap is None:
            return np.array([i])
        first = np.searchsorted(self._ends, self._begin[i] - self._gap + _TOLERANCE, side="right")
        last = np.searchsorted(self._begins, self._end[i] + self._gap - _TOLERANCE, side="left")
        return np.append(self._order[first:last], i)

    def _compatible(self, parent, open_):
        """The most open samples of a parent that can be chosen together."""
        rows = self._of(parent)
        rows = rows[open_[rows]]
        if self._gap is None or len(rows) < 2:
            return rows
        begins, ends, found, at = self._begin[rows].tolist(), self._end[rows].tolist(), [], 0
        while at < len(begins):
            found.append(at)
            at = bisect_left(begins, ends[at] + self._gap - _TOLERANCE, at + 1)
        return rows[found]

    def _count(self, open_, only_scarce=False):
        """Counts the room of parents that have changed; with ``only_scarce`` where it might decide."""
        for parent in [p for p in self._dirty if not only_scarce or self._room[p] <= self._limit[p]]:
            self._room[parent] = len(self._compatible(parent, open_))
            self._dirty.discard(parent)

    def _spare(self):
        return int(np.minimum(self._limit, np.maximum(self._room, 0)).sum()) - self._left

    def _keep_enough(self, open_):
        if self._left <= 0:
            return
        if self._gap is not None and self._spare() < 1:
            self._count(open_, only_scarce=True)
            if self._spare() < 1:
                for parent in np.flatnonzero((self._room <= self._limit) & ~self._tight).tolist():
                    self._tighten(parent, open_)
        needy = int(self._needy.sum())
        if needy and needy >= self._left:
            open_[~self._needy[self._code]] = False

    def _tighten(self, parent, open_):
        kept = self._compatible(parent, open_)
        open_[self._of(parent)] = False
        open_[kept] = True
        self._tight[parent] = True
