"""The training loop of every proxy: resumable at any step, and able to go on when a GPU's memory is full.

A training's position is one number, the step. Everything random about an epoch is drawn from one CPU generator before
its first step, so that the generator's state at that moment and the step are all a resumed training needs, and the
same seed gives the same batches on every device.
"""

import contextlib
import logging
import math

import torch
import torch.nn.functional as F

from ..devices import autocast, generator
from ..errors import Cancelled, ElfsError
from ..seeds import Stream, derived
from ..text import first_line
from ..training_checkpoint import moved, recorder_state, restore_recorder
from .networks import OUT_OF_MEMORY, compiled

logger = logging.getLogger(__name__)

GPU_STEPS_BETWEEN_LOOKS = 64
"""Steps a GPU computes before the host waits for it to see whether the loss is finite and to report."""


class Training:
    """One network, its optimiser and its position.

    Args:
        source: the inputs, an object with ``batch``, ``draw``, ``network``, ``to``, ``device``, ``resident``,
            ``batch_norm`` and ``finite``
        labels: (N,) int64 tensor on the CPU
        config: :class:`~.train.ProxyConfig`
        recorder: what gathers the dynamics; it is kept in the checkpoint and follows the training from device to device
    """

    def __init__(self, source, labels, num_classes, config, seed, recorder=None):
        self.source = source
        self.config = config
        self.step = 0
        self.n = len(labels)
        self.batch = min(config.batch_size, self.n)
        self.per_epoch = math.ceil(self.n / self.batch)
        self.total = config.steps or config.epochs * self.per_epoch
        # Samples that pass through the network at once: the batch, or less when memory is short.
        self.rows = self.batch
        self._labels = labels
        self._recorder = recorder
        self._rng = generator(derived(seed, Stream.BATCHES))
        self._epoch_rng = None
        self._left_gpu = False
        self.model = source.network(num_classes, config, derived(seed, Stream.NETWORK))
        try:
            self._place(source.device)
        except OUT_OF_MEMORY:
            self._retreat(source.device)

    def run(self, checkpoint, *, on_batch=None, progress):
        """Trains to the end, from the checkpoint's step when it has one, and returns the network.

        ``on_batch(indices, logits, labels)`` sees every batch before the network is changed by it: (B,), (B, C), or
        (B, M, C) of networks side by side, and (B,).
        """
        saved = checkpoint.load(self.device)
        if saved is not None:
            self._restore(saved)
            progress(self.step / self.total, f"resumed at {self._where(self.step)}")
        losses = []
        with kernels(self.device, self.config.deterministic):
            while self.step < self.total:
                losses.append(self._advance(on_batch))
                self.step += 1
                every = 1 if self.device.type == "cpu" else GPU_STEPS_BETWEEN_LOOKS
                if self.step % every and self.step < self.total:
                    continue
                self._require_finite(losses)
                losses.clear()
                try:
                    progress(self.step / self.total, self._where(self.step - 1) + self._note())
                except Cancelled:
                    checkpoint.save(self._state())
                    raise
                if checkpoint.due:
                    checkpoint.save(self._state())
        checkpoint.remove()
        return self.model.eval()

    # One step

    def _advance(self, on_batch):
        """One optimiser step, in smaller parts when memory runs out; returns the loss, still on the device."""
        at = self.step % self.per_epoch
        if at == 0 or self._epoch_rng is None:
            self._draw_epoch()
        first = at * self.batch
        last = min(first + self.batch, len(self._order))
        rate = self._learning_rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        while True:
            try:
                logits, labels, loss = self._passes(first, last)
                break
            except OUT_OF_MEMORY as error:
                if self.rows <= self._least_rows and self.device == torch.device("cpu"):
                    raise
                problem = first_line(error)
            # Outside the except block, whose exception holds on to the tensors of the failed pass.
            self._make_room(problem)
        if on_batch is not None:
            fresh = min(last, self.n) - first
            on_batch(self._order_there[first : first + fresh], logits[:fresh], labels[:fresh])
        self._optimizer.step()
        return loss

    def _passes(self, first, last):
        """Forward and backward of the epoch's samples [first, last); the gradient is that of their mean loss."""
        self._optimizer.zero_grad(set_to_none=True)
        count = last - first
        parts = max(1, min(math.ceil(count / self.rows), count // self._least_rows))
        edges = [first + count * i // parts for i in range(parts + 1)]
        order = self._order_there if self.source.resident else self._order
        outputs, total = [], 0.0
        for start, stop in zip(edges, edges[1:]):
            draws = None if self._draws_there is None else self._draws_there[start:stop]
            x = self.source.batch(order[start:stop], draws)
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
            if network is self.model:
                raise
            logger.warning("The network runs uncompiled: %s", first_line(error))
            self._fast = self.model
            self._optimizer.zero_grad(set_to_none=True)
            return self._forward_backward(x, labels, count)
        return logits.detach(), loss.detach()

    def _precision(self):
        if self.config.on_images and self.config.precision == "auto":
            return autocast(self.device)
        return contextlib.nullcontext()

    def _learning_rate(self):
        """Cosine from the first to the final learning rate."""
        low, high = self.config.final_learning_rate, self.config.learning_rate
        return low + (high - low) * (1 + math.cos(math.pi * self.step / self.total)) / 2

    def _draw_epoch(self):
        """The order of the samples and their augmentations for one epoch, drawn on the CPU and copied over once."""
        self._epoch_rng = self._rng.get_state()
        self._order = torch.randperm(self.n, generator=self._rng)
        self._draws = self.source.draw(self.n, self._rng)
        if self.source.batch_norm and self.n % self.batch == 1 and self.n > 1:
            # Batch normalisation needs two samples: the lone last one is seen with the epoch's first.
            self._order = torch.cat([self._order, self._order[:1]])
            self._draws = torch.cat([self._draws, self._draws[:1]])
        self._copy_epoch()

    def _copy_epoch(self):
        self._order_there = self._order.to(self.device)
        self._draws_there = None if self._draws is None else self._draws.to(self.device)

    # Memory

    @property
    def _least_rows(self):
        return 2 if self.source.batch_norm and self.n > 1 else 1

    def _note(self):
        if self._left_gpu:
            return ", on the CPU: the GPU's memory is full"
        return f", in parts of {self.rows}: memory is short" if self.rows < self.batch else ""

    def _place(self, device):
        """Puts the network, the labels and the inputs on ``device``, with a fresh optimiser."""
        self.device = device
        self.source = self.source.to(device)
        self.model = self.model.to(device).train()
        self._labels_there = self._labels.to(device)
        mode = "off" if self.config.deterministic else self.config.compile
        self._fast = compiled(self.model, device, mode, self.total)
        self._optimizer = _sgd(list(self.model.parameters()), self.config)
        if self._recorder is not None:
            for name, value in vars(self._recorder).items():
                setattr(self._recorder, name, moved(value, device))
        if self._epoch_rng is not None:
            self._copy_epoch()

    def _make_room(self, problem):
        """After an out-of-memory error: half as many samples at once, and at the end the CPU. Each is said once."""
        self._optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.rows <= self._least_rows:
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
        self.rows = max(self._least_rows, self.rows // 2)

    def _retreat(self, device):
        logger.warning("The training does not fit into the memory of %s: it goes on on the CPU, slowly.", device)
        self._left_gpu = True
        self.rows = self.batch
        self._place(torch.device("cpu"))

    # State

    def _state(self):
        between = self._epoch_rng is None or self.step % self.per_epoch == 0
        return {
            "step": self.step,
            "rows": self.rows,
            "rng": self._rng.get_state() if between else self._epoch_rng,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "recorder": None if self._recorder is None else recorder_state(self._recorder),
        }

    def _restore(self, state):
        self.step, self.rows = state["step"], state["rows"]
        self._rng.set_state(state["rng"].cpu())
        self._epoch_rng = None  # the epoch's draws are repeated from the generator's state
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._recorder is not None:
            restore_recorder(self._recorder, state["recorder"])

    def _where(self, step):
        return f"epoch {step // self.per_epoch + 1:,} of {math.ceil(self.total / self.per_epoch):,}"

    def _require_finite(self, losses):
        """Raises when one of the last losses, up to the present step, is not a number. Waits for the device."""
        wrong = (~torch.isfinite(torch.stack([loss.to(self.device) for loss in losses]))).nonzero()
        if len(wrong) == 0:
            return
        step = self.step - len(losses) + int(wrong[0]) + 1
        raise ElfsError(
            f"Training the proxy failed at step {step:,} of {self.total:,} ({self._where(step - 1)}): the loss is not "
            f"a finite number. {self._likely_cause()} The last checkpoint before it is kept."
        )

    def _likely_cause(self):
        if not self.source.finite():
            return "Likely cause: the inputs hold NaN or infinite values; exclude those samples."
        rate = self.config.learning_rate
        return f"Likely cause: the learning rate of {rate:g} is too high for this data; try {rate / 10:g}."


def cross_entropy(logits, labels):
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
        optimizer = torch.optim.SGD(parameters, fused=config.on_images or None, **options)
    except (TypeError, RuntimeError):  # older PyTorch has no fused SGD, or not on this device
        optimizer = torch.optim.SGD(parameters, **options)
    for parameter in optimizer.param_groups[0]["params"]:
        # Made now and not in the first step, so that a step takes no memory of its own and cannot fail half-way.
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


@contextlib.contextmanager
def kernels(device, deterministic):
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
