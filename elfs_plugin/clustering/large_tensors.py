"""Tensors of all samples that may be too large for memory: on a CPU they are mapped then and computed in blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .. import scratch


def is_large(data: torch.Tensor, width: int | None = None) -> bool:
    """Whether (N, ``width``) float32 on the CPU is too large for memory; default: as wide as ``data`` (N, D)."""
    return data.device.type == "cpu" and scratch.is_large((len(data), width or data.shape[1]))


def by_rows(of: Callable[[Any], torch.Tensor], data: torch.Tensor, width: int | None = None) -> torch.Tensor:
    """``of(slice(None))``, (N, ``width``) float32; a large one is mapped and ``of`` asked for one slice of the rows
    after the other."""
    if not is_large(data, width):
        return of(slice(None))
    found = torch.from_numpy(scratch.empty((len(data), width or data.shape[1])))
    for rows in scratch.blocks(len(data)):
        found[rows] = of(rows)
    return found
