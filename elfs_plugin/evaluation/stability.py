"""How much of a coreset is chance? The proxy trained again with other seeds, the coresets laid beside each other."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from ..errors import InvalidInput
from ..plain import plain
from ..progress import part, silent
from ..proxy.train import train_proxy
from ..pruning.scores import HARD_WHEN
from ..pruning.zones import double_end, resolve_beta, resolve_budget
from ..seeds import repeats
from ..validation import shown, whole_number

MOST = 20


@dataclass(frozen=True)
class Stability:
    """S coresets of ``budget`` of N samples, which differ by the seed of the proxy alone.

    * ``overlap`` (S, S): share of the budget in common; ``overlap_mean`` and ``overlap_sd`` over the pairs of seeds
    * ``chance``: the overlap that two random choices would have, budget / N
    * ``correlation`` (S, S): Spearman's, between the scores; ``correlation_mean`` over the pairs
    * ``chosen_by`` (N,) int: how many of the seeds chose each sample
    """

    seeds: list
    budget: int
    beta: float
    score: str
    overlap: np.ndarray
    correlation: np.ndarray
    chosen_by: np.ndarray

    @property
    def chance(self):
        return self.budget / len(self.chosen_by)

    @property
    def overlap_mean(self):
        return float(_pairs(self.overlap).mean())

    @property
    def overlap_sd(self):
        return float(_pairs(self.overlap).std())

    @property
    def correlation_mean(self):
        return float(_pairs(self.correlation).mean())

    @property
    def always(self):
        """How many samples every seed chose."""
        return int((self.chosen_by == len(self.seeds)).sum())

    @property
    def sentence(self):
        return (
            f"With another seed of the proxy {self.overlap_mean:.0%} ± {self.overlap_sd:.0%} of the {self.budget:,} "
            f"images are chosen again (by chance: {self.chance:.0%}); {self.always:,} are in all {len(self.seeds)} "
            f"coresets. The scores correlate with {self.correlation_mean:.2f} (Spearman)."
        )

    def to_dict(self):
        """Plain lists and numbers; ``chosen_by`` as ``chosen_by_counts`` (S + 1,), samples by number of seeds."""
        found = {name: plain(value) for name, value in vars(self).items() if name != "chosen_by"}
        for name in ("chance", "overlap_mean", "overlap_sd", "correlation_mean", "always", "sentence"):
            found[name] = plain(getattr(self, name))
        found["chosen_by_counts"] = np.bincount(self.chosen_by, minlength=len(self.seeds) + 1).tolist()
        return found


def stability(
    inputs,
    labels,
    num_classes,
    budget,
    beta,
    *,
    seeds=3,
    hard=None,
    score="aum",
    scores=None,
    ids=None,
    config=None,
    seed=0,
    device="auto",
    progress=silent,
):
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
    found = []
    for place, own in enumerate(drawn):
        if place == 0 and scores is not None:
            found.append(np.asarray(scores, dtype=np.float64))
            continue
        here = part(progress, place / seeds, (place + 1) / seeds)
        dynamics = train_proxy(
            inputs,
            labels,
            num_classes=num_classes,
            config=config,
            seed=own,
            device=device,
            progress=lambda f, detail="", here=here, place=place: here(f, f"seed {place + 1} of {seeds}: {detail}"),
        )
        found.append(getattr(dynamics, score))
    chosen = np.zeros((seeds, n), dtype=bool)
    for row, values in zip(chosen, found):
        row[double_end(values, budget, beta, hard=hard or HARD_WHEN[score], ids=ids).coreset] = True
    overlap = np.array([[(a & b).sum() for b in chosen] for a in chosen]) / budget
    progress(1.0, f"{seeds} coresets compared")
    return Stability(drawn, budget, float(beta), score, overlap, _spearman(found), chosen.sum(axis=0))


def _spearman(scores):
    """(S, S) rank correlations; NaN beside scores that are all equal."""
    ranks = np.stack([rankdata(values) for values in scores])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(ranks)


def _pairs(matrix):
    """The values above the diagonal."""
    return matrix[np.triu_indices(len(matrix), k=1)]
