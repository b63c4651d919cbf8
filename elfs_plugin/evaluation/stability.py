"""How much of a coreset is chance? The proxy trained again with other seeds, the coresets laid beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from ..contracts import Array, Budget, Floats, Integers, Progress
from ..engine.base import GPU_SHARE, Piece
from ..engine.choose import current
from ..errors import InvalidInput
from ..plain import plain
from ..progress import part, silent
from ..proxy.train import train_proxy
from ..pruning.scores import HARD_WHEN
from ..pruning.zones import as_beta, double_end, resolve_beta, resolve_budget
from ..seeds import repeats
from ..validation import shown, whole_number

if TYPE_CHECKING:
    import torch

    from ..proxy.config import ProxyConfig


MOST = 20


@dataclass(frozen=True)
class Stability:
    """S coresets of ``budget`` of N samples, which differ by the seed of the proxy alone.

    * ``overlap`` (S, S): share of the budget in common; ``overlap_mean`` and ``overlap_sd`` over the pairs of seeds
    * ``chance``: the overlap that two random choices would have, budget / N
    * ``correlation`` (S, S): Spearman's, between the scores; ``correlation_mean`` over the pairs
    * ``chosen_by`` (N,) int: how many of the seeds chose each sample
    """

    seeds: list[int]
    budget: int
    beta: float
    score: str
    overlap: Floats
    correlation: Floats
    chosen_by: Integers

    @property
    def chance(self) -> float:
        return self.budget / len(self.chosen_by)

    @property
    def overlap_mean(self) -> float:
        return float(_pairs(self.overlap).mean())

    @property
    def overlap_sd(self) -> float:
        return float(_pairs(self.overlap).std())

    @property
    def correlation_mean(self) -> float:
        return float(_pairs(self.correlation).mean())

    @property
    def always(self) -> int:
        """How many samples every seed chose."""
        return int((self.chosen_by == len(self.seeds)).sum())

    @property
    def sentence(self) -> str:
        return (
            f"With another seed of the proxy {self.overlap_mean:.0%} ± {self.overlap_sd:.0%} of the {self.budget:,} "
            f"images are chosen again (by chance: {self.chance:.0%}); {self.always:,} are in all {len(self.seeds)} "
            f"coresets. The scores correlate with {self.correlation_mean:.2f} (Spearman)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers; ``chosen_by`` as ``chosen_by_counts`` (S + 1,), samples by number of seeds."""
        result = {name: plain(value) for name, value in vars(self).items() if name != "chosen_by"}
        for name in ("chance", "overlap_mean", "overlap_sd", "correlation_mean", "always", "sentence"):
            result[name] = plain(getattr(self, name))
        result["chosen_by_counts"] = np.bincount(self.chosen_by, minlength=len(self.seeds) + 1).tolist()
        return result


def stability(
    inputs: ArrayLike,
    labels: Sequence[int] | Integers,
    num_classes: int,
    budget: Budget | str,
    beta: float | str,
    *,
    seeds: Any = 3,
    hard: str | None = None,
    score: str = "aum",
    scores: ArrayLike | None = None,
    ids: Sequence[Any] | Array | None = None,
    config: ProxyConfig | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Stability:
    """Trains the proxy with several seeds and chooses the coreset of each with the same settings.

    Args:
        inputs: as for :func:`~..proxy.train.train_proxy`
        labels: (N,) pseudo-labels in [0, num_classes)
        budget, beta: as for :func:`~..pruning.zones.double_end`
        seeds: S, how many coresets are compared, two at least
        hard: the hard end of the score (default: :data:`~..proxy.dynamics.HARD_WHEN`)
        scores: (N,) of a proxy that has been trained already; they count as the first of the S
        ids: (N,) distinct and sortable; they break ties
        seed: decides the seeds of the others

    Returns:
        :class:`Stability`
    """
    n = len(labels)
    count = whole_number(seeds)
    if count is None or not 2 <= count <= MOST:
        raise InvalidInput(f"Stability needs 2 to {MOST} seeds, not {shown(seeds)}.", "seeds")
    seeds = count
    if score not in HARD_WHEN:
        raise InvalidInput(f"Unknown score {score!r}. Use one of: {', '.join(HARD_WHEN)}.", "score")
    if n < 2:
        raise InvalidInput(f"Stability needs two samples at least, there are {n}.")
    budget = resolve_budget(budget, n)
    resolve_beta(beta, budget, n)
    drawn = repeats(seed, seeds)
    engine = current()
    by_seed: dict[int, Floats] = {}
    first = 0 if scores is None else 1
    if scores is not None:
        by_seed[0] = np.asarray(scores, dtype=np.float64)
    where, on_images = engine.device(device), config is not None and config.on_images
    settings, shared = (num_classes, config, where, score), (engine.share(inputs), engine.share(labels))
    pieces = [Piece(scores_of, (*shared, *settings, own, (at, seeds))) for at, own in enumerate(drawn)][first:]
    trained = part(progress, first / seeds, 1.0)
    # Networks on embeddings train on one thread anyway.
    threads, gpus = None if on_images else 1, GPU_SHARE if where.type == "cuda" else 0.0
    for index, found in engine.run(pieces, trained, threads=threads, gpus=gpus):
        by_seed[first + index] = found
    scores_by_seed = [by_seed[at] for at in range(seeds)]
    chosen = np.zeros((seeds, n), dtype=bool)
    for row, values in zip(chosen, scores_by_seed):
        row[double_end(values, budget, beta, hard=hard or HARD_WHEN[score], ids=ids).coreset] = True
    overlap = np.array([[(a & b).sum() for b in chosen] for a in chosen]) / budget
    progress(1.0, f"{seeds} coresets compared")
    return Stability(drawn, budget, as_beta(beta), score, overlap, _spearman(scores_by_seed), chosen.sum(axis=0))


def scores_of(
    inputs: ArrayLike,
    labels: Sequence[int] | Integers,
    num_classes: int,
    config: ProxyConfig | None,
    device: torch.device,
    score: str,
    seed: int,
    place: tuple[int, int],
    report: Progress,
) -> Floats:
    """(N,) scores of a proxy that is trained with one seed, the ``place`` of so many (from 0)."""
    at, seeds = place
    dynamics = train_proxy(
        inputs,
        labels,
        num_classes=num_classes,
        config=config,
        seed=seed,
        device=device,
        progress=lambda f, detail="": report(f, f"seed {at + 1} of {seeds}: {detail}"),
    )
    return getattr(dynamics, score)


def _spearman(scores):
    """(S, S) rank correlations; NaN beside scores that are all equal."""
    ranks = np.stack([rankdata(values) for values in scores])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(ranks)


def _pairs(matrix):
    """The values above the diagonal."""
    return matrix[np.triu_indices(len(matrix), k=1)]
