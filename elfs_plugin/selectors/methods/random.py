"""Random: the baseline that every accuracy stands beside."""

from ...contracts import Floats, Progress
from ...seeds import Stream, rng
from ..base import Ranked, Reason
from ..candidates import Candidates
from ..pool import Pool


class Random(Ranked):
    """The lowest of uniform random keys, one for each id: the choices of one seed contain each other."""

    name = "random"
    listed = 20
    purpose = "Uniform random sample; the baseline for everything else."
    direction = "random"
    keeps = "low"

    def score(self, pool: Pool, seed: int, progress: Progress) -> Floats:
        return rng(seed, Stream.RANDOM).random(len(pool))

    def reasons(self, pool: Pool, scores: Floats, candidates: Candidates) -> Reason:
        return lambda i, place: "not drawn" if place is None else "drawn at random"
