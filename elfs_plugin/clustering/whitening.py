"""The space the heads of `quick` see: principal components that count alike, and the neighbours that are nearest there.

A few directions of largest variance decide k-means and cosines between them, and they need not be those that tell
classes apart. After whitening all that stand out from the average direction count about the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .. import scratch
from .large_tensors import by_rows, is_large

BLOCK_ELEMENTS = 1 << 24


def whitened(projected: torch.Tensor, average: float = 1.0) -> torch.Tensor:
    """Principal components scaled to about equal variance, by 1 / sqrt(v + ``average``).

    Args:
        projected: (N, m), centred
        average: variance of an average direction of the whole space; directions that vary less are not blown up to the
            size of the others, for they are mostly noise

    Returns:
        (N, m), scaled by one factor so that the mean variance is 1
    """
    if is_large(projected):
        squares = (projected[rows].double().square().sum(dim=0) for rows in scratch.blocks(len(projected)))
        variance = sum(squares, torch.zeros(projected.shape[1], dtype=torch.float64)) / len(projected)
    else:
        variance = projected.double().square().mean(dim=0)
    factors = (variance + average).rsqrt()
    total = float((variance * factors.square()).mean())
    scale = (factors / (total**0.5 if total > 0 else 1.0)).float()
    return by_rows(lambda rows: projected[rows] * scale, projected)


def nearest(data: torch.Tensor, neighbors: torch.Tensor, keep: int) -> torch.Tensor:
    """Of each row's (N, k) ``neighbors`` the ``keep`` most similar in (N, m) ``data`` by the cosine, best first."""
    unit = by_rows(lambda rows: F.normalize(data[rows], dim=1), data)
    kept = torch.empty(len(data), keep, dtype=neighbors.dtype, device=data.device)
    rows = max(1, BLOCK_ELEMENTS // (neighbors.shape[1] * data.shape[1]))
    for start in range(0, len(data), rows):
        some = neighbors[start : start + rows]
        similarities = torch.bmm(unit[some.long()], unit[start : start + rows, :, None])[:, :, 0]
        order = torch.sort(similarities, dim=1, descending=True, stable=True).indices[:, :keep]
        kept[start : start + rows] = some.gather(1, order)
    return kept
