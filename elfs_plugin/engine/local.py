"""The engine of one process: threads, and no start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..contracts import Progress
from ..progress import part
from .base import Piece, Shared
from .in_threads import in_threads

if TYPE_CHECKING:
    import torch


class LocalEngine:
    """Threads of this process; see :class:`~.base.Engine`. With one worker the calling thread does all of it."""

    name = "local"
    distributed = False

    def device(self, device: str | torch.device | None) -> torch.device:
        from ..devices import resolve_device

        return resolve_device(device)

    def share(self, value: Any) -> Shared:
        return Shared(value)

    def run(
        self,
        pieces: Sequence[Piece],
        progress: Progress,
        *,
        workers: int = 1,
        threads: int | None = None,
        gpus: float = 0.0,
    ) -> Iterator[tuple[int, Any]]:
        calls = [partial(_call, piece) for piece in pieces]
        if workers > 1:
            yield from in_threads(calls, workers, progress)
            return
        for index, call in enumerate(calls):
            yield index, call(part(progress, index / len(calls), (index + 1) / len(calls)))

    def close(self) -> None:
        pass


def _call(piece, report):
    arguments = (value.reference if isinstance(value, Shared) else value for value in piece.arguments)
    return piece.function(*arguments, report)
