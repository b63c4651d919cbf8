"""ZCore: coverage and redundancy in random planes of the embedding space (Griffin et al. 2026)."""

from ..base import Cost, Parameter, Ranked
from ..engines.zcore.scores import DRAWS_PER_SAMPLE, EXPONENT, NEIGHBORS, TARGET, zcore_scores


class ZCore(Ranked):
    """Keeps the highest scores of :func:`~..engines.zcore.scores.zcore_scores`."""

    name = "zcore"
    listed = 160
    purpose = "Images that cover the embedding space and repeat others least, without labels or training."
    paper = "Griffin et al., Zero-Shot Coreset Selection via Iterative Subspace Sampling, WACV 2026 (arXiv 2411.15349)"
    direction = "coverage"
    needs = ("embeddings",)
    cost = Cost(200_000, ("samples",))
    keeps = "high"
    parameters = (
        Parameter("draws", "number", DRAWS_PER_SAMPLE, "The limit of random draws, for each sample.", 1, 10000),
        Parameter("target", "number", TARGET, "Stops when two half-runs rank alike by this correlation.", 0.01, 1),
        Parameter("neighbors", "integer", NEIGHBORS, "How many neighbours share a draw's penalty.", 1, 100000),
        Parameter("exponent", "number", EXPONENT, "Of the distance in the neighbours' weights.", 0, 64),
        Parameter("random_init", "flag", False, "Adds a random number below 1 to each score, as the authors do."),
    )

    def choose(self, pool, budget, seed, candidates, progress):
        wanted = self.settings
        result = zcore_scores(
            pool.embeddings,
            max_draws=min(max(round(wanted.draws * len(pool)), 10_000), (1 << 28) - 1),
            target=wanted.target,
            neighbors=wanted.neighbors,
            exponent=wanted.exponent,
            random_init=wanted.random_init,
            seed=seed,
            progress=progress,
        )
        said = {"warnings": result.warnings} if result.warnings else {"notes": [str(result.history[-1])]}
        return self.best(pool, result.scores, budget, seed, candidates, **said)
