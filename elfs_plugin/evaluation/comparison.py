"""What differs between coresets: overlap, coverage, balance, near-duplicates, and what a probe learns from each.

Nothing here reads a true label. Every number stands beside Random's of the same size.
"""

from dataclasses import dataclass

import numpy as np

from ..arrays import as_array, as_matrix
from ..errors import InvalidInput
from ..neighbors.graph import knn_graph
from ..neighbors.vectors import normalize
from ..plain import plain
from ..progress import part, silent
from ..seeds import Stream, derived, rng
from ..validation import derived_seed
from .probe import Task, accuracies, check_probe, split
from .stability import Stability, stability

__all__ = ["Comparison", "Stability", "compare", "stability"]

MOST = 10
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

    names: list
    size_of_pool: int
    sizes: np.ndarray
    overlap: np.ndarray
    overlap_share: np.ndarray
    chance: np.ndarray
    coverage: np.ndarray
    coverage_random: np.ndarray
    coverage_queries: int
    pool_counts: np.ndarray
    cluster_counts: np.ndarray
    imbalance: np.ndarray
    imbalance_random: np.ndarray
    near_duplicates: np.ndarray
    near_duplicates_random: np.ndarray
    duplicate_similarity: float
    accuracy: np.ndarray
    accuracy_random: np.ndarray

    @property
    def sentences(self):
        """One for each coreset: its probe beside Random's."""
        return [_sentence(*row) for row in zip(self.names, self.sizes, self.accuracy, self.accuracy_random)]

    def to_dict(self):
        """Plain lists and numbers; NaN as None. Means and standard deviations (over the seeds) beside the values."""
        found = {name: plain(value) for name, value in vars(self).items()}
        for name in ("coverage_random", "imbalance_random", "near_duplicates_random", "accuracy", "accuracy_random"):
            values = getattr(self, name)
            found[f"{name}_mean"] = plain(_over_seeds(np.mean, values))
            found[f"{name}_sd"] = plain(_over_seeds(np.std, values))
        found["sentences"] = self.sentences
        return found


def compare(
    selections, embeddings, pseudo_labels, *, ids=None, neighbors=None, seeds=5, seed=0, device="auto", progress=silent
):
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
    order = np.arange(n) if ids is None else np.argsort(np.asarray(ids), kind="stable")
    drawn = [order[rng(seed, Stream.RANDOM_SETS, s).permutation(n)] for s in range(seeds)]
    sizes = np.array([len(rows) for rows in chosen])
    overlap = np.array([[len(np.intersect1d(a, b, assume_unique=True)) for b in chosen] for a in chosen])
    pool_counts, counts, imbalance, imbalance_random = _balance(chosen, drawn, labels)
    coverage, coverage_random, queries = _coverage(chosen, drawn, embeddings, order, seed, part(progress, 0.0, 0.35))
    if neighbors is None:
        neighbors = knn_graph(embeddings, GRAPH_K, seed=seed, progress=part(progress, 0.35, 0.6))
    similarity = float(np.quantile(neighbors.similarities[:, 0], DUPLICATE_QUANTILE))
    near = np.array([near_duplicate_pairs(rows, neighbors, similarity) for rows in chosen])
    by_size = {size: [near_duplicate_pairs(d[:size], neighbors, similarity) for d in drawn] for size in set(sizes)}
    accuracy, accuracy_random = _probes(
        chosen, embeddings, labels, order, seeds, seed, device, part(progress, 0.6, 1.0)
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


def check_number(count):
    """Raises :class:`InvalidInput` unless so many coresets can be compared."""
    if not 2 <= count <= MOST:
        raise InvalidInput(f"Choose two to {MOST} coresets to compare, not {count}.", "members")


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


def imbalance(rows, labels):
    """Total variation distance, in [0, 1], between the clusters' shares in ``rows`` (b,) and in all ``labels`` (N,)."""
    num_clusters = int(labels.max()) + 1
    here, all_of_them = (np.bincount(values, minlength=num_clusters) / len(values) for values in (labels[rows], labels))
    return float(np.abs(here - all_of_them).sum() / 2)


def _coverage(chosen, drawn, embeddings, order, seed, progress):
    """(S, 3), (S, seeds, 3) and the number of samples that were asked for their nearest chosen one."""
    sets = list(chosen)
    place = {}
    for size in sorted({len(rows) for rows in chosen}):
        place[size] = len(sets)
        sets.extend(d[:size] for d in drawn)
    found, queries = coverage(sets, embeddings, order, seed, progress)
    random = [found[place[len(rows)] : place[len(rows)] + len(drawn)] for rows in chosen]
    return found[: len(chosen)], np.array(random), queries


def coverage(sets, embeddings, order, seed, progress=silent):
    """((S, 3) mean, 95th percentile and largest cosine distance from the pool's samples to the nearest of each set, the
    number of samples asked); more than :data:`COVERAGE_COST` allows are replaced by a random sample of them.

    Args:
        sets: S times (b,) rows
        order: (N,) rows sorted by id
    """
    n, dimensions = np.shape(embeddings)
    total = sum(len(rows) for rows in sets)
    queries = int(min(n, max(LEAST_QUERIES, COVERAGE_COST / (total * (75 + dimensions)))))
    asked = order
    if queries < n:
        asked = order[np.sort(rng(seed, Stream.COVERAGE_ROWS).choice(n, queries, replace=False))]
    unit = normalize(np.asarray(embeddings)[asked])
    found, done = [], 0
    for rows in sets:
        start, end = done / total, (done + len(rows)) / total
        found.append(_distances(unit, normalize(np.asarray(embeddings)[rows]), part(progress, start, end)))
        done += len(rows)
    return np.array(found), queries


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


def near_duplicate_pairs(rows, graph, similarity):
    """Pairs of ``rows`` (b,) that are neighbours in ``graph`` with at least that ``similarity``."""
    member = np.zeros(len(graph.indices), dtype=bool)
    member[rows] = True
    near = graph.indices[rows]
    here, column = np.nonzero((graph.similarities[rows] >= similarity) & member[near])
    ends = np.stack([np.asarray(rows)[here], near[here, column]], axis=1)
    return len(np.unique(np.sort(ends, axis=1), axis=0))


def _probes(chosen, embeddings, labels, order, seeds, seed, device, progress):
    """(S, seeds) accuracies of the coresets and of random sets as large, in the same recipe and on the same splits."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    tasks = []
    for repeat in range(seeds):
        here = split(order, seed, repeat)
        allowed = np.ones(len(order), dtype=bool)
        allowed[here.held_out] = False
        for rows in chosen:
            kept = rows[allowed[rows]]
            for trained_on in (kept, here.train[: len(kept)]):
                in_order = trained_on[np.argsort(place[trained_on])]
                tasks.append(Task(in_order, here.held_out, derived(seed, Stream.PROBE, repeat)))
    found = accuracies(embeddings, labels, tasks, order=order, device=device, progress=progress)
    found = found.reshape(seeds, len(chosen), 2).transpose(2, 1, 0)
    return found[0], found[1]


def _over_seeds(function, values):
    """``function`` over the seeds, without those that gave no value; NaN when none did."""
    moved = np.moveaxis(np.asarray(values, dtype=np.float64), 1, 0)
    valid = ~np.isnan(moved).reshape(len(moved), moved.shape[1], -1).any(axis=2)
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


def verdict(differences):
    """Words for (seeds,) paired differences; none is given on fewer than three, or within one standard deviation."""
    if len(differences) < FEWEST_FOR_A_VERDICT:
        return "beside"
    if abs(differences.mean()) <= differences.std() or not differences.any():
        return "no different from"
    return "better than" if differences.mean() > 0 else "worse than"
