"""Training a network on images: able to go on when a GPU's memory is full.

Everything random about an epoch is drawn before its first step.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from ..captured_step import CapturedStep
from ..contracts import BatchSource, OnBatch, Progress
from ..devices import autocast, generator, matmul_dtype
from ..errors import is_gpu_lost
from ..gpu_memory import OUT_OF_MEMORY, empty_cache
from ..seeds import Stream, derived
from ..text import first_line
from ..training_checkpoint import TrainingCheckpoint, moved, recorder_state, restore_recorder
from ..training_loop import EpochDraws, TrainingLoop, cosine_rate, set_rate
from .narrow_maps import has_narrow_maps
from .networks import through_torch_compile

if TYPE_CHECKING:
    from .config import ProxyConfig
    from .dynamics import Recorder


logger = logging.getLogger(__name__)

GPU_STEPS_BETWEEN_LOOKS = 64
"""Steps a GPU computes before the host waits for it to see whether the loss is finite and to report."""

LEAST_ROWS = 2
"""Batch normalisation needs two samples."""


class Training(TrainingLoop):
    """One network, its optimiser and its position.

    Args:
        source: the inputs, :class:`~.image_source.Images` of two or more
        labels: (N,) int64 tensor on the CPU
        config: :class:`~.config.ProxyConfig`
        recorder: what gathers the dynamics; it is kept in the checkpoint and follows the training from device to
            device. With one, ``on_batch`` hands each batch to it and does nothing else
        on_batch: called as ``on_batch(indices, logits, labels)`` with every batch before the network is changed by it:
            (B,), (B, C), or (B, M, C) of networks side by side, and (B,)
    """

    _optimizer: torch.optim.Optimizer
    _fast: Any
    _captured: CapturedStep
    _passed = False

    def __init__(
        self,
        source: BatchSource,
        labels: torch.Tensor,
        num_classes: int,
        config: ProxyConfig,
        seed: int,
        recorder: Recorder | None = None,
        on_batch: OnBatch | None = None,
    ) -> None:
        self.source = source
        self.config = config
        self.n = len(labels)
        self.batch = min(config.batch_size, self.n)
        self.per_epoch = math.ceil(self.n / self.batch)
        self.total = config.steps or config.epochs * self.per_epoch
        # Samples that pass through the network at once: the batch, or less when memory is short.
        self.rows = self.batch
        self._labels = labels
        self._recorder = recorder
        self._on_batch = on_batch
        self._epoch = EpochDraws(generator(derived(seed, Stream.BATCHES)), self._draw_epoch)
        self._order: Any = None
        self._draws: Any = None
        self._left_gpu = False
        self._exact = config.precision == "float32"
        self._bfloat16_failed = False
        self.model = source.network(num_classes, config, derived(seed, Stream.NETWORK))
        try:
            self._place(source.device)
        except OUT_OF_MEMORY:
            self._retreat(source.device)

    @property
    def every(self) -> int:
        return 1 if self.device.type == "cpu" else GPU_STEPS_BETWEEN_LOOKS

    def run(self, checkpoint: TrainingCheckpoint, progress: Progress) -> torch.nn.Module:
        """Trains to the end, see :meth:`~..training_loop.TrainingLoop.run`, and returns the network."""
        with kernels(self.device, self.config.deterministic):
            super().run(checkpoint, progress)
        checkpoint.remove()
        return self.model.eval()

    def ended(self) -> None:
        self._captured.close()

    # One step

    def advance(self) -> torch.Tensor:
        """One optimiser step, in smaller parts when memory runs out."""
        at = self.step % self.per_epoch
        order, draws = self._epoch.take(at)
        if order is not self._order:
            self._order, self._draws = order, draws
            self._copy_epoch()
        first = at * self.batch
        last = min(first + self.batch, len(self._order))
        set_rate(self._optimizer, cosine_rate(self.config, self.step, self.total))
        while True:
            self._passed = False
            try:
                return self._take(first, last)
            except OUT_OF_MEMORY as error:
                # What has been recorded must not be recorded twice.
                if self._passed or (self.rows <= LEAST_ROWS and self.device == torch.device("cpu")):
                    raise
                problem = first_line(error)
            # Outside the except block, whose exception holds on to the tensors of the failed pass.
            self._make_room(problem)

    def _take(self, first, last):
        """One step on the epoch's samples [first, last)."""
        fresh = min(last, self.n) - first
        if self._captured.active and fresh == self.batch == self.rows:
            rows, draws = self._order_there[first:last], self._draws_there[first:last]
            given = draws if self.source.resident else self.source.batch(self._order[first:last], draws)
            return self._captured(rows, given)
        logits, labels, loss = self._sound_passes(first, last)
        self._passed = True
        if self._on_batch is not None:
            self._on_batch(self._order_there[first : first + fresh], logits[:fresh], labels[:fresh])
        self._optimizer.step()
        return loss

    def _whole_step(self, rows, given):
        """The same for a full batch, from tensors on the device alone; ``given`` are the augmentations, or the batch
        where the images are not on the device."""
        self._optimizer.zero_grad(set_to_none=True)
        x = self.source.batch(rows, given) if self.source.resident else given
        labels = self._labels_there[rows]
        logits, loss = self._forward_backward(x, labels, len(rows))
        self._passed = True
        if self._on_batch is not None:
            self._on_batch(rows, logits, labels)
        self._optimizer.step()
        return loss

    def _sound_passes(self, first, last):
        """As :meth:`_passes`; on a CPU what bfloat16 has made no numbers of is computed again in float32, and from then
        on everything.

        :mod:`.narrow_maps` knows what went wrong before. Beside it oneDNN's products for AMX read past the end of a
        matrix whose inner side is no multiple of 32 (its issue 5717): that counts for nothing unless a NaN lies there.
        A GPU would have to wait for such a look at every step.
        """
        if not self._reduced or self.device.type != "cpu":
            return self._passes(first, last)
        before = [buffer.clone() for buffer in self.model.buffers()]
        found = self._passes(first, last)
        if self._sound(found[2]):
            return found
        for buffer, value in zip(self.model.buffers(), before):  # running means would stay NaN for ever
            buffer.copy_(value)
        self._exact = True
        found = self._passes(first, last)
        if self._sound(found[2]):  # else it is not the precision
            self._bfloat16_failed = True
            logger.warning("bfloat16 products gave values that are not finite: the training goes on in float32.")
        return found

    def _sound(self, loss):
        """Whether the loss and all gradients are finite."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        return bool(torch.stack([loss, *(gradient.norm() for gradient in gradients)]).isfinite().all())

    def _passes(self, first, last):
        """Forward and backward of the epoch's samples [first, last); the gradient is that of their mean loss."""
        self._optimizer.zero_grad(set_to_none=True)
        count = last - first
        parts = max(1, min(math.ceil(count / self.rows), count // LEAST_ROWS))
        edges = [first + count * i // parts for i in range(parts + 1)]
        order = self._order_there if self.source.resident else self._order
        outputs, total = [], 0.0
        for start, stop in zip(edges, edges[1:]):
            x = self.source.batch(order[start:stop], self._draws_there[start:stop])
            labels = self._labels_there[self._order_there[start:stop]]
            logits, loss = self._forward_backward(x, labels, count)
            outputs.append((logits, labels))
            total = total + loss
        logits, labels = outputs[0] if parts == 1 else (torch.cat(pieces) for pieces in zip(*outputs))
        return logits, labels, total

    def _forward_backward(self, x, labels, count):
        network = self._fast if len(x) == self.batch else self.model
        try:
            with self._precision():
                logits = network(x)
            logits = logits.float()
            loss = cross_entropy(logits, labels) / count
            loss.backward()
        except OUT_OF_MEMORY:
            raise
        except Exception as error:  # a compiler for GPUs fails in many ways, and none of them is the user's
            if network is self.model or is_gpu_lost(error):
                raise
            logger.warning("The network runs uncompiled: %s", first_line(error))
            self._fast = self.model
            self._optimizer.zero_grad(set_to_none=True)
            return self._forward_backward(x, labels, count)
        return logits.detach(), loss.detach()

    @property
    def _reduced(self):
        """Whether it computes in bfloat16."""
        return not self._exact and matmul_dtype(self.device) == torch.bfloat16

    def _precision(self):
        return contextlib.nullcontext() if self._exact else autocast(self.device)

    def _draw_epoch(self, rng):
        """The order of the samples and their augmentations for one epoch."""
        order, draws = torch.randperm(self.n, generator=rng), self.source.draw(self.n, rng)
        if self.n % self.batch == 1:
            # The lone last one is seen with the epoch's first.
            order, draws = torch.cat([order, order[:1]]), torch.cat([draws, draws[:1]])
        return order, draws

    def _copy_epoch(self):
        self._order_there, self._draws_there = self._order.to(self.device), self._draws.to(self.device)

    # Memory

    def _note(self):
        if self._left_gpu:
            return ", on the CPU: the GPU's memory is full"
        parts = f", in parts of {self.rows}: memory is short" if self.rows < self.batch else ""
        return parts + (", in float32: bfloat16 gave values that are not finite" if self._bfloat16_failed else "")

    def _place(self, device):
        """Puts the network, the labels and the inputs on ``device``, with a fresh optimiser."""
        self.device = device
        self.source = self.source.to(device)
        self.model = self.model.to(device).train()
        self._labels_there = self._labels.to(device)
        if device.type == "cpu" and self._reduced:
            self._exact = has_narrow_maps(self.model, self.source.batch(torch.arange(LEAST_ROWS)))
        mode = "off" if self.config.deterministic else self.config.compile
        self._fast = through_torch_compile(self.model, device, mode, self.total, self.batch)
        self._optimizer = _sgd(list(self.model.parameters()), self.config)
        self._captured = CapturedStep(self._whole_step, device, self._optimizer, self.total, self._can_be_captured())
        if self._recorder is not None:
            for name, value in vars(self._recorder).items():
                setattr(self._recorder, name, moved(value, device))
        if self._order is not None:
            self._copy_epoch()

    def _can_be_captured(self):
        """A recorder is arithmetic on the device; what else is called with every batch may read it back. A mode of
        ``torch.compile`` that is asked for may capture by itself."""
        watched = self._on_batch is not None and self._recorder is None
        return not watched and self.config.compile in ("auto", "off")

    def _make_room(self, problem):
        """After an out-of-memory error: half as many samples at once, and at the end the CPU. Each is said once."""
        self._optimizer.zero_grad(set_to_none=True)
        self._captured.forget()
        empty_cache(self.device)
        if self.rows <= LEAST_ROWS:
            momentum = self._optimizer.state_dict()
            self._retreat(self.device)
            self._optimizer.load_state_dict(momentum)
            return
        if self.rows == self.batch:
            logger.warning(
                "Out of memory on %s (%s). Batches pass in smaller parts from now on; the schedule stays as it is.",
                self.device,
                problem,
            )
        self.rows = max(LEAST_ROWS, self.rows // 2)

    def _retreat(self, device):
        logger.warning("The training does not fit into the memory of %s: it goes on on the CPU, slowly.", device)
        self._left_gpu = True
        self.rows = self.batch
        self._place(torch.device("cpu"))

    # Position

    def state(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "float32": self._bfloat16_failed,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "recorder": None if self._recorder is None else recorder_state(self._recorder),
            **self._epoch.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.rows = state["rows"]
        self._bfloat16_failed = state.get("float32", False)
        self._exact = self._exact or self._bfloat16_failed
        self._epoch.restore(state)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._recorder is not None:
            restore_recorder(self._recorder, state["recorder"])
        self._captured.forget()

    def position(self) -> str:
        return self._where(self.step + 1)

    def detail(self) -> str:
        return self._where(self.step) + self._note()

    def _where(self, step):
        """The epoch of a step, counted from 1."""
        return f"epoch {(step - 1) // self.per_epoch + 1:,} of {math.ceil(self.total / self.per_epoch):,}"

    def failure(self, step: int) -> str:
        return (
            f"Training the proxy failed at step {step:,} of {self.total:,} ({self._where(step)}): the loss is not a "
            f"finite number. Likely cause: {self._cause(step)} The last checkpoint before it is kept."
        )

    def _cause(self, step):
        config, reduced = self.config, self._reduced
        exact = " or precision='float32'" if reduced else ""
        if step > 1:
            rate = config.learning_rate
            coarse = ", or bfloat16 too coarse for the network" if reduced else ""
            return f"the learning rate of {rate:g} is too high for this data{coarse}; try {rate / 10:g}{exact}."
        # Nothing has been learnt yet: the rate has no part in it.
        if config.weights:
            return f"the weights in {config.weights} are damaged, or not of this network; try another file{exact}."
        name = config.model or config.kind
        return f"{name} cannot compute these images, for it has learnt nothing yet; try another proxy{exact}."


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Summed over the batch, and over networks side by side, so that each learns as it would by itself.

    Args:
        logits: (B, C) or (B, M, C)
        labels: (B,)
    """
    if logits.ndim == 3:
        labels = labels[:, None].expand(logits.shape[:2]).flatten()
    return F.cross_entropy(logits.flatten(end_dim=-2), labels, reduction="sum")


def _sgd(parameters, config):
    options = dict(lr=config.learning_rate, momentum=0.9, nesterov=True, weight_decay=config.weight_decay)
    try:
        optimizer = torch.optim.SGD(parameters, fused=True, **options)
    except (TypeError, RuntimeError):  # older PyTorch has no fused SGD, or not on this device
        optimizer = torch.optim.SGD(parameters, **options)
    for parameter in optimizer.param_groups[0]["params"]:
        # Made now and not in the first step, so that a step takes no memory of its own and cannot fail half-way.
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


@contextlib.contextmanager
def kernels(device: torch.device, deterministic: bool) -> Iterator[None]:
    """On a GPU: the quickest convolutions, or with ``deterministic`` the repeatable ones."""
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.backends.cudnn.flags(enabled=True, benchmark=not deterministic, deterministic=deterministic):
        if deterministic:
            torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
