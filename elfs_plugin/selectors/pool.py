"""What is known about the samples to choose from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import scratch
from ..arrays import as_array
from ..contracts import Array, Floats, Integers, Mask, Vectors
from ..errors import InvalidInput

if TYPE_CHECKING:
    from ..neighbors.neighbor_graph import NeighborGraph
    from ..proxy.dynamics import Dynamics

_STRUCTURES = ("dynamics", "neighbors")
"""Fields that are more than one array, and know themselves how to be put in another order."""
_BLOCK = 65536


@dataclass(frozen=True)
class Pool:
    """The N samples to choose from; all but ``ids`` is optional.

    * ``ids`` (N,) distinct and sortable
    * ``embeddings`` (N, D) finite; ``neighbors`` their :class:`~..neighbors.graph.NeighborGraph`
    * ``pseudo_labels`` (N,) int clusters from 0, and ``confidence`` (N,) in [0, 1], the probability of that cluster
    * ``dynamics``: :class:`~..proxy.dynamics.Dynamics` of a proxy
    * ``labels`` (N,) int from 0: given labels that may be wrong (never the truth of an audit)
    * ``probabilities`` (N, C) of a classifier, and ``grand`` (N,): see :mod:`~..proxy.warm_up`
    * ``parents`` (N,) of any kind that can be sorted, and ``times`` (N,) in seconds: what a sample is a part of (a
      frame of its video), for a :class:`~.spread.Spread`; ``extents`` (N,), how many seconds each lasts, half of them
      before its time: of one parent no two at once
    * ``locked``: (N,) bool, or ids: samples that are labelled already. They are never chosen, the budget counts on top
      of them, and methods that look at coverage, and the veto, take them as chosen
    * ``excluded``: (N,) bool, or ids: samples that shall not be chosen and do not count
    """

    ids: Array
    embeddings: Vectors | None = None
    neighbors: NeighborGraph | None = None
    pseudo_labels: Integers | None = None
    dynamics: Dynamics | None = None
    labels: Integers | None = None
    probabilities: Vectors | None = None
    confidence: Floats | None = None
    grand: Floats | None = None
    parents: Array | None = None
    times: Floats | None = None
    locked: Array | None = None
    excluded: Array | None = None
    extents: Floats | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def free(self) -> Mask:
        """(N,) bool: neither locked nor excluded."""
        locked, excluded = (_mask(name, getattr(self, name), self.ids, self.ids) for name in ("locked", "excluded"))
        return ~(locked | excluded)

    def prepared(self, needs: Iterable[str]) -> tuple[Pool, Integers]:
        """(the pool with its samples in the order of their ids, (N,) that order as indices into this pool).

        Whatever a method does by position, it does by id then. Only what is named in ``needs`` is kept, and checked.

        Raises:
            InvalidInput: for what does not fit, is not finite, or for ids that occur twice
        """
        ids = np.asarray(self.ids)
        order = np.arange(len(ids))
        if not (ids[1:] > ids[:-1]).all():
            order = np.argsort(ids, kind="stable")
            ids = ids[order]
            if (ids[1:] == ids[:-1]).any():
                raise InvalidInput("The ids of the pool must be distinct.")
        found = {name: _checked(name, getattr(self, name), len(ids)) for name in needs}
        if (order[1:] != order[:-1] + 1).any():
            found = {
                name: value.reordered(order) if name in _STRUCTURES else scratch.taken(value, order)
                for name, value in found.items()
            }
        masks: dict[str, Any] = {
            name: _mask(name, getattr(self, name), self.ids, ids)[order] for name in ("locked", "excluded")
        }
        masks["excluded"] &= ~masks["locked"]
        return Pool(ids, **found, **masks), order


def _mask(name, values, ids, known) -> Mask:
    """(N,) bool in the order of ``ids``; ``known`` are the same ids in any order."""
    n = len(ids)
    if values is None:
        return np.zeros(n, dtype=bool)
    values = np.asarray(values)
    if values.dtype == bool:
        if values.shape != (n,):
            raise InvalidInput(f"{name} has {len(values):,} flags for {n:,} samples; they must be as many.", name)
        return values.copy()
    if len(values) == 0:
        return np.zeros(n, dtype=bool)
    unknown = ~np.isin(values, known)
    if unknown.any():
        first = values[unknown][0]
        raise InvalidInput(f"{name} names {unknown.sum():,} ids that are not in the pool, {first} first.", name)
    return np.isin(ids, values)


def _checked(name, value, n):
    if name == "dynamics":
        _check_length(name, value.aum, n)
        return value
    if name == "neighbors":
        _check_length(name, value.indices, n)
        return value
    if name == "parents":
        value = np.asarray(value)
        _check_length(name, value, n)
        return value
    value = as_array(value, f"The pool's {name}")
    _check_length(name, value, n)
    if name in ("pseudo_labels", "labels"):
        if value.ndim != 1 or value.dtype.kind not in "iu" or value.min(initial=0) < 0:
            raise InvalidInput(f"{name} are whole numbers from 0 in one row, not {value.dtype} of shape {value.shape}.")
        return value
    if value.ndim != (2 if name in ("embeddings", "probabilities") else 1):
        raise InvalidInput(f"{name} have the wrong shape, {value.shape}.")
    for start in range(0, n, _BLOCK):
        if not np.isfinite(value[start : start + _BLOCK]).all():
            raise InvalidInput(_not_finite(name, value))
    return value


def _not_finite(name, value):
    bad = np.flatnonzero(~np.isfinite(value).reshape(len(value), -1).all(axis=1))
    listed = ", ".join(map(str, bad[:10].tolist())) + (", …" if len(bad) > 10 else "")
    return (
        f"{name} hold NaN or infinite values in {len(bad):,} of {len(value):,} samples (index {listed}). Leave those "
        "samples out of the pool."
    )


def _check_length(name, value, n):
    if len(value) != n:
        raise InvalidInput(f"The pool has {n:,} samples, but {len(value):,} {name}; they must be as many.")
