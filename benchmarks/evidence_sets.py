"""The data of the evidence: pools to choose from, with held-out samples, and what makes them harder."""

from dataclasses import dataclass, replace

import numpy as np

from .common import Data

NOISE = -1
"""The class of what belongs to none: whoever is given it to label can only throw it away."""
IMBALANCE = 100
DUPLICATES, UNRELATED = 0.3, 0.05
SMALL = 10_000
"""Samples from which the harder versions of a large set are made."""
_HELD_OUT = 0.2
_MOST_HELD_OUT = 5000


@dataclass(frozen=True)
class Case:
    """``vectors`` (N, D) and ``truth`` (N,) of the pool, and ``held_out`` (vectors, truth) to be tested on."""

    name: str
    vectors: np.ndarray
    truth: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray]

    @property
    def classes(self):
        return int(self.held_out[1].max()) + 1


def plain(data: Data, seed=0):
    """A fifth of each class held out, of which at most 5,000 are tested on."""
    unit = _unit(data.vectors)
    rng = np.random.default_rng(seed)
    test = np.concatenate(
        [
            rng.permutation(np.flatnonzero(data.truth == c))[: round(_HELD_OUT * np.sum(data.truth == c))]
            for c in range(int(data.truth.max()) + 1)
        ]
    )
    pool = np.setdiff1d(np.arange(len(unit)), test)
    test = np.sort(rng.permutation(test)[:_MOST_HELD_OUT])
    return Case(data.name, unit[pool], data.truth[pool], (unit[test], data.truth[test]))


def small(case: Case, seed=0):
    """At most 10,000 samples of the pool."""
    if len(case.vectors) <= SMALL:
        return case
    return _of(case, np.sort(np.random.default_rng(seed).choice(len(case.vectors), SMALL, replace=False)))


def long_tailed(case: Case, seed=0):
    """The last class has 1/100 of the samples of the first, those between fall geometrically."""
    rng = np.random.default_rng(seed)
    counts = np.bincount(case.truth)
    share = IMBALANCE ** -np.linspace(0, 1, len(counts))
    rows = [
        rng.permutation(np.flatnonzero(case.truth == c))[: max(round(share[c] * counts[c]), 1)]
        for c in range(len(counts))
    ]
    return replace(_of(case, np.sort(np.concatenate(rows))), name=f"{case.name}, long tail")


def with_duplicates(case: Case, seed=0):
    """30% of the pool are near-copies (cosine about 0.99) of others, and some others have many."""
    rng = np.random.default_rng(seed)
    n, d = case.vectors.shape
    copies = round(n * DUPLICATES / (1 - DUPLICATES))
    # As where videos or bursts were taken: few originals have most of the copies.
    originals = rng.permutation(n)[: max(n // 20, 1)]
    weights = 1 / np.arange(1, len(originals) + 1)
    of = rng.choice(originals, copies, p=weights / weights.sum())
    noise = rng.normal(size=(copies, d)).astype(np.float32)
    noise *= 0.14 / np.linalg.norm(noise, axis=1, keepdims=True)
    vectors = np.concatenate([case.vectors, _unit(case.vectors[of] + noise)])
    return _shuffled(
        replace(
            case,
            name=f"{case.name}, 30% near-duplicates",
            vectors=vectors,
            truth=np.concatenate([case.truth, case.truth[of]]),
        ),
        rng,
    )


def with_noise(case: Case, seed=0):
    """5% of the pool belong to no class: each of their numbers is that of another sample."""
    rng = np.random.default_rng(seed)
    n, d = case.vectors.shape
    count = round(n * UNRELATED / (1 - UNRELATED))
    rows = rng.integers(n, size=(count, d))
    vectors = np.concatenate([case.vectors, _unit(case.vectors[rows, np.arange(d)])])
    truth = np.concatenate([case.truth, np.full(count, NOISE, dtype=case.truth.dtype)])
    return _shuffled(replace(case, name=f"{case.name}, 5% unrelated", vectors=vectors, truth=truth), rng)


VERSIONS = {
    "plain": plain,
    "long-tail": lambda data: long_tailed(plain(data)),
    "duplicates": lambda data: with_duplicates(small(plain(data))),
    "unrelated": lambda data: with_noise(small(plain(data))),
}


def _of(case, rows):
    return replace(case, vectors=case.vectors[rows], truth=case.truth[rows])


def _shuffled(case, rng):
    return _of(case, rng.permutation(len(case.vectors)))


def _unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
