"""A part of a large pool that a costly method looks at in its place."""

import numpy as np

from ..contracts import Integers
from .candidates import Candidates
from .pool import Pool

MOST = 50_000


def bounded_rows(
    pool: Pool, candidates: Candidates, budget: int, rng: np.random.Generator, most: int = MOST
) -> Integers:
    """Ascending rows of the pool: all that are not excluded, or, where they are more than ``most`` and twice the
    budget, as many drawn at random, the locked ones too.

    Among them the whole budget can be chosen by any method that takes open ones one by one: those of a random choice
    under the same rules are among them, and each choice closes no more than one of these.
    """
    counted = np.flatnonzero(~pool.excluded)
    most = max(most, 2 * budget + int(pool.locked.sum()))
    if len(counted) <= most:
        return counted
    order = rng.permutation(counted)
    kept = np.zeros(len(pool), dtype=bool)
    # As many for every budget, so that what a larger one begins with stays the same.
    kept[candidates.walk(order, most // 2)] = True
    kept[pool.locked] = True
    rest = order[~kept[order]]
    kept[rest[: max(most - int(kept.sum()), 0)]] = True
    candidates.only(kept)
    return np.flatnonzero(kept)


def is_whole(samples: int, budget: int) -> bool:
    """Whether :func:`bounded_rows` of so many samples are the same for this budget and all smaller ones."""
    return samples <= MOST or 2 * budget <= MOST


def bounded_note(pool: Pool, rows: Integers) -> tuple[str, ...]:
    """What the user is told of :func:`bounded_rows`."""
    counted = int((~pool.excluded).sum())
    if len(rows) == counted:
        return ()
    return (f"Chosen among {len(rows):,} of the {counted:,} images, drawn at random: all would take too long.",)
