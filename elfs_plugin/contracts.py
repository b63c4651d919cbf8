"""What signatures speak of, by name: arrays, numbers, and the seams at which one part takes another.

NumPy and typing alone, so that whatever is light may import it. Arrays that come in may be of any width of their kind;
where one that goes out has a certain width, its docstring says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from .progress import Event
    from .proxy.config import ProxyConfig

Array: TypeAlias = npt.NDArray[Any]
"""Of any kind and shape."""

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
"""(N,) unless it is said otherwise, like the following ones: scores, shares."""

Integers: TypeAlias = npt.NDArray[np.integer[Any]]
"""Labels, ranks, indices, counts."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""Which of N samples."""

Vectors: TypeAlias = npt.NDArray[np.floating[Any]]
"""(N, D), a vector for each sample."""

Images: TypeAlias = npt.NDArray[np.uint8]
"""(N, 3, S, S), decoded images of S pixels a side."""

Budget: TypeAlias = int | float
"""An int counts images, a float in (0, 1] is a fraction of them."""

Veto: TypeAlias = float | dict[str, float]
"""A cosine similarity, or ``{"quantile": q}``, see :func:`~.neighbors.near_duplicates.resolve_threshold`."""

AnyPath: TypeAlias = str | os.PathLike[str]

Verify: TypeAlias = Callable[[], None]
"""Called before something is written; raises when the job no longer owns its run."""

OnBatch: TypeAlias = "Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]"
"""Called with the indices (B,), logits (B, C) or (B, M, C), and labels (B,) of a batch that was trained on."""


class Progress(Protocol):
    """Told the fraction in [0, 1] of its caller's own work that is done, and a few words; may raise to stop it."""

    def __call__(self, fraction: float, detail: str = "") -> None: ...


class Sink(Protocol):
    """Shows the progress of a job: a dialog, a panel, a terminal."""

    def __call__(self, event: Event, /) -> None: ...


class BatchSource(Protocol):
    """The N inputs of a training, and the network that learns from them."""

    device: torch.device

    @property
    def resident(self) -> bool:
        """Whether the inputs are kept on the device."""

    def batch(self, indices: torch.Tensor, draws: torch.Tensor | None = None) -> torch.Tensor:
        """(B, …): the inputs of a batch on the device, augmented as drawn."""

    def draw(self, n: int, rng: torch.Generator) -> torch.Tensor:
        """What is random about the n inputs of an epoch, (n, …), on the CPU."""

    def network(self, num_classes: int, config: ProxyConfig, seed: int) -> torch.nn.Module:
        """A fresh network for these inputs."""

    def to(self, device: torch.device) -> BatchSource:
        """The same inputs on another device."""


class CandidateSource(Protocol):
    """The samples that a selection may still choose, see :class:`~.selectors.candidates.Candidates`."""

    open: Mask
    """(N,) samples that may be chosen now."""

    @property
    def restricted(self) -> bool:
        """Whether choosing one sample can close others."""

    def take(self, i: int) -> None:
        """Chooses sample i, which must be open."""

    def walk(self, order: Integers, budget: int) -> Integers:
        """The first ``budget`` of ``order`` that may be chosen together."""
