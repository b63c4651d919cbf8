"""Principal components, exact: the eigenvectors of a covariance that is summed block by block, so that beside the data
only D x D numbers are held."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def principal_axes(
    blocks: Iterable[torch.Tensor], width: int, count: int, device: str | torch.device = "cpu"
) -> torch.Tensor:
    """The directions of largest variance.

    Args:
        blocks: iterable of (b, D) tensors on ``device``, together the centred data
        width: D

    Returns:
        (D, min(``count``, D)) float64, of largest variance first. The sign of an eigenvector is arbitrary; here its
        largest weight is positive, so that it is the same everywhere.
    """
    covariance = torch.zeros(width, width, dtype=torch.float64, device=device)
    for block in blocks:
        covariance += (block.T @ block).double()
    axes = torch.linalg.eigh(covariance).eigenvectors[:, -count:].flip(1)
    largest = axes.abs().argmax(dim=0)
    return axes * axes.gather(0, largest[None, :]).sign()
