"""The contract every selection method keeps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np

from ..contracts import Array, Budget, Floats, Integers, Mask, Progress, Veto
from ..errors import InvalidInput
from ..progress import silent
from ..providers import how_to_get
from ..pruning.zones import resolve_budget
from . import candidates
from .candidates import Candidates, Eligible
from .cost import Cost
from .parameter import Parameter, check_all
from .pool import Pool
from .reasons import Reasons
from .spread import Spread

__all__ = ["DIRECTIONS", "Choice", "Cost", "Eligible", "Parameter", "Pool", "Ranked", "Reason", "Selection", "Selector"]

DIRECTIONS = {
    "hard_first": "the hardest samples",
    "easy_first": "the easiest samples",
    "double_end": "the hardest samples that are left after the very hardest are dropped",
    "stratified": "samples of every difficulty, the very hardest dropped",
    "middle": "the samples around the median",
    "coverage": "samples that cover the pool",
    "random": "any samples",
}
"""What a method lets in, by the ``direction`` it states."""


Reason: TypeAlias = Callable[[int, "int | None"], str]
"""``reason(i, place)``: a sentence for sample i, chosen as number ``place`` from 0 or not chosen (None)."""


@dataclass(frozen=True)
class Selection:
    """``indices`` (b,) distinct, in order of choice; ``scores`` (N,); ``reasons`` N sentences, made when read.

    ``threshold`` is the similarity of the veto, if there was one. ``notes`` and ``warnings`` are sentences about how
    far the choice can be trusted. ``represented_by`` (N,): the chosen or locked sample that stands for each, -1 for
    none; None of a method that knows of no such thing.
    """

    indices: Integers
    scores: Floats
    reasons: Reasons = field(repr=False)
    threshold: float | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    represented_by: Integers | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Choice:
    """What :meth:`Selector.choose` returns: ``indices`` (b,) in order of choice, ``scores`` (N,),
    ``reason(i, place)``, a sentence for sample i, chosen as number ``place`` from 0 or not chosen (None),
    ``warnings`` and ``notes`` for the user, and ``represented_by`` (N,) as in :class:`Selection`, if there is that."""

    indices: Integers
    scores: Floats
    reason: Reason
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    represented_by: Integers | None = None


class Selector:
    """Base class of a method.

    To add one, write a subclass in a file of its own in ``selectors/methods/``, where it is found, and give it a row
    in ``docs/selectors.md``:

    * ``name``; ``purpose``, one sentence for the user; ``paper``; ``direction``, a key of :data:`DIRECTIONS`
    * ``listed``: its place among the others in forms and tables; without one it comes after them, by name
    * ``needs``: fields of :class:`~.pool.Pool` without which it cannot work; ``optional``: fields it uses when they are
      there. Where the needs depend on a parameter, override :meth:`required`.
    * ``parameters``: one :class:`~.parameter.Parameter` for each setting. Values are checked against them before
      anything runs and are read as ``self.settings.<name>``.
    * a method with a score and an order that stands from the beginning extends :class:`Ranked` and implements
      ``score``; one that looks at what it has chosen so far implements ``choose``.
    * ``eligible`` drops samples before anything is chosen (a cut at the hard end). What it returns, an
      :class:`~.candidates.Eligible`, is there again in ``choose``, as ``candidates.eligible``: a selector keeps nothing
      of a selection on itself.
    * ``nested``: whether, without a quota, the choice for a smaller budget is the beginning of that for a larger one;
      where that holds for some sizes alone, override :meth:`is_nested`
    * ``learns_from = "locked"``: its ``probabilities`` come from the labels of the locked samples, not from labels that
      all samples have
    * ``cost``: a :class:`~.cost.Cost`, where a large pool takes minutes
    * PyTorch, numba, faiss, SciPy and scikit-learn are imported in the methods that use them: a form that lists the
      selectors imports all their files.

    :meth:`run` does the rest, the same for all methods: it checks what is needed, puts the pool in the order of the
    ids, resolves the budget, keeps locked and excluded samples out, shares the budget out among clusters (``quota``),
    lets no near-duplicates in (``veto``), and nothing that is too near in time or too much of one parent (``spread``).
    So a method may work by position: ties go to the lower index, which is the lower id, and the order in which the
    samples were given does not matter. It must return exactly ``budget`` distinct indices, all open in the
    :class:`~.candidates.Candidates` when they were taken, draw everything random by :func:`~..seeds.rng` from a stream
    of its own, added to :class:`~..seeds.Stream`, need no N x N and no b x N matrix, and call ``progress`` where it can
    take longer than a second.

    Scores are what the method ranks by, for all N samples; NaN where it has none.
    """

    name = ""
    purpose = ""
    paper = ""
    direction = ""
    nested = False
    listed = 1000
    needs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    learns_from = "all"
    cost: Cost | None = None
    parameters: tuple[Parameter, ...] = ()
    quota_by: tuple[str, ...] = ("pseudo_labels",)
    """What a quota counts: the first of these that the pool has."""

    def __init__(self, **values: Any) -> None:
        self.settings = SimpleNamespace(**check_all(self.name, self.parameters, values))

    def required(self) -> tuple[str, ...]:
        """What it needs with its settings."""
        return self.needs

    def is_nested(self, samples: int, budget: int) -> bool:
        """Whether the choices for all smaller budgets begin that for this one, of so many samples."""
        return self.nested

    def run(
        self,
        pool: Pool,
        budget: Budget | str,
        seed: int = 0,
        *,
        quota: str = "none",
        veto: Veto | None = None,
        spread: Spread | Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> Selection:
        """Chooses from a :class:`~.pool.Pool`; see :func:`~.select` for the arguments. Returns :class:`Selection`."""
        quota, spread = self.quota(quota), Spread.of(spread)
        needs = dict.fromkeys(self.required())
        by = next((name for name in self.quota_by if getattr(pool, name) is not None), "pseudo_labels")
        needs.update({by: None} if quota != "none" else {})
        needs.update({"neighbors": None} if veto is not None else {})
        needs.update(dict.fromkeys(spread.reads(pool)) if spread is not None else {})
        for need in needs:
            if getattr(pool, need) is None:
                raise InvalidInput(f"{self.name} needs {need}; {how_to_get(need)}.", "method")
        if len(pool) == 0:
            raise InvalidInput("The pool is empty.")
        needs.update(dict.fromkeys(name for name in self.optional if getattr(pool, name) is not None))
        pool, order = pool.prepared(needs)
        free = pool.free
        if not free.any():
            raise InvalidInput("All samples of the pool are locked or excluded; there is nothing to choose.")
        budget = resolve_budget(budget, int(free.sum()))
        eligible = self.eligible(pool, free, budget)
        labels = getattr(pool, by)
        rules, threshold = candidates.make(pool, eligible, budget, labels, quota=quota, veto=veto, spread=spread)
        choice = self.choose(pool, budget, seed, rules, progress)
        indices = np.asarray(choice.indices, dtype=np.int64)
        scores = np.empty(len(pool), dtype=np.float64)
        scores[order] = choice.scores
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        describe = _Describe(pool, indices, choice.reason, rules)
        reasons = Reasons(len(pool), lambda i: describe(int(place[i])))
        return Selection(
            order[indices],
            scores,
            reasons,
            threshold,
            tuple(choice.warnings),
            tuple(choice.notes),
            None if choice.represented_by is None else _given_order(choice.represented_by, order),
        )

    def quota(self, quota: str) -> str:
        """The quota to keep when ``quota`` was asked for."""
        return quota

    def eligible(self, pool: Pool, free: Mask, budget: int) -> Eligible:
        """:class:`~.candidates.Eligible`, the samples that may be chosen; ``free`` (N,) are neither locked nor
        excluded."""
        return Eligible(free)

    def choose(self, pool: Pool, budget: int, seed: int, candidates: Candidates, progress: Progress) -> Choice:
        """Chooses exactly ``budget`` open samples of the :class:`~.candidates.Candidates`; see the class. Returns
        :class:`Choice`."""
        raise TypeError(f"{type(self).__name__} does not implement choose()")


class Ranked(Selector):
    """A method that scores every sample by itself and takes the best that the rules allow."""

    nested = True

    @property
    def keeps(self) -> str:
        """Which end of the score enters first, ``"low"`` or ``"high"``; a method states it as an attribute."""
        return ""

    def score(self, pool: Pool, seed: int, progress: Progress) -> Floats:
        """(N,) finite scores."""
        raise TypeError(f"{type(self).__name__} does not implement score()")

    def priority(self, pool: Pool, scores: Floats, candidates: Candidates, seed: int) -> Array:
        """(N,) keys; the lowest of the open samples come first, ties by id."""
        return scores if self.keeps == "low" else -scores

    def choose(self, pool: Pool, budget: int, seed: int, candidates: Candidates, progress: Progress) -> Choice:
        return self.best(pool, self.score(pool, seed, progress), budget, seed, candidates)

    def best(
        self,
        pool: Pool,
        scores: Floats,
        budget: int,
        seed: int,
        candidates: Candidates,
        *,
        warnings: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> Choice:
        """The :class:`Choice` of the best of these scores."""
        scores = np.asarray(scores, dtype=np.float64)
        if not np.isfinite(scores).all():
            raise InvalidInput(f"The scores of {self.name} hold NaN or infinite values; compute them again.", "method")
        order = np.argsort(self.priority(pool, scores, candidates, seed), kind="stable")
        reason = self.reasons(pool, scores, candidates)
        return Choice(candidates.walk(order, budget), scores, reason, warnings, notes)

    def reasons(self, pool: Pool, scores: Floats, candidates: Candidates) -> Reason:
        """``reason(i, place)`` as in :class:`Choice`; by default the place of the score among all N."""
        rank = _Rank(scores if self.keeps == "low" else -scores)
        n = len(scores)

        def reason(i, place):
            state = "not chosen" if place is None else f"number {place + 1:,}"
            return f"{state}: {self.name} score {scores[i]:.4g} is {rank(i) + 1:,} of {n:,}, {self.keeps}est first"

        return reason


def _given_order(samples, order):
    """(N,) samples, -1 for none, in the order in which they were given; ``order`` (N,) are their places there."""
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.where(samples < 0, -1, order[samples])
    return found


class _Rank:
    """0 = lowest of (N,) values; sorted at the first question."""

    def __init__(self, values):
        self._values = values
        self._rank = None

    def __call__(self, i):
        if self._rank is None:
            self._rank = np.empty(len(self._values), dtype=np.int64)
            self._rank[np.argsort(self._values, kind="stable")] = np.arange(len(self._values))
        return int(self._rank[i])


class _Describe:
    """Why sample i is in or out: first what holds for every method, then the method's own reason."""

    def __init__(self, pool, indices, reason, rules):
        self._pool = pool
        self._reason = reason
        self._rules = rules
        self._place = np.full(len(pool), -1, dtype=np.int64)
        self._place[indices] = np.arange(len(indices))
        self._keeper = None

    def __call__(self, i):
        pool, rules = self._pool, self._rules
        if pool.locked[i]:
            return "already labelled"
        if pool.excluded[i]:
            return "excluded from the selection"
        if self._place[i] >= 0:
            return self._reason(i, int(self._place[i]))
        if rules.groups is not None:
            keeper = self._keepers()[rules.groups[i]]
            if keeper >= 0:
                return f"not chosen: near-duplicate of {pool.ids[keeper]}"
        sentence = self._reason(i, None)
        if rules.left is not None:
            cluster = rules.labels[i]
            sentence += f" (cluster {cluster} has a share of {rules.shares[cluster]:,})"
        return sentence

    def _keepers(self):
        """The chosen or locked sample of each group, -1 for none."""
        if self._keeper is None:
            self._keeper = np.full(int(self._rules.groups.max()) + 1, -1, dtype=np.int64)
            kept = np.flatnonzero((self._place >= 0) | self._pool.locked)
            self._keeper[self._rules.groups[kept]] = kept
        return self._keeper
