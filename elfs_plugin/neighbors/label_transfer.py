"""Pseudo-labels for new samples from their nearest labelled neighbours, without clustering again."""

from dataclasses import dataclass

import numpy as np

from ..errors import InvalidInput
from ..progress import silent
from .vectors import normalize

DEFAULT_K = 10

_BASE_ROWS = 32_768
_VOTE_ROWS = 8_192


@dataclass(frozen=True)
class Transferred:
    """``labels`` (Q,) int32 and ``confidence`` (Q,) float64, the winner's share of the votes, in (0, 1]."""

    labels: np.ndarray
    confidence: np.ndarray


def cross_neighbors(queries, base, k=DEFAULT_K, *, progress=silent):
    """The k rows of ``base`` most similar to each query, exactly, by cosine similarity.

    Args:
        queries: (Q, D), finite
        base: (N, D), finite; a memory-mapped array is read in blocks

    Returns:
        (indices (Q, k') int32, similarities (Q, k') float32), most similar first, k' = min(k, N); ties by the lower row
    """
    import faiss

    if len(base) == 0 or k < 1:
        raise InvalidInput("There is nothing to compare the new images with.")
    if queries.shape[1] != base.shape[1]:
        raise InvalidInput(
            f"The new vectors have {queries.shape[1]} dimensions, the run's have {base.shape[1]}. Use the same encoder."
        )
    unit = normalize(np.asarray(queries, dtype=np.float32))
    indices = similarities = None
    for start in range(0, len(base), _BASE_ROWS):
        block = normalize(np.asarray(base[start : start + _BASE_ROWS], dtype=np.float32))
        count = min(k, len(block))
        values, rows = faiss.knn(unit, block, count, metric=faiss.METRIC_INNER_PRODUCT)
        rows = rows.astype(np.int32) + start
        if indices is not None:
            rows, values = np.concatenate([indices, rows], axis=1), np.concatenate([similarities, values], axis=1)
        order = np.lexsort((rows, -values))[:, :k]
        indices, similarities = np.take_along_axis(rows, order, 1), np.take_along_axis(values, order, 1)
        done = min(start + _BASE_ROWS, len(base))
        progress(done / len(base), f"compared with {done:,} of {len(base):,} images")
    return indices, similarities.clip(-1.0, 1.0)


def vote(labels, similarities, num_classes):
    """A vote weighted by similarity.

    Args:
        labels: (Q, k) int, the labels of each query's neighbours
        similarities: (Q, k); negative ones have no weight, and where none has any all count the same

    Returns:
        :class:`Transferred`; a tie goes to the lowest label
    """
    weights = np.clip(similarities, 0.0, None).astype(np.float64)
    weights[weights.sum(axis=1) == 0] = 1.0
    winners = np.empty(len(labels), dtype=np.int32)
    shares = np.empty(len(labels))
    for start in range(0, len(labels), _VOTE_ROWS):
        some = slice(start, start + _VOTE_ROWS)
        votes = np.zeros((len(labels[some]), num_classes))
        np.add.at(votes, (np.arange(len(votes))[:, None], labels[some]), weights[some])
        winners[some] = votes.argmax(axis=1)
        shares[some] = votes.max(axis=1) / votes.sum(axis=1)
    return Transferred(winners, shares)
