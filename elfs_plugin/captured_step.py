"""One step of a training as one CUDA graph: a small network's kernels take less time than the host needs to start them.

The first steps run as they are (PyTorch asks for that before a capture) and count as steps; then the step is captured
once for every shape of its inputs and replayed from then on. Where there is no CUDA device, or the capture fails, the
step runs as it is.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

import torch

from . import cuda_streams
from .errors import is_gpu_lost
from .text import first_line

logger = logging.getLogger(__name__)

WARM_UP = 3
"""Steps of a shape before it is captured."""

FEWEST_STEPS = 32
"""Shorter trainings are over before a capture pays."""

MOST_SHAPES = 4
"""Every graph keeps memory of its own."""

_capturing = threading.Lock()  # PyTorch allows one capture at a time in a process


class CapturedStep:
    """Calls ``step(*inputs) -> loss``, in a CUDA graph where that is possible.

    Args:
        step: takes tensors on the device and returns one; it begins with ``zero_grad(set_to_none=True)``, ends with the
            optimiser's step, changes what it changes in place, draws nothing and reads nothing back to the host
        optimizer: fused; its rates become tensors, which :func:`~.training_loop.set_rate` fills
        steps: that the training will take
        wanted: False for a step that cannot be captured
    """

    def __init__(
        self,
        step: Callable[..., torch.Tensor],
        device: torch.device,
        optimizer: torch.optim.Optimizer,
        steps: int,
        wanted: bool = True,
    ) -> None:
        self._step, self._device, self._optimizer = step, device, optimizer
        self._backend = backend_for(device) if wanted and steps >= FEWEST_STEPS else None
        self.forget()

    @property
    def active(self) -> bool:
        """Whether steps are, or will be, replayed."""
        return self._backend is not None

    def forget(self) -> None:
        """Frees the graphs. To be called when a tensor that the step uses is no longer at its place in memory."""
        self._seen: dict[Any, int] = {}
        self._graphs: dict[Any, Callable[..., torch.Tensor]] = {}
        self._ready = False

    def close(self) -> None:
        """Frees the graphs, for good: later steps run as they are. To be called when the training ends, for a step and
        what it belongs to know each other, and would wait for the garbage collector."""
        self.forget()
        self._backend = None

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Takes one step. The result is a tensor of its own, which later steps leave alone."""
        if self._backend is None:
            return self._step(*(x.to(self._device) for x in inputs))
        if not self._ready:
            rates_as_tensors(self._optimizer)
            self._ready = True
        key = tuple((x.shape, x.dtype) for x in inputs)
        if key in self._graphs:
            return self._graphs[key](*inputs)
        self._seen[key] = self._seen.get(key, 0) + 1
        there = [x.to(self._device) for x in inputs]
        if self._seen[key] <= WARM_UP or len(self._graphs) >= MOST_SHAPES:
            return self._backend.warm_up(self._step, there)
        try:
            self._graphs[key] = self._backend.capture(self._step, there)
        except Exception as error:  # any kernel may refuse, each in its own way; nothing has been computed yet
            if is_gpu_lost(error):
                raise
            logger.warning("Steps are not captured as a CUDA graph (%s); the training goes on without.", _why(error))
            self.close()
            return self._step(*there)
        return self._graphs[key](*inputs)


def _why(error):
    return first_line(error) or type(error).__name__


def rates_as_tensors(optimizer: torch.optim.Optimizer) -> None:
    """Learning rates that a captured step reads anew each time."""
    for group in optimizer.param_groups:
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=group["params"][0].device).clone()
        if "capturable" in group:  # Adam's kind, which would wonder at steps that are not captured
            group["capturable"] = True
            optimizer._warned_capturable_if_run_uncaptured = True


def backend_for(device: torch.device) -> Any:
    """What warms up and captures on ``device``, or None where nothing can."""
    return _Cuda(device) if device.type == "cuda" else None


class _Cuda:
    """Warming up and capturing happen on one side stream, replays on the caller's."""

    def __init__(self, device):
        self._device = device
        self._stream = cuda_streams.take(device)
        weakref.finalize(self, cuda_streams.give_back, device, self._stream)
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, step, inputs):
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            result = step(*inputs)
        here.wait_stream(self._stream)
        for tensor in inputs:
            tensor.record_stream(self._stream)
        result.record_stream(here)
        return result

    def capture(self, step, inputs):
        held, graph = [x.clone() for x in inputs], torch.cuda.CUDAGraph()
        here = torch.cuda.current_stream(self._device)
        try:
            # "thread_local": other threads may train on the same GPU meanwhile.
            with (
                _capturing,
                torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
            ):
                result = step(*held)
        finally:
            torch.cuda.set_stream(here)  # which a capture that fails does not do

        def replay(*inputs):
            for place, x in zip(held, inputs):
                place.copy_(x, non_blocking=True)
            graph.replay()
            return result.clone()

        return replay
