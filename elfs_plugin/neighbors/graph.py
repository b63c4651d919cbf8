"""Embeddings to a cosine k-nearest-neighbour graph, exact or with a measured recall."""

from __future__ import annotations

import contextlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import ArrayLike

from .. import scratch
from ..arrays import as_matrix
from ..contracts import Floats, Integers, Progress, Vectors
from ..devices import generator, resolve_device
from ..engine.base import Piece
from ..engine.choose import current
from ..errors import InvalidInput
from ..gpu_memory import OUT_OF_MEMORY, empty_cache
from ..progress import part, silent
from ..seeds import Stream, derived
from ..text import first_line
from ..validation import derived_seed, validate_neighbors
from . import on_device
from .cells import Cells, partition
from .neighbor_graph import NeighborGraph
from .vectors import normalize

logger = logging.getLogger(__name__)

DEFAULT_K = 50
"""The neighbourhood TEMI was published with."""

METHODS = ("auto", "exact", "approximate")

_QUERY_ROWS = 1024
_BASE_ROWS = 32768
_CELL_ROWS = 256
_CELLS_PER_TASK = 8
_RECALL_QUERIES = 512
_EXACT_COST = 7.5e12
_EXACT_COST_PER_MULTIPROCESSOR = 5e12
_TIE = 1e-6


def suggest_k(n: int, num_clusters: int) -> int:
    """Neighbours for TEMI: the published 50, fewer where a cluster has few members (a tenth of an even share)."""
    return int(min(DEFAULT_K, max(5, n // (10 * num_clusters)), max(n - 1, 1)))


def exact_is_quick(n: int, dimensions: int, device: str | torch.device = "cpu") -> bool:
    """Whether comparing all pairs takes about a minute or less on two cores (113,000 points of 512 dimensions), or on
    a GPU.

    Measured on a CPU: a similarity costs 1.2 ns and 0.016 ns per dimension on one core (AVX2 kernels, 2.6 GHz). Of a
    GPU each multiprocessor is taken to do two thirds of what two cores do, an estimate from its arithmetic: the limit
    must be the same every time, so it is no measurement. What a GPU's memory does not hold goes by the CPU's limit.
    """
    cost, device = n * n * (75 + dimensions), torch.device(device)
    if cost <= _EXACT_COST:
        return True
    if device.type != "cuda":
        return False
    properties = torch.cuda.get_device_properties(device)
    fits = 4 * n * dimensions <= properties.total_memory / 2
    return fits and cost <= _EXACT_COST_PER_MULTIPROCESSOR * properties.multi_processor_count


def knn_graph(
    vectors: ArrayLike,
    k: int | None = DEFAULT_K,
    *,
    metric: str = "cosine",
    method: str = "auto",
    recall: float = 0.95,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> NeighborGraph:
    """The k nearest neighbours of every row.

    The approximate method divides the points into cells of about 256 (:func:`~.cells.partition`) and compares the
    points of each cell with all points of the P cells whose centroids are nearest to its own: an inverted file (IVF)
    whose queries are taken cell by cell, so that the comparisons are large matrix products. P is the smallest for which
    512 random points find the wanted share of their true neighbours. Work and time grow about like N log N as long as P
    does not have to grow, that is for embeddings of low intrinsic dimension; in the worst case P is all cells and the
    search is exact.

    Args:
        vectors: (N, D), finite; a memory-mapped array is read in blocks
        k: neighbours per point; at most N - 1 are returned
        metric: only ``"cosine"``
        method: ``"exact"``, ``"approximate"``, or ``"auto"``: exact as long as :func:`exact_is_quick`
        recall: in (0, 1], the share of true neighbours an approximate search has to find; the share it did find is
            in the result
        seed: of the cells and of the sampled points
        device: a GPU does the exact search (:func:`~.on_device.nearest`), also of more points than a CPU; the
            approximate one is always done by the CPU. Both find the same neighbours but where rounding decides

    Returns:
        :class:`NeighborGraph`. A point is never its own neighbour, exact duplicates included: two equal rows are each
        other's neighbours, with similarity 1. Similarities are those of the neighbours found, not approximations.
        The same arguments give the same graph, on any number of threads.

    Memory beside ``vectors``: a normalised copy (4 N D bytes), the result (8 N k), and for each thread less than 100 MB
    plus 0.13 D MB; approximate: less than 100 N more. Of the copy and the result what is large is mapped, see
    :mod:`~..scratch`.
    """
    if metric != "cosine":
        raise InvalidInput(f"metric {metric!r} is not supported; use 'cosine'.", "metric")
    if method not in METHODS:
        raise InvalidInput(f"Unknown method {method!r}. Use one of: {', '.join(METHODS)}.", "method")
    if not 0 < recall <= 1:
        raise InvalidInput(f"recall must be above 0 and at most 1, not {recall}.", "recall")
    vectors = as_matrix(vectors)
    n, dimensions = vectors.shape
    if n < 2:
        raise InvalidInput("At least two vectors are needed to find neighbours.")
    k, seed = validate_neighbors(DEFAULT_K if k is None else k, n), derived_seed(seed)
    device = resolve_device(device)
    wanted = method == "exact" or (method == "auto" and recall == 1)
    if wanted or (method == "auto" and exact_is_quick(n, dimensions, device)):
        return _exact(vectors, k, device, progress)
    return _approximate(vectors, k, recall, seed, progress)


def _exact(vectors, k, device, progress):
    n = len(vectors)
    order = np.arange(n)
    unit = _unit_rows(vectors, order, part(progress, 0.0, 0.02))
    result = _Result(order, k)
    rest = part(progress, 0.02, 1.0)
    if device.type == "cpu" or not _exact_on(device, unit, k, result, rest):
        _exact_in_threads(unit, k, result, rest)
    return result.graph("exact", 1.0)


def _exact_on(device, unit, k, result, progress):
    """Whether the device had the memory for it."""
    try:
        for rows, similarities, found in on_device.nearest(unit, k + 1, device):
            result.put(rows, similarities, found)
            progress((rows[-1] + 1) / len(unit), f"{rows[-1] + 1:,} of {len(unit):,} points")
        return True
    except OUT_OF_MEMORY as error:
        problem = first_line(error)
    empty_cache(device)
    logger.warning("Neighbours do not fit into the memory of %s (%s): the CPU finds them.", device, problem)
    return False


def _exact_in_threads(unit, k, result, progress):
    starts = range(0, len(unit), _QUERY_ROWS)
    _gather(result, nearest_rows, (unit, k), starts, lambda done: f"{done:,} of {len(unit):,} points", progress)


def nearest_rows(unit: Vectors, k: int, start: int, report: Progress) -> tuple[Integers, Floats, Integers]:
    """One block of the exact search: (rows (R,), similarities, neighbours (R, k + 1)), themselves among them."""
    rows = np.arange(start, min(start + _QUERY_ROWS, len(unit)))
    with _alone():
        return rows, *_top(unit[start : start + _QUERY_ROWS], unit, k + 1)


def _approximate(vectors, k, recall, seed, progress):
    n = len(vectors)
    for start in range(0, n, _BASE_ROWS):
        _check_finite(np.asarray(vectors[start : start + _BASE_ROWS], dtype=np.float32))
    cells = partition(vectors, _CELL_ROWS, seed=seed, progress=part(progress, 0.0, 0.08))
    # From here on a row is known by its place in the order of the cells.
    unit = _unit_rows(vectors, cells.order, part(progress, 0.08, 0.1))
    centroids = normalize(np.add.reduceat(unit, cells.limits[:-1], axis=0))
    order = torch.randperm(n, generator=generator(derived(seed, Stream.RECALL)))
    sample = order[:_RECALL_QUERIES].sort().values.numpy()
    least = _least_similarities(unit, sample, k, part(progress, 0.1, 0.13))
    probes = _probes(unit, cells, centroids, sample, least, k, recall, part(progress, 0.13, 0.16))
    result = _Result(cells.order, k)
    _gather(
        result,
        nearest_in_cells,
        (unit, cells, centroids, probes, max(probes, _enough(np.sort(cells.sizes), k)), k),
        range(0, len(cells), _CELLS_PER_TASK),
        lambda done: f"{done:,} of {n:,} points, each in {probes:,} of {len(cells):,} cells",
        part(progress, 0.16, 1.0),
    )
    found = result.similarities[cells.order[sample]] >= least[:, None] - _TIE
    return result.graph("approximate", float(found.mean()))


def nearest_in_cells(
    unit: Vectors, cells: Cells, centroids: Vectors, probes: int, columns: int, k: int, first: int, report: Progress
) -> tuple[Integers, Floats, Integers]:
    """The points of some cells in the cells that are nearest to theirs; returns as :func:`nearest_rows`.

    Args:
        unit: (N, D) in the order of the cells
        centroids: (cells, D)
        probes, columns: cells to look through, and so many are ranked, for the sake of small ones
        first: of the cells
    """
    some = np.arange(first, min(first + _CELLS_PER_TASK, len(cells)))
    found = []
    with _alone():
        for cell, near in zip(some, _nearest_cells(centroids, some, columns)):
            near = near[: max(probes, _enough(cells.sizes[near], k))]
            queries = np.arange(cells.limits[cell], cells.limits[cell + 1])
            found.append((queries, *_top_in_cells(unit, cells, queries, near, k + 1)))
    rows, similarities, neighbors = (np.concatenate(parts) for parts in zip(*found))
    return rows, similarities, neighbors


def _gather(result, search, given, starts, words, progress):
    """Has blocks searched by the engine in use, and puts what they give into the result. The large arrays of ``given``
    are shared."""
    import faiss

    engine, n, done = current(), len(result.order), 0

    def tick(fraction, detail=""):
        progress(done / n, words(done))

    shared = [value if isinstance(value, int) else engine.share(value) for value in given]
    pieces = [Piece(search, (*shared, start)) for start in starts]
    for _, (rows, similarities, found) in engine.run(pieces, tick, workers=faiss.omp_get_max_threads(), threads=1):
        result.put(rows, similarities, found)
        done += len(rows)
        progress(done / n, words(done))


class _Result:
    """Neighbours and similarities as they come in, block by block, from several threads.

    ``order`` (N,) names the row of ``vectors`` that each searched row is.
    """

    def __init__(self, order, k):
        self.order = order
        self.indices = scratch.empty((len(order), k), np.int32)
        self.similarities = scratch.empty((len(order), k))

    def put(self, rows, similarities, found):
        """The k + 1 best of ``rows``, themselves among them."""
        keep = _without_self(found, rows)
        self.indices[self.order[rows]] = self.order[np.take_along_axis(found, keep, axis=1)]
        self.similarities[self.order[rows]] = np.take_along_axis(similarities, keep, axis=1).clip(-1.0, 1.0)

    def graph(self, method, recall):
        return NeighborGraph(self.indices, self.similarities, method, recall)


def _without_self(found, rows):
    """Column numbers (R, k) of ``found`` (R, k + 1) without each row's own index; without the last where it is absent
    (which happens when more than k exact duplicates tie with it)."""
    width = found.shape[1]
    own = found == rows[:, None]
    drop = np.where(own.any(axis=1), own.argmax(axis=1), width - 1)
    columns = np.arange(width - 1)[None, :]
    return columns + (columns >= drop[:, None])


def _least_similarities(unit, sample, k, progress):
    """(S,) similarity of the true k-th neighbour of each sampled row."""
    best = np.full((len(sample), k + 1), -np.inf, dtype=np.float32)  # the row itself is one of them
    queries, n = unit[sample], len(unit)

    def search(start):
        base = unit[start : start + _BASE_ROWS]
        return start + len(base), _top(queries, base, min(k + 1, len(base)))[0]

    for done, similarities in _in_threads(search, range(0, n, _BASE_ROWS)):
        best = np.sort(np.concatenate([best, similarities], axis=1), axis=1)[:, -(k + 1) :]
        progress(done / n, "finding the true neighbours of a sample")
    return best[:, 0]


def _probes(unit, cells, centroids, sample, least, k, recall, progress):
    """How many cells each cell has to look through for the sampled rows to find ``recall`` of their neighbours.

    Any row as similar as the true k-th neighbour counts, so that it does not matter which of many equal rows is found.
    """
    queries, bound = unit[sample], least[:, None] - _TIE
    hits = np.empty((len(sample), len(cells)), dtype=np.int32)
    first = 0
    while first < len(cells):
        last = max(first + 1, int(np.searchsorted(cells.limits, cells.limits[first] + _BASE_ROWS, side="right")) - 1)
        start, stop = cells.limits[first], cells.limits[last]
        near_enough = queries @ unit[start:stop].T >= bound
        hits[:, first:last] = np.add.reduceat(near_enough, cells.limits[first:last] - start, axis=1, dtype=np.int32)
        first = last
        progress(stop / len(unit), "choosing how many cells to look through")
    home = np.searchsorted(cells.limits, sample, side="right") - 1
    hits[np.arange(len(sample)), home] -= 1  # the row itself
    ranking = _nearest_cells(centroids, home, len(cells))
    found = np.cumsum(np.take_along_axis(hits, ranking, axis=1), axis=1, dtype=np.int32)
    reached = np.minimum(found, k).mean(axis=0) / k
    return min(int(np.searchsorted(reached, recall - 1e-9)) + 1, len(cells))


def _nearest_cells(centroids, some, count):
    """Numbers (S, count) of the cells nearest to ``some`` (S,), themselves first."""
    found = _top(centroids[some], centroids, min(count, len(centroids)))[1]
    return np.concatenate([some[:, None], np.take_along_axis(found, _without_self(found, some), axis=1)], axis=1)


def _enough(sizes, k):
    """How many of the cells of these ``sizes``, taken in order, hold more than k points together."""
    return int(np.searchsorted(np.cumsum(sizes), k + 1)) + 1


def _top_in_cells(unit, cells, queries, near, count):
    """The ``count`` best of the rows in the cells ``near`` for each of the rows ``queries``."""
    candidates = np.concatenate([np.arange(cells.limits[cell], cells.limits[cell + 1]) for cell in np.sort(near)])
    similarities = found = None
    for start in range(0, len(candidates), _BASE_ROWS):
        block = candidates[start : start + _BASE_ROWS]
        values, places = _top(unit[queries], unit[block], min(count, len(block)))
        if found is None:
            similarities, found = values, block[places]
            continue
        similarities = np.concatenate([similarities, values], axis=1)
        found = np.concatenate([found, block[places]], axis=1)
        best = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
        similarities, found = (np.take_along_axis(array, best, axis=1) for array in (similarities, found))
    return similarities, found


def _unit_rows(vectors, order, progress):
    """Rows ``order`` of ``vectors`` at unit length, made in blocks."""
    unit = scratch.empty(vectors.shape)
    for start in range(0, len(unit), _BASE_ROWS):
        block = slice(start, start + _BASE_ROWS)
        unit[block] = normalize(vectors[order[block]])
        _check_finite(unit[block])
        progress(min(block.stop / len(unit), 1.0), "scaling the vectors to unit length")
    return unit


def _check_finite(block):
    if not np.isfinite(block).all():
        raise InvalidInput("The vectors hold NaN or infinite values; exclude those rows first.")


def _top(queries, base, count):
    """Similarities and numbers (Q, count) of the rows of ``base`` most similar to each query, best first."""
    import faiss

    return faiss.knn(queries, base, count, metric=faiss.METRIC_INNER_PRODUCT)


def _in_threads(function, items):
    """Yields ``function(item)`` in order. Threads share the items, not the products within one: they never wait for
    each other, and a product does not depend on how many there are."""
    import faiss

    def alone(item):
        with _alone():
            return function(item)

    pool = ThreadPoolExecutor(faiss.omp_get_max_threads())
    try:
        yield from pool.map(alone, items)
    finally:
        pool.shutdown(cancel_futures=True)


_products = threading.Lock()
_within = [0, 0]
"""How many threads compute products now, and faiss's threshold before the first of them."""


@contextlib.contextmanager
def _alone():
    """A block whose products are computed on this thread alone, and by matrix products also where they are small.

    By itself faiss multiplies matrices only from 128,000 numbers (Q x D) of queries on. On one thread that is 2 to 5
    times as quick for 100 queries too (measured, 64 to 512 dimensions). The threshold is the whole process's.
    """
    import faiss

    threads = faiss.omp_get_max_threads()
    with _products:
        if _within[0] == 0:
            _within[1] = faiss.cvar.distance_compute_blas_threshold
            faiss.cvar.distance_compute_blas_threshold = 0
        _within[0] += 1
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
        with _products:
            _within[0] -= 1
            if _within[0] == 0:
                faiss.cvar.distance_compute_blas_threshold = _within[1]
