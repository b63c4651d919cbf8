"""What to do where a GPU's memory does not suffice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from .text import first_line

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = torch.cuda.OutOfMemoryError
"""What PyTorch raises when a GPU's memory is full (the same class as the newer ``torch.OutOfMemoryError``)."""

CPU = torch.device("cpu")

T = TypeVar("T")


def free_bytes(device: torch.device, default: int) -> int:
    """Memory that ``device`` has left, what PyTorch keeps for reuse included; ``default`` where it cannot be asked."""
    if device.type != "cuda":
        return default
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def or_on_cpu(device: torch.device, work: Callable[[torch.device], T], what: str) -> T:
    """``work(device)``, and where a GPU's memory does not suffice for it ``work(CPU)``, which is said once.

    Args:
        what: the work, as the beginning of a sentence

    Raises:
        torch.OutOfMemoryError: of work on the CPU itself
    """
    try:
        return work(device)
    except OUT_OF_MEMORY as error:
        if device == CPU:
            raise
        problem = first_line(error)
    # Outside the handler: the exception holds on to the tensors of the failed attempt.
    empty_cache(device)
    logger.warning("%s does not fit into the memory of %s (%s): it goes on on the CPU.", what, device, problem)
    return work(CPU)


def empty_cache(device: torch.device) -> None:
    """Gives back what PyTorch keeps of a GPU's memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
