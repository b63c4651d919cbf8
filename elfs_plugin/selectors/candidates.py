"""Which samples may still be chosen: not locked, not excluded, no near-duplicate of a chosen one, cluster not full, and
not too near in time to a chosen one."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..contracts import Integers, Mask, Veto
from ..errors import InvalidInput
from ..neighbors import near_duplicates
from ..pruning import quotas
from .pool import Pool
from .spacing import Spacing
from .spread import Spread


@dataclass(frozen=True)
class Eligible:
    """The samples that a method lets in at all, ``mask`` (N,) bool. A method that finds out more on the way extends
    this."""

    mask: Mask


class Candidates:
    """The rules of one selection.

    ``open`` (N,) bool are the samples that may be chosen now; :meth:`take` chooses one and closes what it rules out.
    Methods whose order stands from the beginning call :meth:`walk` instead. There are always enough open samples for
    the rest of the budget, whatever was taken before.

    Args:
        allowed: (N,) bool, samples that may be chosen at all
        budget: b
        quota: see :data:`~..pruning.quotas.QUOTAS`
        labels: (N,) clusters that the quota counts
        groups: (N,) groups of near-duplicates of which at most one enters, or None
        locked: (N,) bool, samples whose groups are closed from the beginning
        spacing: what keeps rules about parents and times, or None; it has taken part in ``allowed``
        eligible: what the method itself said of the samples, an :class:`Eligible`, kept for its choice

    Raises:
        InvalidInput: when fewer than ``budget`` samples can be chosen
    """

    def __init__(
        self,
        allowed: Mask,
        budget: int,
        *,
        quota: str = "none",
        labels: Integers | None = None,
        groups: Integers | None = None,
        locked: Mask | None = None,
        spacing: Spacing | None = None,
        eligible: Any = None,
    ) -> None:
        self.eligible = eligible
        self.spacing = spacing
        self.open = allowed.copy()
        self.labels: Integers | None = None
        self.left: Integers | None = None
        self.shares: Integers | None = None
        self.groups = groups
        if groups is not None:
            if locked is not None and locked.any():
                self.open &= ~np.isin(groups, groups[locked])
            self._members = _Members(groups)
        if quota != "none":
            self.labels = labels
            self._share(budget, quota)
        possible = self._possible(self.open)
        if possible < budget:
            because = "" if groups is None else " once near-duplicates are left out; loosen the veto"
            raise InvalidInput(
                f"Only {possible:,} images can be chosen{because}, fewer than the budget of {budget:,}.",
                "budget" if groups is None else "veto",
            )

    @property
    def restricted(self) -> bool:
        """Whether choosing one sample can close others."""
        return self.groups is not None or self.left is not None or self.spacing is not None

    def _possible(self, mask):
        return int(mask.sum()) if self.groups is None else len(np.unique(self.groups[mask]))

    def _share(self, budget, quota):
        clusters = int(self.labels.max()) + 1
        members = np.bincount(self.labels[self.open], minlength=clusters)
        capacity = members
        if self.groups is not None:
            # A group counts for the cluster that has most of it; its samples elsewhere stay out, so that the shares
            # can be met whichever of its samples is taken.
            self.open &= self.labels == self._home(clusters)[self.groups]
            each = np.unique(self.groups[self.open], return_index=True)[1]
            capacity = np.bincount(self.labels[self.open][each], minlength=clusters)
        budget = min(budget, int(capacity.sum()))
        self.shares = quotas.shares(budget, members if quota == "proportional" else (members > 0), capacity)
        self.left = self.shares.copy()
        self.open &= self.left[self.labels] > 0

    def _home(self, clusters):
        """Number of the cluster with most open samples of each group, the lowest among equals."""
        rows = np.flatnonzero(self.open)
        pairs, counts = np.unique(self.groups[rows].astype(np.int64) * clusters + self.labels[rows], return_counts=True)
        order = np.lexsort((pairs % clusters, -counts, pairs // clusters))
        groups, first = np.unique(pairs[order] // clusters, return_index=True)
        home = np.zeros(int(self.groups.max()) + 1, dtype=np.int64)
        home[groups] = pairs[order][first] % clusters
        return home

    def take(self, i: int) -> None:
        """Chooses sample i, which must be open."""
        self.open[i] = False
        if self.spacing is not None:
            self.spacing.take(i, self.open)
        if self.groups is not None:
            self.open[self._members.of(self.groups[i])] = False
        if self.left is not None:
            label = self.labels[i]
            self.left[label] -= 1
            if self.left[label] == 0:
                self.open[self.labels == label] = False

    def only(self, mask: Mask) -> None:
        """Closes the samples outside of ``mask`` (N,) where what is taken may close several others: a method that looks
        at a part alone must find the rest of its budget there."""
        if self.spacing is not None:
            self.open &= mask
            self.spacing.restrict(self.open)

    def walk(self, order: Integers, budget: int) -> Integers:
        """The first ``budget`` of ``order`` (all open samples at least, best first) that may be chosen together."""
        order = order[self.open[order]]
        if self.spacing is not None:  # near-duplicates are out already, see make()
            return _walk(self.spacing.copy(), self.open.copy(), order, budget)
        if self.groups is not None:
            order = order[np.sort(np.unique(self.groups[order], return_index=True)[1])]
        if self.left is not None:
            labels = self.labels[order]
            by_label = np.argsort(labels, kind="stable")
            place = np.empty(len(order), dtype=np.int64)
            starts = np.searchsorted(labels[by_label], labels[by_label], side="left")
            place[by_label] = np.arange(len(order)) - starts
            order = order[place < self.left[labels]]
        return order[:budget]


def _walk(spacing, open_, order, budget):
    found: list[int] = []
    for i in order.tolist():
        if len(found) >= budget:
            break
        if open_[i]:
            open_[i] = False
            spacing.take(i, open_)
            found.append(i)
    return np.array(found, dtype=order.dtype)


class _Members:
    """The members of each group of two or more."""

    def __init__(self, groups):
        self._order = np.argsort(groups, kind="stable")
        self._limits = np.searchsorted(groups[self._order], np.arange(int(groups.max(initial=-1)) + 2))

    def of(self, group):
        return self._order[self._limits[group] : self._limits[group + 1]]


def make(
    pool: Pool,
    eligible: Eligible,
    budget: int,
    labels: Integers | None = None,
    *,
    quota: str = "none",
    veto: Veto | None = None,
    spread: Spread | None = None,
) -> tuple[Candidates, float | None]:
    """(:class:`Candidates` of a pool, the veto's threshold or None); ``labels`` (N,) are what a quota counts.

    With a spread and a veto at once the first of each group of near-duplicates stands for it, whatever the method
    prefers: only so the budget is sure to be met.
    """
    if quota not in quotas.QUOTAS:
        raise InvalidInput(f"Unknown quota {quota!r}. Use one of: {', '.join(quotas.QUOTAS)}.", "quota")
    threshold = groups = None
    if veto is not None:
        threshold = near_duplicates.resolve_threshold(veto, pool.neighbors)
        groups = near_duplicates.groups(pool.neighbors, threshold, ~pool.excluded)
    allowed, spacing = pool.free & eligible.mask, None
    if spread is not None:
        if quota != "none":
            raise InvalidInput(
                "A quota per cluster and rules about parents or times cannot be kept together. Leave one out.", "quota"
            )
        if groups is not None:
            allowed = _first_of_each(groups, allowed, pool.locked)
        spacing = Spacing(spread, pool.parents, pool.times, pool.locked, allowed, budget, pool.extents)
        if spacing.possible < budget:
            raise InvalidInput(
                f"Only {spacing.possible:,} can be chosen so far apart or of so few from each parent, fewer than the "
                f"budget of {budget:,}. Give a smaller budget, a smaller gap, or more from each parent.",
                "budget",
            )
    rules = Candidates(
        allowed,
        budget,
        quota=quota,
        labels=labels,
        groups=groups,
        locked=pool.locked,
        spacing=spacing,
        eligible=eligible,
    )
    return rules, threshold


def _first_of_each(groups, allowed, locked):
    """Of each group the first that is allowed, of one with a locked sample none."""
    rows = np.flatnonzero(allowed & ~np.isin(groups, groups[locked]))
    kept = np.zeros_like(allowed)
    kept[rows[np.unique(groups[rows], return_index=True)[1]]] = True
    return kept
