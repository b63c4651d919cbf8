"""What differs between coresets: overlap, coverage, balance, near-duplicates, and what a probe learns from each.

Nothing here reads a true label. Every number stands beside Random's of the same size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import as_array, as_matrix
from ..contracts import Array, Floats, Integers, Progress, Vectors
from ..errors import InvalidInput
from ..neighbors.graph import knn_graph
from ..neighbors.vectors import normalize
from ..order import Order
from ..plain import plain
from ..progress import part, silent
from ..providers import how_to_get
from ..seeds import Stream, rng
from ..validation import derived_seed
from .limits import check_number
from .probe import beside_random, check_probe

if TYPE_CHECKING:
    import torch

    from ..neighbors.neighbor_graph import NeighborGraph
    from ..selectors import Pool, Selection


DUPLICATE_QUANTILE = 0.95
GRAPH_K = 10
QUERY_ROWS = 8192

COVERAGE_COST = 4e12
"""Above this many multiplications coverage is measured on a random sample of the pool. They take about 85 processor
seconds."""

LEAST_QUERIES = 1000
FEWEST_FOR_A_VERDICT = 3


@dataclass(frozen=True)
class Comparison:
    """S coresets of one pool of N samples in C clusters; ``names`` (S,) in the order in which they were given.

    * ``sizes`` (S,); ``overlap`` (S, S) samples in common; ``overlap_share`` (S, S) the share of the row's coreset that
      is also in the column's; ``chance`` (S,) what that share would be for a random row: size / N
    * ``coverage`` (S, 3) cosine distance from the pool's samples to the nearest chosen one: mean, 95th percentile,
      largest; ``coverage_random`` (S, seeds, 3); ``coverage_queries`` of how many samples of the pool (all, unless
      that would take long)
    * ``cluster_counts`` (S, C) and ``pool_counts`` (C,); ``imbalance`` (S,) total variation distance, half the sum of
      |share in the coreset - share in the pool|, in [0, 1]; ``imbalance_random`` (S, seeds)
    * ``near_duplicates`` (S,) pairs within a coreset that are at least as similar as ``duplicate_similarity``, a
      quantile of the similarities of the pool's samples to their nearest neighbours; of each sample its k nearest are
      looked at; ``near_duplicates_random`` (S, seeds)
    * ``accuracy`` (S, seeds) on held-out pseudo-labels of an MLP trained on the coreset without the held-out tenth,
      ``accuracy_random`` (S, seeds) on as many random samples of the rest; NaN where nothing of it was left to train on
    """

    names: list[str]
    size_of_pool: int
    sizes: Integers
    overlap: Integers
    overlap_share: Floats
    chance: Floats
    coverage: Floats
    coverage_random: Floats
    coverage_queries: int
    pool_counts: Integers
    cluster_counts: Integers
    imbalance: Floats
    imbalance_random: Floats
    near_duplicates: Integers
    near_duplicates_random: Integers
    duplicate_similarity: float
    accuracy: Floats
    accuracy_random: Floats

    @property
    def sentences(self) -> list[str]:
        """One for each coreset: its probe beside Random's."""
        return [_sentence(*row) for row in zip(self.names, self.sizes, self.accuracy, self.accuracy_random)]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers; NaN as None. Means and standard deviations (over the seeds) beside the values."""
        result = {name: plain(value) for name, value in vars(self).items()}
        for name in ("coverage_random", "imbalance_random", "near_duplicates_random", "accuracy", "accuracy_random"):
            values = getattr(self, name)
            result[f"{name}_mean"] = plain(_over_seeds(np.mean, values))
            result[f"{name}_sd"] = plain(_over_seeds(np.std, values))
        result["sentences"] = self.sentences
        return result


def compare(
    selections: Mapping[str, Selection | ArrayLike],
    pool: Pool,
    *,
    seeds: int = 5,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Comparison:
    """Compares two to ten coresets of one pool, see :func:`compare_arrays`.

    Args:
        selections: name -> :class:`~..selectors.Selection`, or (b,) indices into the pool
        pool: :class:`~..selectors.Pool` with embeddings and pseudo-labels; its neighbours are used when it has them

    Returns:
        :class:`Comparison`
    """
    if pool.embeddings is None or pool.pseudo_labels is None:
        need = "embeddings" if pool.embeddings is None else "pseudo_labels"
        raise InvalidInput(f"A comparison needs {need}; {how_to_get(need)}.", "members")
    rows: dict[str, Any] = {name: getattr(selection, "indices", selection) for name, selection in selections.items()}
    return compare_arrays(
        rows,
        pool.embeddings,
        pool.pseudo_labels,
        ids=pool.ids,
        neighbors=pool.neighbors,
        seeds=seeds,
        seed=seed,
        device=device,
        progress=progress,
    )


def compare_arrays(
    selections: Mapping[str, ArrayLike],
    embeddings: ArrayLike,
    pseudo_labels: ArrayLike,
    *,
    ids: Sequence[Any] | Array | None = None,
    neighbors: NeighborGraph | None = None,
    seeds: int = 5,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Comparison:
    """Compares two to ten coresets of one pool.

    Args:
        selections: name -> (b,) distinct indices into the pool
        embeddings: (N, D) finite
        pseudo_labels: (N,) int clusters from 0
        ids: (N,) distinct and sortable; they take the place of positions in everything random
        neighbors: a :class:`~..neighbors.graph.NeighborGraph` of the pool (default: one with 10 neighbours is made)
        seeds: held-out splits, and random subsets of each size

    Returns:
        :class:`Comparison`

    Raises:
        InvalidInput: for fewer than two or more than ten selections, an empty one, indices that are not in the pool,
            a pool of fewer than 20 samples or of one cluster

    Memory beside the inputs: a normalised copy, the graph and O(N). Coverage takes N b D operations for each selection
    and each of its random subsets; above :data:`COVERAGE_COST` it is measured on a random sample of the pool.
    """
    embeddings, seed = as_matrix(embeddings, "The embeddings", "embeddings"), derived_seed(seed)
    labels = as_array(pseudo_labels, "The pseudo-labels", "pseudo_labels")
    n = np.size(labels)
    if len(embeddings) != n:
        raise InvalidInput(f"There are {len(embeddings):,} embeddings and {n:,} pseudo-labels; they must be as many.")
    check_probe(labels, seeds, "A comparison")
    names, chosen = _checked(selections, n)
    order = Order(n, ids)
    drawn = [order.rows[rng(seed, Stream.RANDOM_SETS, s).permutation(n)] for s in range(seeds)]
    sizes = np.array([len(rows) for rows in chosen])
    overlap = np.array([[len(np.intersect1d(a, b, assume_unique=True)) for b in chosen] for a in chosen])
    pool_counts, counts, imbalance, imbalance_random = _balance(chosen, drawn, labels)
    coverage, coverage_random, queries = _coverage(chosen, drawn, embeddings, order, seed, part(progress, 0.0, 0.35))
    if neighbors is None:
        neighbors = knn_graph(embeddings, GRAPH_K, seed=seed, progress=part(progress, 0.35, 0.6))
    similarity = float(np.quantile(neighbors.similarities[:, 0], DUPLICATE_QUANTILE))
    near = np.array([near_duplicate_pairs(rows, neighbors, similarity) for rows in chosen])
    by_size = {size: [near_duplicate_pairs(d[:size], neighbors, similarity) for d in drawn] for size in set(sizes)}
    accuracy, accuracy_random = beside_random(
        chosen,
        embeddings,
        labels,
        repeats=seeds,
        ids=ids,
        seed=seed,
        device=device,
        progress=part(progress, 0.6, 1.0),
    )
    return Comparison(
        names=names,
        size_of_pool=n,
        sizes=sizes,
        overlap=overlap,
        overlap_share=overlap / sizes[:, None],
        chance=sizes / n,
        coverage=coverage,
        coverage_random=coverage_random,
        coverage_queries=queries,
        pool_counts=pool_counts,
        cluster_counts=counts,
        imbalance=imbalance,
        imbalance_random=imbalance_random,
        near_duplicates=near,
        near_duplicates_random=np.array([by_size[size] for size in sizes]),
        duplicate_similarity=similarity,
        accuracy=accuracy,
        accuracy_random=accuracy_random,
    )


def _checked(selections, n):
    """Names and sorted indices, or :class:`InvalidInput`."""
    check_number(len(selections))
    chosen = []
    for name, indices in selections.items():
        indices = np.asarray(indices)
        if indices.size == 0:
            raise InvalidInput(f"The coreset '{name}' is empty. Leave it out, or choose another one.", "members")
        if indices.ndim != 1 or indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= n:
            raise InvalidInput(f"The coreset '{name}' must be indices from 0 to {n - 1:,} in one row.", "members")
        rows = np.unique(indices).astype(np.int64)
        if len(rows) != len(indices):
            raise InvalidInput(f"The coreset '{name}' holds a sample more than once.", "members")
        chosen.append(rows)
    return [str(name) for name in selections], chosen


def _balance(chosen, drawn, labels):
    num_clusters = int(labels.max()) + 1
    pool = np.bincount(labels, minlength=num_clusters)
    counts = np.stack([np.bincount(labels[rows], minlength=num_clusters) for rows in chosen])
    random = np.array([[imbalance(d[: len(rows)], labels) for d in drawn] for rows in chosen])
    return pool, counts, np.array([imbalance(rows, labels) for rows in chosen]), random


def imbalance(rows: Integers, labels: Integers) -> float:
    """Total variation distance, in [0, 1], between the clusters' shares in ``rows`` (b,) and in all ``labels`` (N,)."""
    num_clusters = int(labels.max()) + 1
    inside, overall = (np.bincount(values, minlength=num_clusters) / len(values) for values in (labels[rows], labels))
    return float(np.abs(inside - overall).sum() / 2)


def _coverage(chosen, drawn, embeddings, order, seed, progress):
    """(S, 3), (S, seeds, 3) and the number of samples that were asked for their nearest chosen one."""
    sets = list(chosen)
    place = {}
    for size in sorted({len(rows) for rows in chosen}):
        place[size] = len(sets)
        sets.extend(d[:size] for d in drawn)
    distances, queries = coverage(sets, embeddings, order, seed, progress)
    random = [distances[place[len(rows)] : place[len(rows)] + len(drawn)] for rows in chosen]
    return distances[: len(chosen)], np.array(random), queries


def coverage(
    sets: Sequence[Integers], embeddings: Vectors, order: Order, seed: int, progress: Progress = silent
) -> tuple[Floats, int]:
    """((S, 3) mean, 95th percentile and largest cosine distance from the pool's samples to the nearest of each set, the
    number of samples asked); more than :data:`COVERAGE_COST` allows are replaced by a random sample of them.

    Args:
        sets: S times (b,) rows
        order: the :class:`~..order.Order` of the pool
    """
    n, dimensions = np.shape(embeddings)
    total = sum(len(rows) for rows in sets)
    queries = int(min(n, max(LEAST_QUERIES, COVERAGE_COST / (total * (75 + dimensions)))))
    asked = order.rows
    if queries < n:
        asked = asked[np.sort(rng(seed, Stream.COVERAGE_ROWS).choice(n, queries, replace=False))]
    unit = normalize(np.asarray(embeddings)[asked])
    distances, done = [], 0
    for rows in sets:
        start, end = done / total, (done + len(rows)) / total
        distances.append(_distances(unit, normalize(np.asarray(embeddings)[rows]), part(progress, start, end)))
        done += len(rows)
    return np.array(distances), queries


def _distances(queries, base, progress):
    """Mean, 95th percentile and largest cosine distance from unit vectors to the nearest row of ``base``."""
    import faiss

    nearest = np.empty(len(queries), dtype=np.float32)
    for start in range(0, len(queries), QUERY_ROWS):
        block = queries[start : start + QUERY_ROWS]
        nearest[start : start + len(block)] = faiss.knn(block, base, 1, metric=faiss.METRIC_INNER_PRODUCT)[0][:, 0]
        progress((start + len(block)) / len(queries), "measuring the coverage")
    distances = (1.0 - nearest.astype(np.float64)).clip(0.0, 2.0)
    return [distances.mean(), np.quantile(distances, 0.95), distances.max()]


def near_duplicate_pairs(rows: Integers, graph: NeighborGraph, similarity: float) -> int:
    """Pairs of ``rows`` (b,) that are neighbours in ``graph`` with at least that ``similarity``."""
    member = np.zeros(len(graph.indices), dtype=bool)
    member[rows] = True
    near = graph.indices[rows]
    at, column = np.nonzero((graph.similarities[rows] >= similarity) & member[near])
    ends = np.stack([np.asarray(rows)[at], near[at, column]], axis=1)
    return len(np.unique(np.sort(ends, axis=1), axis=0))


def _over_seeds(function, values):
    """``function`` over the seeds, without those that gave no value; NaN when none did."""
    moved = np.moveaxis(np.asarray(values, dtype=np.float64), 1, 0)
    valid = np.asarray(~np.isnan(moved).reshape(len(moved), moved.shape[1], -1).any(axis=2))
    rows = [
        function(moved[ok, s], axis=0) if (ok := valid[:, s]).any() else np.nan * moved[0, s]
        for s in range(moved.shape[1])
    ]
    return np.array(rows)


def _sentence(name, size, accuracy, random):
    valid = ~np.isnan(accuracy)
    if not valid.any():
        return f"{name}: nothing of its {size:,} images was left to train on; no accuracy."
    accuracy, random = accuracy[valid], random[valid]
    text = (
        f"{name}: {accuracy.mean():.1%} ± {accuracy.std():.1%} of held-out pseudo-labels, "
        f"{verdict(accuracy - random)} Random of the same size ({random.mean():.1%} ± {random.std():.1%}, "
        f"{len(accuracy)} seed(s))."
    )
    return text if valid.all() else f"{text} {(~valid).sum()} split(s) left nothing to train on."


def verdict(differences: Floats) -> str:
    """Words for (seeds,) paired differences; none is given on fewer than three, or within one standard deviation."""
    if len(differences) < FEWEST_FOR_A_VERDICT:
        return "beside"
    if abs(differences.mean()) <= differences.std() or not differences.any():
        return "no different from"
    return "better than" if differences.mean() > 0 else "worse than"
