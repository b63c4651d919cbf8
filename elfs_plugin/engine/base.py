"""What every engine can do. What is computed, and in which pieces, is decided above; an engine only runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..contracts import Progress

if TYPE_CHECKING:
    import torch

GPU_SHARE = 0.25
"""Of a GPU, that a small network takes: a single one leaves most of it idle."""


@dataclass(frozen=True)
class Shared:
    """A value that many pieces read and none changes; ``reference`` is what an engine makes of it."""

    reference: Any


@dataclass(frozen=True)
class Piece:
    """``function(*arguments, report)``: a function of a module, whose result depends on its arguments alone.

    Among the arguments a :class:`Shared` stands for its value. ``report`` is a :class:`~..contracts.Progress`.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Crashed:
    """In place of a result: the process that worked on it has died, not raised. ``reason`` is what is known of it."""

    reason: str


class Engine(Protocol):
    """Runs independent pieces of work.

    Attributes:
        name: ``"local"`` or ``"ray"``
        distributed: whether pieces run in other processes, perhaps on other machines
    """

    @property
    def name(self) -> str: ...

    @property
    def distributed(self) -> bool: ...

    def device(self, device: str | torch.device | None) -> torch.device:
        """Where pieces compute, for ``"auto"`` or a name.

        Raises:
            InvalidInput: when there is no such device
        """

    def share(self, value: Any) -> Shared:
        """Makes a value known to all workers once."""

    def run(
        self,
        pieces: Sequence[Piece],
        progress: Progress,
        *,
        workers: int = 1,
        threads: int | None = None,
        gpus: float = 0.0,
    ) -> Iterator[tuple[int, Any]]:
        """Yields (index, result) of N pieces as they are finished, in any order.

        Args:
            progress: hears what share of the work is done, from the thread that iterates; when it raises, the pieces
                end
            workers: pieces at once, for an engine that has one machine
            threads: that a piece computes on (None: as many as PyTorch uses here); the same on every engine, for sums
                may depend on it
            gpus: share of a GPU that a piece needs

        Raises:
            Exception: what a piece raises; the others are ended
            EngineFailed: when pieces could not be run
        """

    def close(self) -> None:
        """Ends what the engine has started."""
