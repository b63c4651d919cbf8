"""The contract every selection method keeps."""

from dataclasses import dataclass, field

import numpy as np

from ..dynamics import Dynamics
from ..errors import InvalidInput
from ..neighbors import NeighborGraph
from ..pruning import resolve_budget

PROVIDERS = {
    "embeddings": "compute_embeddings",
    "neighbors": "compute_pseudo_labels",
    "pseudo_labels": "compute_pseudo_labels",
    "dynamics": "compute_scores",
}
"""The operator that provides each thing a method may need."""


@dataclass(frozen=True)
class Pool:
    """What is known about the N samples to choose from; all but ``ids`` is optional."""

    ids: np.ndarray
    embeddings: np.ndarray | None = None
    neighbors: NeighborGraph | None = None
    pseudo_labels: np.ndarray | None = None
    dynamics: Dynamics | None = None

    def __len__(self):
        return len(self.ids)


@dataclass(frozen=True)
class Selection:
    """``indices`` (b,) distinct, in order of choice; ``scores`` (N,); ``reasons`` N sentences."""

    indices: np.ndarray
    scores: np.ndarray
    reasons: list = field(repr=False)


class Selector:
    """Base class of a method.

    To add one: write a subclass in a file of its own with ``name``, ``purpose`` (one sentence) and ``needs`` (fields of
    :class:`Pool`), take its parameters in ``__init__``, and implement ``choose(pool, budget, seed)``. It must return
    exactly ``budget`` distinct indices, must not depend on the order of the samples beyond their ids, and must give the
    same ids for the same seed. Then list it in ``selectors/__init__.py``.
    """

    name = ""
    purpose = ""
    needs = ()

    def run(self, pool, budget, seed=0):
        """Checks the needs and the budget, then chooses. Returns :class:`Selection`."""
        for need in self.needs:
            if getattr(pool, need) is None:
                raise InvalidInput(f"{self.name} needs {need}; the operator {PROVIDERS[need]} provides them.", "method")
        if len(pool) == 0:
            raise InvalidInput("The pool is empty.")
        return self.choose(pool, resolve_budget(budget, len(pool)), seed)

    def choose(self, pool, budget, seed):
        """Chooses exactly ``budget`` samples; see the class."""
        raise TypeError(f"{type(self).__name__} does not implement choose()")
