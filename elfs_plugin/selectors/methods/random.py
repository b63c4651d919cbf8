"""Random: the baseline that every accuracy stands beside."""

from ...seeds import Stream, rng
from ..base import Ranked


class Random(Ranked):
    """The lowest of uniform random keys, one for each id: the choices of one seed contain each other."""

    name = "random"
    listed = 20
    purpose = "Uniform random sample; the baseline for everything else."
    direction = "random"
    keeps = "low"

    def score(self, pool, seed, progress):
        return rng(seed, Stream.RANDOM).random(len(pool))

    def reasons(self, pool, scores, candidates):
        return lambda i, place: "not drawn" if place is None else "drawn at random"
