"""Selection methods behind one contract, see :mod:`.base`. ``select(name, pool, budget)`` is the way in."""

from ..errors import InvalidInput
from ..progress import silent
from ..suggestions import did_you_mean
from ..validation import derived_seed
from .base import DIRECTIONS, Parameter, Pool, Ranked, Selection, Selector
from .methods.ccs import CCS
from .methods.d2 import D2
from .methods.dual import Dual
from .methods.el2n import EL2N
from .methods.elfs import Elfs
from .methods.forgetting import Forgetting
from .methods.grand import GraNd
from .methods.herding import Herding
from .methods.k_center import KCenter
from .methods.moderate import Moderate
from .methods.prototypicality import Prototypicality
from .methods.prune4rel import Prune4ReL
from .methods.random import Random
from .methods.small_loss import SmallLoss
from .methods.uncertainty import Uncertainty
from .methods.zcore import ZCore

_METHODS = {
    method.name: method
    for method in (
        Elfs,
        Random,
        CCS,
        D2,
        Dual,
        Prototypicality,
        Moderate,
        KCenter,
        Herding,
        Forgetting,
        EL2N,
        GraNd,
        Uncertainty,
        SmallLoss,
        Prune4ReL,
        ZCore,
    )
}


def available():
    """Method name -> {"needs": (...), "optional": (...), "purpose": "...", "paper": "...", "direction": "...",
    "nested": bool, "parameters": (:class:`~.parameter.Parameter`, ...)}."""
    fields = ("needs", "optional", "purpose", "paper", "direction", "nested", "parameters")
    return {name: {field: getattr(method, field) for field in fields} for name, method in _METHODS.items()}


def required(name, **params):
    """The fields of a :class:`~.pool.Pool` that a method needs with these parameters.

    Raises:
        InvalidInput: for an unknown method or a parameter out of range
    """
    return _method(name)(**params).required()


def select(name, pool, budget, *, seed=0, quota="none", veto=None, progress=silent, **params):
    """Chooses a coreset of exactly ``budget`` samples from a :class:`~.pool.Pool`.

    Args:
        name: one of :func:`available`
        budget: a count, or a fraction of the samples that are neither locked nor excluded
        quota: ``"none"``, or the budget shared out among the pseudo-labels: ``"proportional"`` to their sizes or
            ``"equal"``, by largest remainder, exact in total (:mod:`~..pruning.quotas`)
        veto: of a group of near-duplicates at most one enters, and none beside a locked one: a cosine similarity, or
            ``{"quantile": q}``; :func:`~..neighbors.near_duplicates.preview` tells what it would leave
        params: the method's parameters

    Returns:
        :class:`~.base.Selection`

    Raises:
        InvalidInput: for an unknown method, a need that the pool lacks, a parameter out of range, or a veto that leaves
            fewer samples than the budget
    """
    return _method(name)(**params).run(pool, budget, derived_seed(seed), quota=quota, veto=veto, progress=progress)


def _method(name):
    if not isinstance(name, str) or name not in _METHODS:
        raise InvalidInput(
            f"Unknown selector {name!r}. Available: {', '.join(_METHODS)}.{did_you_mean(name, _METHODS)}", "method"
        )
    return _METHODS[name]


__all__ = ["DIRECTIONS", "Parameter", "Pool", "Ranked", "Selection", "Selector", "available", "required", "select"]
