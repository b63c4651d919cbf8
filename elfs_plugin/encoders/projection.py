"""Embeddings to points of the plane, for looking at them."""

import numpy as np

from ..errors import InvalidInput, MissingModel
from ..progress import part, silent
from ..seeds import Stream, derived, rng

METHODS = ("pca", "umap")

UMAP_LIMIT = 200_000
"""Above this many points UMAP would take more than an hour on two cores."""

UMAP_FIT = 20_000
"""UMAP is fitted to this many points at most; the others are placed by the fitted model."""

_NEIGHBORS = 15
_ROWS = 32_768
_TRANSFORM_ROWS = 2_000


def project(vectors, method="umap", *, seed=0, progress=silent):
    """(N, 2) float32 points of (N, D) finite vectors by :func:`pca` or :func:`umap`.

    Raises:
        InvalidInput: for an unknown method, or too few or too many points for it
        MissingModel: when umap-learn is not installed
    """
    if method not in METHODS:
        raise InvalidInput(f"Unknown method {method!r}. Use one of: {', '.join(METHODS)}.", "method")
    check_size(len(vectors), method)
    return pca(vectors, progress=progress) if method == "pca" else umap(vectors, seed=seed, progress=progress)


def check_size(n, method):
    """Refuses numbers of points that a method is not meant for."""
    if n < 3:
        raise InvalidInput(f"A plot needs 3 images at least; there are {n}.")
    if method == "umap" and n > UMAP_LIMIT:
        raise InvalidInput(
            f"UMAP is offered for up to {UMAP_LIMIT:,} images; there are {n:,}. Use PCA, which takes seconds.", "method"
        )


def pca(vectors, dimensions=2, *, progress=silent):
    """Principal components of (N, D) vectors, exact: the eigenvectors of their covariance, which is summed block by
    block, so that beside the vectors only D x D numbers are held.

    Returns:
        (N, ``dimensions``) float32, centred, of largest variance first. The sign of each axis is fixed by its largest
        weight being positive. Axes that D lacks are zero.
    """
    n, width = vectors.shape
    mean = np.zeros(width)
    for start in range(0, n, _ROWS):
        mean += np.asarray(vectors[start : start + _ROWS], dtype=np.float64).sum(axis=0)
    mean /= n
    covariance = np.zeros((width, width))
    for start in range(0, n, _ROWS):
        block = np.asarray(vectors[start : start + _ROWS], dtype=np.float64) - mean
        covariance += block.T @ block
        progress(0.8 * min(start + _ROWS, n) / n, "summing the covariance")
    _, axes = np.linalg.eigh(covariance)
    axes = axes[:, ::-1][:, :dimensions]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    points = np.zeros((n, dimensions), dtype=np.float32)
    for start in range(0, n, _ROWS):
        block = np.asarray(vectors[start : start + _ROWS], dtype=np.float64) - mean
        points[start : start + _ROWS, : axes.shape[1]] = block @ axes
    progress(1.0, f"{n:,} points")
    return points


def umap(vectors, *, seed=0, progress=silent):
    """UMAP (McInnes, Healy and Melville 2018) by umap-learn: 15 neighbours by cosine similarity, least distance 0.1,
    started from the principal components.

    Of more than :data:`UMAP_FIT` points a random sample is fitted, and the others are placed by the model.

    Returns:
        (N, 2) float32; the same for the same seed
    """
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingModel(
            "UMAP needs the package umap-learn: pip install umap-learn. PCA works without it."
        ) from error
    n = len(vectors)
    some = np.sort(rng(seed, Stream.PLOT_ROWS).permutation(n)[:UMAP_FIT])
    fitted = np.asarray(vectors[some], dtype=np.float32)
    progress(0.0, f"fitting UMAP to {len(some):,} points")
    start = pca(fitted)
    start = 10 * start / max(float(np.abs(start).max()), 1e-12)
    # With a seed umap-learn works in one thread, which it announces on every call if it is not asked for.
    model = UMAP(
        n_neighbors=min(_NEIGHBORS, len(some) - 1),
        metric="cosine",
        min_dist=0.1,
        init=start,
        random_state=derived(seed, Stream.PLOT_UMAP, bits=32),
        n_jobs=1,
    )
    points = np.empty((n, 2), dtype=np.float32)
    points[some] = model.fit_transform(fitted)
    rest = np.setdiff1d(np.arange(n), some, assume_unique=True)
    share = 1.0 if not len(rest) else 0.5
    placing = part(progress, share, 1.0)
    progress(share, "fitted")
    for first in range(0, len(rest), _TRANSFORM_ROWS):
        rows = rest[first : first + _TRANSFORM_ROWS]
        points[rows] = model.transform(np.asarray(vectors[rows], dtype=np.float32))
        placing((first + len(rows)) / len(rest), f"{len(some) + first + len(rows):,} of {n:,} points")
    return points
