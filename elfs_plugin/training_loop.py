"""The shell of every training: steps, looks at the loss, reports, and going on where a training stopped.

A training's position is one number, the step. What is random is drawn from CPU generators, so that the same seed gives
the same batches on every device, and the generator's state and the step are all of it that a resumed training needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from .contracts import Progress
from .errors import Cancelled, ElfsError

if TYPE_CHECKING:
    from .proxy.config import ProxyConfig
    from .training_checkpoint import TrainingCheckpoint


class TrainingLoop:
    """One training. A subclass takes the steps; one that can be resumed also says what its ``state`` is.

    Attributes:
        device: where the losses are
        step, total: optimiser steps taken, and to be taken at most
        every: steps between two looks at the loss, which make a GPU wait
    """

    device: torch.device
    total: int
    step = 0

    @property
    def every(self) -> int:
        return 1

    def advance(self) -> torch.Tensor:
        """One optimiser step. Returns the loss, a tensor of any shape, still on the device."""
        raise NotImplementedError

    def position(self) -> str:
        """Where a resumed training goes on, in words."""
        return f"step {self.step:,}"

    def detail(self) -> str:
        """What the last step was, in words."""
        return f"step {self.step:,} of {self.total:,}"

    def failure(self, step: int) -> str:
        """The sentences for a loss that was not finite at ``step``, counted from 1."""
        raise NotImplementedError

    def looked(self, losses: torch.Tensor) -> None:
        """Takes the (k, ...) losses since the last look; all are finite."""

    def state(self) -> dict[str, Any]:
        """What a resumed training needs beside the step: a dict as for
        :meth:`~.training_checkpoint.TrainingCheckpoint.save`."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """The opposite of :meth:`state`; ``step`` is set already."""

    @property
    def finished(self) -> bool:
        return self.step >= self.total

    def run(self, checkpoint: TrainingCheckpoint, progress: Progress) -> Any:
        """Trains to the end, from the checkpoint's step when it has one.

        Raises:
            ElfsError: when a loss is not finite; the last checkpoint before it is kept
            Cancelled: when ``progress`` does, after the state is saved
        """
        try:
            return self._run(checkpoint, progress)
        finally:
            self.ended()

    def ended(self) -> None:
        """Frees what only steps need, after the last one or an error."""

    def _run(self, checkpoint, progress):
        saved = checkpoint.load(self.device)
        if saved is not None:
            self.step = saved["step"]
            self.restore(saved)
            progress(self.step / self.total, f"resumed at {self.position()}")
        losses = []
        while not self.finished:
            losses.append(self.advance())
            self.step += 1
            if self.step % self.every and self.step < self.total:
                continue
            self._look(losses)
            losses = []
            try:
                progress(1.0 if self.finished else self.step / self.total, self.detail())
            except Cancelled:
                self.save(checkpoint)
                raise
            if checkpoint.due:
                self.save(checkpoint)
        return self

    def save(self, checkpoint: TrainingCheckpoint) -> None:
        checkpoint.save({"step": self.step, **self.state()})

    def _look(self, losses):
        # A training that has left a full GPU has losses on both devices.
        losses = torch.stack([loss.to(self.device) for loss in losses])
        wrong = (~torch.isfinite(losses)).view(len(losses), -1).any(dim=1).nonzero()
        if len(wrong):
            raise ElfsError(self.failure(self.step - len(losses) + int(wrong[0]) + 1))
        self.looked(losses)


class EpochDraws:
    """What is drawn once an epoch. A resumed training draws that of the epoch under way again.

    Args:
        rng: a CPU generator, which may be drawn from within the epoch too
        draw: called with it at the start of every epoch
    """

    def __init__(self, rng: torch.Generator, draw: Callable[[torch.Generator], Any]) -> None:
        self.rng = rng
        self._draw = draw
        self._start: torch.Tensor | None = None
        self._drawn: Any = None

    def take(self, at: int) -> Any:
        """What was drawn for the epoch of which this is step ``at``, counted from 0."""
        if at == 0 or self._drawn is None:
            self._start = self.rng.get_state()
            self._drawn = self._draw(self.rng)
        return self._drawn

    def state(self) -> dict[str, Any]:
        return {"rng": self.rng.get_state(), "epoch_rng": self._start}

    def restore(self, state: dict[str, Any]) -> None:
        self._start = self._drawn = None
        start = state.get("epoch_rng")  # earlier versions kept that of a proxy as "rng"
        if start is not None:
            self.rng.set_state(start.cpu())
            self.take(0)
        self.rng.set_state(state["rng"].cpu())


def cosine_rate(config: ProxyConfig, step: int, total: int) -> float:
    """The learning rate of a step, counted from 0: a cosine from the first to the final one of ``config``."""
    low, high = config.final_learning_rate, config.learning_rate
    return low + (high - low) * (1 + math.cos(math.pi * step / total)) / 2


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate. One that is a tensor keeps its place in memory, where a captured step reads it."""
    for group in optimizer.param_groups:
        held = group["lr"]
        if isinstance(held, torch.Tensor) and held.device == group["params"][0].device:
            held.fill_(rate)
        else:
            group["lr"] = rate
