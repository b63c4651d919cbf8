"""Selection methods behind one contract, see :mod:`.base`. ``select(name, pool, budget)`` is the way in."""

from collections.abc import Mapping
from typing import Any

from ..contracts import Budget, Progress, Veto
from ..errors import InvalidInput
from ..progress import silent
from ..suggestions import did_you_mean
from ..validation import derived_seed
from .base import DIRECTIONS, Cost, Parameter, Pool, Ranked, Selection, Selector
from .registry import selectors
from .spread import Spread

_TOLD = ("needs", "optional", "purpose", "paper", "direction", "nested", "learns_from", "cost", "parameters")


def available() -> dict[str, dict[str, Any]]:
    """Method name -> {"needs": (...), "optional": (...), "purpose": "...", "paper": "...", "direction": "...",
    "nested": bool, "learns_from": "all" or "locked", "cost": :class:`~.cost.Cost` or None,
    "parameters": (:class:`~.parameter.Parameter`, ...)}, in the order in which they are listed. Imports nothing that
    takes long."""
    return {name: {field: getattr(method, field) for field in _TOLD} for name, method in selectors().items()}


def required(name: str, **params: Any) -> tuple[str, ...]:
    """The fields of a :class:`~.pool.Pool` that a method needs with these parameters.

    Raises:
        InvalidInput: for an unknown method or a parameter out of range
    """
    return _method(name)(**params).required()


def is_nested(name: str, samples: int, budget: int, **params: Any) -> bool:
    """Whether one choice of ``budget`` of so many samples holds those for all smaller budgets, in its beginning."""
    return _method(name)(**params).is_nested(samples, budget)


def select(
    name: str,
    pool: Pool,
    budget: Budget | str,
    *,
    seed: int = 0,
    quota: str = "none",
    veto: Veto | None = None,
    spread: Spread | Mapping[str, Any] | None = None,
    progress: Progress = silent,
    **params: Any,
) -> Selection:
    """Chooses a coreset of exactly ``budget`` samples from a :class:`~.pool.Pool`.

    Args:
        name: one of :func:`available`
        budget: a count, or a fraction of the samples that are neither locked nor excluded
        quota: ``"none"``, or the budget shared out among the pseudo-labels: ``"proportional"`` to their sizes or
            ``"equal"``, by largest remainder, exact in total (:mod:`~..pruning.quotas`)
        veto: of a group of near-duplicates at most one enters, and none beside a locked one: a cosine similarity, or
            ``{"quantile": q}``; :func:`~..neighbors.near_duplicates.preview` tells what it would leave
        spread: rules about parents and times of the samples, a :class:`~.spread.Spread` or a mapping of its fields
        params: the method's parameters

    Returns:
        :class:`~.base.Selection`

    Raises:
        InvalidInput: for an unknown method, a need that the pool lacks, a parameter out of range, or a veto that leaves
            fewer samples than the budget
    """
    rules = {"quota": quota, "veto": veto, "spread": spread}
    return _method(name)(**params).run(pool, budget, derived_seed(seed), **rules, progress=progress)


def _method(name):
    known = selectors()
    if not isinstance(name, str) or name not in known:
        raise InvalidInput(
            f"Unknown selector {name!r}. Available: {', '.join(known)}.{did_you_mean(name, known)}", "method"
        )
    return known[name]


__all__ = [
    "DIRECTIONS",
    "Cost",
    "Parameter",
    "Pool",
    "Ranked",
    "Selection",
    "Selector",
    "Spread",
    "available",
    "is_nested",
    "required",
    "select",
]
