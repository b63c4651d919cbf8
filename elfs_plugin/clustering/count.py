"""How many clusters? Three label-free criteria, each beside the same criterion on data without clusters.

One family of partitions is judged from three sides. The partitions are k-means (Lloyd) on unit vectors, started from
Ward's tree, so that no random start decides; every number is held out: the centroids of one half of the rows judge the
other half, and both ways are averaged. The reference is one Gaussian with the principal variances of the data, taken
through the same steps (the idea of the gap statistic: Tibshirani, Walther, Hastie 2001).
"""

import math
from dataclasses import dataclass, field

import numpy as np

from ..arrays import as_matrix
from ..errors import InvalidInput
from ..neighbors.graph import normalize
from ..progress import part, silent
from ..seeds import Stream, derived, rng

CRITERIA = {
    "prediction_strength": "two halves of the data still give the same groups at",
    "silhouette": "the groups stand furthest apart at",
    "modularity": "near neighbors stay together best at",
}
"""What each criterion's choice means, in words for the user."""

SAMPLE_ROWS = 20_000
"""Rows looked at; of more, a seeded sample."""

MIN_ROWS = 20
"""Fewer different vectors than this say nothing about a number of clusters."""

MAX_CLUSTERS = 1000
ROWS_PER_CLUSTER = 20
"""The largest candidate leaves this many rows a cluster on average: ten in each half."""

GRAPH_NEIGHBORS = 15
"""Nearest neighbors that modularity counts."""

STRONG = 0.8
"""Prediction strength from which clusters count as found; Tibshirani and Walther recommend 0.8 to 0.9."""

MIN_SEPARATION = 0.03
"""Silhouette above the reference's from which clusters count as found."""

MIN_COMMUNITY = 0.06
"""Modularity above the reference's highest from which communities count as found."""

_DIMENSIONS = 64
_TREE_ROWS = 3000
_LLOYD_STEPS = 8


@dataclass(frozen=True)
class ClusterCount:
    """What :func:`estimate` found.

    ``suggested``: the number of clusters to start with, at least 2. ``clear``: False when most criteria cannot tell the
    data from data without clusters; then ``suggested`` is a working number and no finding. ``picks`` maps each of
    :data:`CRITERIA` to its own choice, 1 for "no clusters". ``agree``: all of them are near each other. ``low`` and
    ``high``: the plausible range. ``rows``: how many vectors were looked at. ``candidates`` (K,) int, ascending;
    ``curves`` and ``reference`` map each criterion to (K,) float, on the data and on the reference.
    """

    suggested: int
    low: int
    high: int
    agree: bool
    clear: bool
    picks: dict
    explanation: str
    rows: int
    candidates: np.ndarray = field(repr=False)
    curves: dict = field(repr=False)
    reference: dict = field(repr=False)

    def to_dict(self):
        """Plain numbers, lists, dicts and strings, for JSON."""

        def plain(curves):
            return {name: np.asarray(curve).tolist() for name, curve in curves.items()}

        return {
            "suggested": self.suggested,
            "low": self.low,
            "high": self.high,
            "agree": self.agree,
            "clear": self.clear,
            "picks": dict(self.picks),
            "explanation": self.explanation,
            "rows": self.rows,
            "candidates": self.candidates.tolist(),
            "curves": plain(self.curves),
            "reference": plain(self.reference),
        }

    @classmethod
    def from_dict(cls, values):
        """The opposite of :meth:`to_dict`."""
        arrays = {name: {k: np.asarray(v) for k, v in values[name].items()} for name in ("curves", "reference")}
        return cls(**{**values, **arrays, "candidates": np.asarray(values["candidates"])})


def estimate(vectors, graph=None, *, candidates=None, seed=0, progress=silent):
    """Suggests a number of clusters, with the evidence for it.

    Three criteria choose among the candidates, each with its own idea of a cluster:

    * prediction strength (Tibshirani, Walther 2005): the strongest of the largest numbers for which the centroids of
      one half of the rows still tell which rows of the other half belong together (0.8 or more);
    * simplified silhouette (Hruschka, de Castro, Campello 2004): where it exceeds the reference's most (the idea of the
      gap statistic: Tibshirani, Walther, Hastie 2001);
    * modularity of the k-NN graph (Newman, Girvan 2004): where it is highest.

    A criterion that does no better than on the reference chooses none. Where two find clusters the result is ``clear``;
    the suggestion is the median of what was found (the geometric mean of two). The rule and its thresholds were chosen
    on subsets of the classes of CIFAR-10 and on Gaussian data, with clusters and without. The Calinski-Harabasz and
    Davies-Bouldin indices, the gap statistic and the eigengap of the graph did worse there and are left out.
    Classes that overlap in these embeddings cannot be counted by any criterion.

    Time is about O(n d sum(candidates)), n at most 20,000 rows and d at most 64 components; no N x N matrix. It runs on
    one thread: then the result is the same on any number of cores.

    Args:
        vectors: (N, D), finite; at least 20 different ones
        graph: their :class:`~..neighbors.graph.NeighborGraph`, if there is one already (used where all rows are looked
            at; a sample gets a graph of its own)
        candidates: the numbers of clusters to try; by default about geometric from 2 to N / 20, at most 1,000, finer
            around the criteria's choices
        seed: same seed, same result

    Returns:
        :class:`ClusterCount`

    Raises:
        InvalidInput: too few different vectors, values that are not finite, or impossible candidates
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        evidence, rows = _gather(vectors, graph, candidates, seed, progress)
    progress(1.0)
    return conclude(*evidence.curves(), rows=rows)


def _gather(vectors, graph, candidates, seed, progress):
    """The :class:`_Evidence` and the number of rows it rests on."""
    from sklearn.decomposition import PCA

    unit, neighbors = _prepare(vectors, graph, seed)
    progress(0.02, f"{len(unit):,} vectors")
    # The first components hold what separates clusters, and k-means on them saves time.
    own = derived(seed, Stream.COUNT_COMPONENTS, bits=32)
    pca = PCA(min(_DIMENSIONS, len(unit) - 1, unit.shape[1]), random_state=own)
    data = _Side(pca.fit_transform(unit), neighbors, seed)
    progress(0.08, "a reference without clusters")
    evidence = _Evidence(data, _Side(pca.transform(_without_clusters(unit, pca, seed)), None, seed))
    if candidates is not None:
        evidence.measure(_given(candidates, len(unit)), part(progress, 0.15, 1.0))
    else:
        top = max(2, min(len(unit) // ROWS_PER_CLUSTER, MAX_CLUSTERS))
        evidence.measure(_coarse(top), part(progress, 0.15, 0.7))
        for start, end in ((0.7, 0.9), (0.9, 1.0)):
            evidence.measure(evidence.between(), part(progress, start, end))
    return evidence, len(unit)


def conclude(candidates, curves, reference, rows):
    """The :class:`ClusterCount` that (K,) ``candidates`` and their curves, ``{criterion: (K,)}``, amount to."""
    picks = choose(candidates, curves, reference)
    found = sorted(pick for pick in picks.values() if pick > 1)
    clear = 2 * len(found) > len(picks)
    if clear:
        suggested = found[len(found) // 2] if len(found) % 2 else round(math.sqrt(found[0] * found[-1]))
        low, high = _widened(found[0], found[-1], candidates[-1])
    else:
        suggested = int(candidates[np.argmax(curves["modularity"])])
        low, high = int(candidates[0]), int(candidates[-1])
    agree = clear and len(found) == len(picks) and _near(found[0], found[-1])
    return ClusterCount(
        suggested=suggested,
        low=low,
        high=high,
        agree=agree,
        clear=clear,
        picks=picks,
        explanation=_explain(suggested, low, high, clear, picks),
        rows=rows,
        candidates=candidates,
        curves=curves,
        reference=reference,
    )


def choose(candidates, curves, reference):
    """Each criterion's choice among (K,) ``candidates``, 1 where it sees no clusters."""
    strength, strength_without = curves["prediction_strength"], reference["prediction_strength"]
    strong = (strength >= STRONG) & (1 - strength <= 0.5 * (1 - strength_without))
    excess = curves["silhouette"] - reference["silhouette"]
    modularity = curves["modularity"]
    return {
        "prediction_strength": _strongest(candidates[strong], strength[strong]) if strong.any() else 1,
        "silhouette": int(candidates[np.argmax(excess)]) if excess.max() >= MIN_SEPARATION else 1,
        "modularity": int(candidates[np.argmax(modularity)])
        if modularity.max() >= reference["modularity"].max() + MIN_COMMUNITY
        else 1,
    }


def _strongest(candidates, strength):
    """Of the largest candidate and those up to a fifth below it, the strongest (of equals the largest): a few clusters
    too many cost little strength among many."""
    strength = np.where(candidates >= candidates[-1] / 1.2, strength, 0)
    return int(candidates[strength >= strength.max() - 0.01][-1])


def _near(low, high):
    return high - low <= max(1, 0.2 * low)


def _widened(low, high, top):
    """The picks' range a tenth wider on both sides, at least by one: no criterion is sharper than that."""
    return max(2, low - max(1, round(0.1 * low))), min(int(top), high + max(1, round(0.1 * high)))


def _explain(suggested, low, high, clear, picks):
    """What was found, how sure it is and what to do, for a reader who has never heard of the criteria."""
    own = "Set the number of classes yourself if you know it"
    choices = "; ".join(f"{CRITERIA[name]} {pick if pick > 1 else 'no number'}" for name, pick in picks.items())
    if not clear:
        return (
            f"No clear groups were found ({choices}): these vectors look much like data without any. {suggested} is "
            f"only a number to start with. {own}, or try another encoder."
        )
    near = [pick for pick in picks.values() if pick > 1 and _near(*sorted((pick, suggested)))]
    least, most = min(near, default=suggested), max(near, default=suggested)
    span = f"{least} to {most}" if least < most else f"{least}"
    if len(near) == len(picks):
        return f"All {len(picks)} criteria point to {span} clusters. {own}: one class may well form several clusters."
    if 2 * len(near) > len(picks):
        return (
            f"{len(near)} of {len(picks)} criteria point to {span} clusters, not all ({choices}). {own}; otherwise try "
            f"{suggested} first and look at the clusters."
        )
    return (
        f"There are groups, but the criteria disagree on their number ({choices}). {suggested} is the middle; anything "
        f"from {low} to {high} is plausible. {own}; otherwise compare the clusters of two or three numbers."
    )


def _prepare(vectors, graph, seed):
    """The rows to look at as (n, D) unit vectors, and their (n, k) neighbors where those are known.

    Of more than :data:`SAMPLE_ROWS` rows a sample; of equal ones one, for copies would look like the best of clusters.
    """
    vectors = as_matrix(vectors)
    rows = np.arange(len(vectors))
    if len(rows) > SAMPLE_ROWS:
        rows = np.sort(rng(seed, Stream.COUNT_ROWS).choice(len(rows), SAMPLE_ROWS, replace=False))
    if not np.isfinite(vectors.sum(axis=1, dtype=np.float64)).all():
        raise InvalidInput("The vectors hold NaN or infinite values; exclude those rows first.")
    unit = normalize(vectors[rows])
    if len(unit):
        _, first = np.unique(unit, axis=0, return_index=True)
        first.sort()
        unit = unit[first]
    if len(unit) < MIN_ROWS:
        raise InvalidInput(
            f"{len(unit)} different vectors (length aside) are too few to estimate the number of clusters; at least "
            f"{MIN_ROWS} are needed. Set the number of clusters by hand.",
            "num_clusters",
        )
    known = graph is not None and len(unit) == len(vectors)
    return unit, graph.indices[:, :GRAPH_NEIGHBORS] if known else None


def _without_clusters(unit, pca, seed, steps=3):
    """As many unit vectors, from one Gaussian cloud with the mean and the principal variances of ``unit`` (n, D).

    On the sphere again, for a long cloud seen from its middle is denser at both ends, clusters or no clusters. That
    flattens it, so its axes are corrected a few times.
    """
    numbers = rng(seed, Stream.COUNT_REFERENCE)
    scores = pca.transform(unit)
    rest = (unit - pca.inverse_transform(scores)).std(axis=0) * numbers.standard_normal(unit.shape, dtype=np.float32)
    cloud = numbers.standard_normal(scores.shape, dtype=np.float32)
    wanted = scores.std(axis=0)
    scale = wanted
    for _ in range(steps):
        drawn = normalize(pca.inverse_transform(cloud * scale) + rest)
        scale = scale * wanted / np.maximum(pca.transform(drawn).std(axis=0), 1e-12)
    return normalize(pca.inverse_transform(cloud * scale) + rest)


def _coarse(top, ratio=1.25):
    """All of 2 to 12, then about geometric up to ``top``."""
    counts = list(range(2, min(top, 12) + 1))
    while counts[-1] < top:
        counts.append(min(top, round(counts[-1] * ratio)))
    return counts


def _given(candidates, n):
    counts = sorted({int(count) for count in candidates})
    if not counts or counts[0] < 2 or counts[-1] > n // 4:
        raise InvalidInput(
            f"The candidate numbers of clusters must be 2 to {n // 4:,}, a quarter of the different vectors.",
            "num_clusters",
        )
    return counts


class _Evidence:
    """The criteria on the data and on the reference, for every candidate measured so far."""

    def __init__(self, data, reference):
        self._sides = data, reference
        self._measured = {}

    def measure(self, counts, progress):
        new = [count for count in counts if count not in self._measured]
        for step, count in enumerate(new):
            self._measured[count] = [side.measure(count) for side in self._sides]
            progress((step + 1) / len(new), f"{count} clusters")

    def curves(self):
        """``candidates`` (K,) and the curves of the data and of the reference."""
        counts = sorted(self._measured)
        data, reference = (
            {name: np.array([self._measured[count][side][name] for count in counts]) for name in CRITERIA}
            for side in (0, 1)
        )
        return np.array(counts), data, reference

    def between(self, steps=6):
        """Numbers between each criterion's choice and the candidates beside it."""
        candidates, *curves = self.curves()
        counts = set()
        for pick in choose(candidates, *curves).values():
            at = int(np.searchsorted(candidates, pick))
            around = candidates[max(at - 1, 0) : at + 2]
            for start, end in zip(around[:-1], around[1:]):
                counts.update(np.linspace(start, end, steps + 2).round().astype(int).tolist())
        return sorted(counts)


class _Side:
    """(n, d) points, split into two random halves, and what any number of clusters makes of them."""

    def __init__(self, points, neighbors, seed):
        from scipy.cluster.hierarchy import linkage

        order = rng(seed, Stream.COUNT_HALVES).permutation(len(points))[: len(points) // 2 * 2]
        points = np.ascontiguousarray(points, dtype=np.float32)
        self._points = points
        # No two points are equal, so the nearest is the point itself.
        self._neighbors = _nearest(points, points, GRAPH_NEIGHBORS + 1)[1][:, 1:] if neighbors is None else neighbors
        self._halves = [points[rows] for rows in np.split(order, 2)]
        self._trees = [linkage(half[:_TREE_ROWS], "ward") for half in self._halves]

    def measure(self, count):
        """Every criterion at ``count`` clusters, as ``{name: value}``."""
        centroids = [_k_means(half, tree, count) for half, tree in zip(self._halves, self._trees)]
        values = {name: [] for name in CRITERIA}
        for own, other, half in zip(centroids, centroids[::-1], self._halves):
            distances, held_out = _nearest(half, other, 2)
            values["prediction_strength"].append(
                prediction_strength(_nearest(half, own, 1)[1][:, 0], held_out[:, 0], count)
            )
            values["silhouette"].append(simplified_silhouette(distances))
            values["modularity"].append(modularity(_nearest(self._points, own, 1)[1][:, 0], self._neighbors, count))
        return {name: float(np.mean(both)) for name, both in values.items()}


def prediction_strength(own, predicted, count):
    """How well the other half's clusters predict which members belong together (Tibshirani, Walther 2005, section 2.1).

    ``own`` (n,) the half's own clusters, ``predicted`` (n,) the nearest centroids of the other half. Of each own
    cluster, the share of its pairs that are predicted to be together; the original takes the worst cluster, this sets
    one in twenty aside (none up to 20 clusters), for among a hundred clusters one is always unlucky.
    """
    pairs = _counts(own, predicted, count)
    sizes = np.asarray(pairs.sum(axis=1)).ravel()
    pairs.data *= pairs.data - 1
    together = np.asarray(pairs.sum(axis=1)).ravel() / np.maximum(sizes * (sizes - 1), 1)
    return float(np.sort(together)[(count - 1) // 20])


def simplified_silhouette(distances):
    """Mean of 1 - a / b, a and b the (n, 2) distances to the nearest and the second nearest centroid (Hruschka,
    de Castro, Campello 2004)."""
    return float(np.mean(1 - distances[:, 0] / np.maximum(distances[:, 1], 1e-12)))


def modularity(labels, neighbors, count):
    """Share of the (n, k) neighbors in the same cluster, less what chance would give (Newman 2004, directed form of
    Leicht and Newman 2008)."""
    same = np.mean(labels[neighbors] == labels[:, None])
    out = np.bincount(labels, minlength=count) / len(labels)
    into = np.bincount(labels[neighbors].ravel(), minlength=count) / neighbors.size
    return float(same - out @ into)


def _k_means(points, tree, count):
    """(count, d) centroids: Ward's clusters of the first rows, moved by Lloyd's steps on all of them."""
    from scipy.cluster.hierarchy import fcluster

    labels = fcluster(tree, count, "maxclust") - 1
    centroids = _means(points[: len(labels)], labels, np.zeros((count, points.shape[1]), dtype=np.float32))
    for _ in range(_LLOYD_STEPS):
        before, labels = labels, _nearest(points, centroids, 1)[1][:, 0]
        if len(before) == len(labels) and (before == labels).all():
            break
        centroids = _means(points, labels, centroids)
    return centroids


def _means(points, labels, default):
    """Mean of each cluster's points; the row of ``default`` for an empty cluster."""
    members = _counts(labels, np.arange(len(points)), len(default), len(points)).astype(np.float32)
    sizes = np.bincount(labels, minlength=len(default))[:, None]
    return np.where(sizes > 0, (members @ points) / np.maximum(sizes, 1), default).astype(np.float32)


def _counts(rows, columns, height, width=None):
    """Sparse table of how often each (row, column) occurs."""
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(height, width or height))


def _nearest(points, centroids, m):
    """Distances (n, m) and numbers (n, m) of the m nearest centroids."""
    import faiss

    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(centroids)
    squared, found = index.search(points, m)
    return np.sqrt(np.maximum(squared, 0)), found
