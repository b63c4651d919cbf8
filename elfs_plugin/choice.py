"""The choice at the end of a run: by the method that was named, or the recommended one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .contracts import Budget, Progress, Veto
from .errors import InvalidInput
from .neighbors.graph import knn_graph, suggest_k
from .progress import part, silent
from .proxy.warm_up import with_outputs
from .pruning.zones import count_hard, resolve_budget
from .selectors import available, required, select
from .selectors.base import Selection
from .selectors.recommend import AUTO, Recommendation, check_asked, recommend
from .selectors.sequences import Sequences, check_sequence
from .selectors.spread import Spread

if TYPE_CHECKING:
    import torch

    from .selectors.pool import Pool


@dataclass(frozen=True)
class Coreset:
    """``method`` that chose with ``params``, its ``selection``, and the ``recommendation`` where one was asked for."""

    method: str
    params: dict[str, Any]
    selection: Selection
    recommendation: Recommendation | None = None


def recommended(pool: Pool, budget: Budget | str, *, learner: str = "probe", trusted: bool = True) -> Recommendation:
    """The :class:`~.selectors.recommend.Recommendation` for a pool; ``trusted``: its pseudo-labels."""
    free = int(pool.free.sum())
    if free == 0:
        raise InvalidInput("All samples of the pool are locked or excluded; there is nothing to choose.")
    clusters = None if pool.pseudo_labels is None else int(pool.pseudo_labels.max(initial=0)) + 1
    labelled = 0 if pool.locked is None else len(pool) - int(replace(pool, excluded=None).free.sum())
    count = resolve_budget(budget, free)
    return recommend(free, count, clusters=clusters, labelled=labelled, learner=learner, trusted=trusted)


def choose(
    method: str,
    pool: Pool,
    budget: Budget | str,
    *,
    seed: int = 0,
    learner: str = "probe",
    trusted: bool = True,
    beta: float | None = None,
    score: str | None = None,
    quota: str = "none",
    veto: Veto | None = None,
    spread: Spread | Mapping[str, Any] | None = None,
    sequence: int = 1,
    params: Mapping[str, Any] | None = None,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Coreset:
    """Chooses from a pool, after adding what the method needs and the pool lacks.

    Args:
        method: one of :func:`~.selectors.available`, or ``"auto"``
        beta, score: for ``elfs``, where ``params`` does not say otherwise: the β that was searched, taken where the
            budget leaves room for it, and the score that the run ranks by
        learner, trusted: see :func:`~.selectors.recommend.recommend`
        budget, quota, veto, spread, seed: see :func:`~.selectors.select`
        sequence: so many rows of a parent, one after the other, are chosen together, see
            :class:`~.selectors.sequences.Sequences`; ``spread`` then counts sequences
        params: of the method; none for ``"auto"``
    """
    advice, params = None, dict(params or {})
    check_asked(method, params, learner)
    sequences = None
    if check_sequence(sequence) > 1:
        sequences = Sequences(pool, sequence)
        pool, budget = sequences.pool, sequences.budget(budget)
    if method == AUTO:
        advice = recommended(pool, budget, learner=learner, trusted=trusted)
        method = advice.method
    if method == "elfs":
        params = {**_of_run(pool, budget, beta, score), **params}
    pool = completed(pool, method, params, veto, seed, device, part(progress, 0.0, 0.5))
    rules: dict[str, Any] = {"quota": quota, "veto": veto, "spread": spread}
    found = select(method, pool, budget, seed=seed, **rules, progress=part(progress, 0.5, 1.0), **params)
    return Coreset(method, params, found if sequences is None else sequences.expanded(found), advice)


def _of_run(pool, budget, beta, score):
    """The parameters of ``elfs`` that a run has found."""
    params = {} if score is None else {"score": score}
    free = int(pool.free.sum())
    if beta is not None and free and count_hard(beta, free) + resolve_budget(budget, free) <= free:
        params["beta"] = beta
    return params


def completed(
    pool: Pool,
    method: str,
    params: Mapping[str, Any],
    veto: Veto | None,
    seed: int,
    device: str | torch.device,
    progress: Progress,
) -> Pool:
    """The pool with what a method needs and it lacks: neighbours, and the outputs of a short training."""
    needs = {*required(method, **params), *(["neighbors"] if veto is not None else [])}
    details = available()[method]
    if pool.labels is not None and details["learns_from"] == "all":
        # Given labels may be wrong; a training says how likely each is.
        needs |= {"probabilities"} & set(details["optional"])
    if "neighbors" in needs and pool.neighbors is None and pool.embeddings is not None:
        clusters = 1 if pool.pseudo_labels is None else int(pool.pseudo_labels.max()) + 1
        k = suggest_k(len(pool), clusters)
        pool = replace(pool, neighbors=knn_graph(pool.embeddings, k, seed=seed, progress=progress))
    if needs & {"probabilities", "grand"}:
        pool = with_outputs(pool, seed=seed, device=device, progress=progress)
    return pool
