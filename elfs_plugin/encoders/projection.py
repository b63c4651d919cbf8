"""Embeddings to points of the plane, for looking at them."""

import numpy as np

from ..contracts import Floats, Progress, Vectors
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


def project(vectors: Vectors, method: str = "umap", *, seed: int = 0, progress: Progress = silent) -> Floats:
    """(N, 2) float32 points of (N, D) finite vectors by :func:`pca` or :func:`umap`.

    Raises:
        InvalidInput: for an unknown method, or too few or too many points for it
        MissingModel: when umap-learn is not installed
    """
    if method not in METHODS:
        raise InvalidInput(f"Unknown method {method!r}. Use one of: {', '.join(METHODS)}.", "method")
    check_size(len(vectors), method)
    return pca(vectors, progress=progress) if method == "pca" else umap(vectors, seed=seed, progress=progress)


def check_size(n: int, method: str) -> None:
    """Refuses numbers of points that a method is not meant for."""
    if n < 3:
        raise InvalidInput(f"A plot needs 3 images at least; there are {n}.")
    if method == "umap" and n > UMAP_LIMIT:
        raise InvalidInput(
            f"UMAP is offered for up to {UMAP_LIMIT:,} images; there are {n:,}. Use PCA, which takes seconds.", "method"
        )


def pca(vectors: Vectors, dimensions: int = 2, *, progress: Progress = silent) -> Floats:
    """Principal components of (N, D) vectors, which may lie on disk: they are read block by block.

    Returns:
        (N, ``dimensions``) float32, centred, of largest variance first; the signs are those of
        :func:`~..principal_components.principal_axes`. Axes that D lacks are zero.
    """
    import torch

    from ..principal_components import principal_axes

    n, width = vectors.shape
    mean = sum(block.sum(axis=0) for _, block in _blocks(vectors)) / n

    def centred():
        for rows, block in _blocks(vectors):
            yield torch.from_numpy(block - mean)
            progress(0.8 * rows.stop / n, "summing the covariance")

    axes = principal_axes(centred(), width, dimensions).numpy()
    points = np.zeros((n, dimensions), dtype=np.float32)
    for rows, block in _blocks(vectors):
        points[rows, : axes.shape[1]] = (block - mean) @ axes
    progress(1.0, f"{n:,} points")
    return points


def _blocks(vectors):
    """(slice, (b, D) float64) over all rows."""
    for start in range(0, len(vectors), _ROWS):
        rows = slice(start, min(start + _ROWS, len(vectors)))
        yield rows, np.asarray(vectors[rows], dtype=np.float64)


def umap(vectors: Vectors, *, seed: int = 0, progress: Progress = silent) -> Floats:
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
