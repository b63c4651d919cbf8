"""Prune4ReL: the subset whose neighbourhoods let a re-labelling learner mend most labels (Park et al. 2023)."""

import numpy as np

from ...errors import InvalidInput
from ...seeds import Stream, rng
from ..base import Choice, Cost, Parameter, Selector
from ..engines.lazy_greedy import lazy_greedy
from ..geometry import prepare
from .uncertainty import uncertainty


class Prune4ReL(Selector):
    """Maximises the sum over i of tanh(K_i(S) / η), where K_i(S) is the neighbourhood confidence of sample i: the sum
    over the chosen and locked j with similarity sim_ij = 0.5 + 0.5 cos > τ of sim_ij conf_j.

    Greedy as published: each choice is the sample whose own gain tanh((K_i + conf_i) / η) - tanh(K_i / η) is highest.
    The gain only falls while others are chosen, which allows lazy evaluation. It is compared by its logarithm,
    log sinh(c) - log cosh(a) - log cosh(a + c) with a = K_i / η and c = conf_i / η, which does not saturate; ties are
    broken at random by the seed. The authors take the classes in turn; ``balance`` gives every class the same share.

    ``gain="all"`` is the greedy choice for the maximised sum itself: what a choice adds to all samples i, among the
    neighbours of the graph (:mod:`~..engines.neighborhood_greedy`). The published one looks at the chosen sample alone.

    conf is the highest probability of a warm-up classifier (:func:`~...proxy.warm_up.with_outputs`), or without labels
    the clustering's confidence; ``measure="given"`` is the probability of the given label. Scores: the gain, its
    logarithm where it is the sample's own, as far as it was brought up to date; an upper bound for the others.
    """

    name = "prune4rel"
    listed = 150
    purpose = "For labels that may be wrong: confident images spread so that a re-labelling learner can mend the rest."
    paper = "Park et al., Robust Data Pruning under Label Noise, NeurIPS 2023 (arXiv 2311.01002)"
    direction = "coverage"
    needs = ("embeddings",)
    optional = ("probabilities", "confidence", "labels", "pseudo_labels")
    cost = Cost(2e13, ("samples", "budget", "dimensions"))
    quota_by = ("labels", "pseudo_labels")
    parameters = (
        Parameter(
            "tau",
            "number",
            0.975,
            "τ, the similarity 0.5 + 0.5 cos above which samples are neighbours. "
            "Published: 0.975 (CIFAR-10N), 0.95 (CIFAR-100N, WebVision), 0.8 (Clothing1M).",
            0.0,
            1.0,
        ),
        Parameter("eta", "number", 1.0, "η, how much confidence fills a neighbourhood. Published: 1.", 1e-6, 1e6),
        Parameter(
            "gain",
            "choice",
            "own",
            "What a choice must add most to: its own neighbourhood (published), or all "
            "neighbourhoods together, which is the published objective.",
            choices=("own", "all"),
        ),
        Parameter(
            "measure",
            "choice",
            "max",
            "Confidence: the highest probability (published), its lead over the "
            "second, 1 - entropy / log C, or the probability of the given label.",
            choices=("max", "margin", "entropy", "given"),
        ),
        Parameter(
            "balance",
            "flag",
            True,
            "The same share for every class, or pseudo-label, unless another quota is asked for. Published: on.",
        ),
    )

    def quota(self, quota):
        return "equal" if quota == "none" and self.settings.balance else quota

    def required(self):
        graph = ("neighbors",) if self.settings.gain == "all" else ()
        outputs = ("probabilities",) if self.settings.measure == "given" else ()
        return (*self.needs, *graph, *outputs)

    def choose(self, pool, budget, seed, candidates, progress):
        confidence = self._confidence(pool)
        keys = rng(seed, Stream.PRUNE4REL).permutation(len(pool))
        choose = self._by_all if self.settings.gain == "all" else self._by_own
        indices, values = choose(pool, budget, confidence, candidates, keys, progress)

        def reason(i, place):
            if place is None:
                return f"not chosen: confidence {confidence[i]:.3f}; others gain more"
            where = "its neighbourhood had least" if self.settings.gain == "own" else "its neighbours had little"
            return f"number {place + 1:,}: confidence {confidence[i]:.3f} where {where}"

        return Choice(indices, values, reason)

    def _by_all(self, pool, budget, confidence, candidates, keys, progress):
        from ..engines.neighborhood_greedy import greedy, neighborhoods

        links = neighborhoods(pool.neighbors, self.settings.tau)
        return greedy(
            links,
            confidence,
            self.settings.eta,
            budget,
            candidates,
            keys=keys,
            chosen=np.flatnonzero(pool.locked),
            progress=progress,
        )

    def _by_own(self, pool, budget, confidence, candidates, keys, progress):
        eta, tau = self.settings.eta, self.settings.tau
        vectors = prepare(pool.embeddings, "cosine")
        filled = np.zeros(len(pool))
        values = log_gain(filled, confidence / eta)

        def update(rows, products, picks):
            similarities = 0.5 + 0.5 * products
            near = np.where(similarities > tau, similarities, 0.0)
            filled[rows] += near @ confidence[picks]
            values[rows] = log_gain(filled[rows] / eta, confidence[rows] / eta)

        indices = lazy_greedy(
            vectors,
            values,
            update,
            budget,
            candidates,
            keys=keys,
            chosen=np.flatnonzero(pool.locked),
            progress=progress,
        )

        return indices, values

    def _confidence(self, pool):
        if self.settings.measure == "given":
            return self._of_given(pool)
        if pool.probabilities is not None:
            if self.settings.measure == "max":
                return pool.probabilities.max(axis=1).astype(np.float64)
            unsure = uncertainty(pool.probabilities, self.settings.measure)
            if self.settings.measure == "entropy":
                unsure = unsure / np.log(max(pool.probabilities.shape[1], 2))
            return (1.0 - unsure).clip(0.0, 1.0)
        if pool.confidence is not None:
            return np.asarray(pool.confidence, dtype=np.float64)
        raise InvalidInput(
            "prune4rel needs probabilities or confidence; warm_up.with_outputs computes the former, the operator "
            "compute_pseudo_labels provides the latter.",
            "method",
        )

    def _of_given(self, pool):
        labels = pool.labels if pool.labels is not None else pool.pseudo_labels
        if labels is None:
            raise InvalidInput("The probability of the given label needs labels, or pseudo-labels.", "measure")
        if labels.max() >= pool.probabilities.shape[1]:
            raise InvalidInput(
                f"There are labels up to {labels.max()}, but probabilities of {pool.probabilities.shape[1]} classes."
            )
        return pool.probabilities[np.arange(len(pool)), labels].astype(np.float64)


def log_gain(a, c):
    """log(tanh(a + c) - tanh(a)) for a, c >= 0, exact where both are 1 to the last bit; the lowest number for c = 0."""
    # c - a - (a + c) = -2a is taken out of the three logarithms, so that no large numbers cancel.
    with np.errstate(divide="ignore"):
        own = np.where(c > 0.35, np.log1p(-np.exp(-2.0 * c)), np.log(-np.expm1(-2.0 * c)))
    rest = np.log(2.0) - np.log1p(np.exp(-2.0 * a)) - 2.0 * a
    return np.maximum(own - np.log1p(np.exp(-2.0 * (a + c))) + rest, np.finfo(np.float64).min)
