"""What every method chooses from one pool, at several budgets: nothing is measured here."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import selectors
from ..beta_search.search import search_beta
from ..contracts import Integers, Progress
from ..errors import InvalidInput
from ..progress import part, silent
from ..proxy.train import train_proxy
from ..proxy.warm_up import with_outputs
from ..pruning.scores import HARD_WHEN

if TYPE_CHECKING:
    import torch

    from ..proxy.dynamics import Dynamics

BETA_REPEATS = 3


@dataclass(frozen=True)
class Chosen:
    """``rows[b]`` (b,) int64 in order of choice, ``seconds`` to choose for all budgets; ``betas``, for ``elfs``, the β
    that was searched for each, NaN where none could be; ``warning``, if there was one."""

    rows: list[Integers]
    seconds: float
    betas: list[float] = field(default_factory=list)
    warning: str = ""


def prepared(
    pool: selectors.Pool,
    names: Collection[str],
    seed: int,
    *,
    dynamics: Dynamics | None = None,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> selectors.Pool:
    """The pool with what these methods need beside embeddings, neighbours and pseudo-labels, made with this seed.

    ``dynamics``: of a proxy that has been trained (default: the fast one is trained where a method needs it).
    """
    details, vectors, labels = selectors.available(), pool.embeddings, pool.pseudo_labels
    needs = {need for name in names for need in selectors.required(name)}
    if "dynamics" in needs:
        if dynamics is None and vectors is not None and labels is not None:
            num_classes = max(int(labels.max()) + 1, 2)
            dynamics = train_proxy(
                vectors,
                labels,
                num_classes=num_classes,
                seed=seed,
                device=device,
                progress=part(progress, 0.0, 0.6),
            )
        pool = replace(pool, dynamics=dynamics)
    judges = [method for method in names if details[method]["learns_from"] == "all"]
    wanted = needs | {name for method in judges for name in details[method]["optional"]}
    if needs & {"probabilities", "grand"} or (pool.confidence is None and "probabilities" in wanted):
        pool = with_outputs(pool, seed=seed, device=device, progress=part(progress, 0.6, 1.0))
    return pool


def choose_at_all(
    name: str,
    pool: selectors.Pool,
    counts: Sequence[int],
    seed: int,
    *,
    params: Mapping[str, Any] | None = None,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Chosen:
    """What a method chooses at budgets that ascend, with its default parameters unless ``params`` says otherwise, and
    ``elfs`` with a searched β. A nested method is run once."""
    given = dict(params or {})
    start = time.perf_counter()
    if selectors.is_nested(name, len(pool), counts[-1], **given):
        largest = selectors.select(name, pool, counts[-1], seed=seed, progress=progress, **given)
        warning = f"{name}: {' '.join(largest.warnings)}" if largest.warnings else ""
        return Chosen([largest.indices[:count] for count in counts], time.perf_counter() - start, warning=warning)
    rows, betas = [], []
    for b, count in enumerate(counts):
        own = dict(given)
        if name == "elfs":
            betas.append(_beta(pool, count, seed, device))
            own.update({} if np.isnan(betas[-1]) else {"beta": float(betas[-1])})
        rows.append(selectors.select(name, pool, count, seed=seed, **own).indices)
        progress((b + 1) / len(counts), name)
    return Chosen(rows, time.perf_counter() - start, betas)


def _beta(pool, count, seed, device):
    """β by the search on pseudo-labels; NaN, for the published prior, where the pool is too small to search."""
    try:
        return search_beta(
            pool.embeddings,
            pool.pseudo_labels,
            pool.dynamics.aum,
            count,
            repeats=BETA_REPEATS,
            hard=HARD_WHEN["aum"],
            ids=pool.ids,
            seed=seed,
            device=device,
        ).chosen
    except InvalidInput:
        return np.nan
