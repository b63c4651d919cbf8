"""The random draws of ZCore: how many fall on each pair of dimensions, and where each of them falls.

Which pair a draw takes is independent of where it falls in it, so the draws of a pair can be made together: their
number comes from a multinomial distribution, their places from a stream of the pair's own. Nothing has to be stored,
and the same seed gives the same draws whoever makes them, in whatever order.
"""

from dataclasses import dataclass

import numba
import numpy as np

from ....seeds import Stream, rng

# What is compiled is kept on disk under the name of its module, and that name must be importable when it is read. The
# App loads plugins under a name of its own making, which is not: there everything is compiled once a process.
compiled = numba.njit(nogil=True, cache=__package__.split(".")[0] == "elfs_plugin")

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53


@dataclass(frozen=True)
class Plan:
    """Draws of two independent halves. ``counts`` (2, P) int32 of each half on each pair, ``keys`` (2,) uint64.

    The P = D (D - 1) / 2 pairs a < b are numbered row by row: (0, 1), (0, 2), ... (1, 2), ...; see :func:`pair_number`.
    """

    counts: np.ndarray
    keys: np.ndarray

    @property
    def draws(self):
        return int(self.counts.sum(dtype=np.int64))


def plan(dimensions, draws, *, seed=0, stream=0):
    """``draws`` draws over the pairs of ``dimensions`` >= 2 dimensions, as two halves (the first has the odd one)."""
    pairs = dimensions * (dimensions - 1) // 2
    counts, keys = [], []
    for half in (0, 1):
        numbers = rng(seed, Stream.ZCORE, stream, half)
        keys.append(numbers.integers(1 << 63, dtype=np.uint64))
        counts.append(numbers.multinomial((draws + 1 - half) // 2, np.full(pairs, 1 / pairs)))
    return Plan(np.array(counts, dtype=np.int32), np.array(keys, dtype=np.uint64))


@compiled
def pair_number(a, b, dimensions):
    """The number of the pair a < b."""
    return a * dimensions - a * (a + 1) // 2 + b - a - 1


@compiled
def _mixed(z):
    # The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a counter in, 64 well-mixed bits out.
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@compiled
def pair_key(key, pair):
    """The stream of one pair within a half."""
    return _mixed(key ^ _mixed((np.uint64(pair) + np.uint64(1)) * _GOLDEN))


@compiled
def uniform(key, counter):
    """Number ``counter`` of a stream, in [0, 1)."""
    return (_mixed(key + (np.uint64(counter) + np.uint64(1)) * _GOLDEN) >> np.uint64(11)) * _UNIT


@compiled
def triangular(u, low, mode, high):
    """The value below which a share ``u`` of the triangular distribution lies; ``low`` itself when it has no width."""
    width = high - low
    if width <= 0:
        return low
    if u * width < mode - low:
        return low + np.sqrt(u * width * (mode - low))
    return high - np.sqrt((1 - u) * width * (high - mode))


@compiled
def place(key, draw, low_a, mode_a, high_a, low_b, mode_b, high_b):
    """Where draw number ``draw`` of a pair's stream falls: its coordinates in both dimensions."""
    u, v = uniform(key, 2 * draw), uniform(key, 2 * draw + 1)
    return triangular(u, low_a, mode_a, high_a), triangular(v, low_b, mode_b, high_b)


def listed(plan, low, mode, high):
    """Every draw of a plan, for looking at small ones: half (T,), dimensions (T, 2), places (T, 2) float64.

    Args:
        low, mode, high: (D,) float64, the triangular distribution of each dimension
    """
    halves, dimensions, places = [], [], []
    first, second = np.triu_indices(len(low), 1)
    for half in (0, 1):
        for pair in np.flatnonzero(plan.counts[half]):
            a, b = first[pair], second[pair]
            key = np.uint64(pair_key(plan.keys[half], pair))
            for draw in range(plan.counts[half, pair]):
                halves.append(half)
                dimensions.append((a, b))
                places.append(place(key, draw, low[a], mode[a], high[a], low[b], mode[b], high[b]))
    return np.array(halves), np.array(dimensions).reshape(-1, 2), np.array(places, dtype=np.float64).reshape(-1, 2)
