"""The fast proxy: small MLPs on embeddings, many trained at once as one batched model.

Two uses share it. :func:`train` watches an ensemble learn the pseudo-labels, which is what scores the samples.
:func:`fit_subsets` trains one MLP on each of K coresets, which is what the β search compares.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import nn

from .. import scratch
from ..captured_step import CapturedStep
from ..contracts import Integers, Progress
from ..devices import autocast, generator, matmul_dtype, one_thread, resolve_device
from ..errors import InvalidInput
from ..gpu_memory import OUT_OF_MEMORY, empty_cache, or_on_cpu
from ..progress import part, silent
from ..seeds import Stream, derived
from ..training_checkpoint import TrainingCheckpoint
from ..training_loop import EpochDraws, TrainingLoop, cosine_rate, set_rate
from .config import ProxyConfig
from .dynamics import Dynamics, Recorder

logger = logging.getLogger(__name__)

GROUP_BYTES = 1 << 30
"""Networks trained at once by :func:`fit_subsets` take about this much memory at most, in groups one after another."""

SCORED_ROWS = 2048
"""Samples that pass through all networks at once when nothing is learnt."""

GPU_STEPS_BETWEEN_LOOKS = 16
"""Steps a GPU computes before the host waits for it to see whether the loss is finite."""

READY_BYTES = 256 << 20
"""Inputs up to this size are standardised once and kept; larger ones each time they are taken."""

NOT_KEPT = TrainingCheckpoint(None, None)
"""Seconds: nothing to resume."""


class Networks(nn.Module):
    """M networks D-H-C (linear, ReLU, linear), every weight with a leading dimension M.

    The wide first layer runs in bfloat16 where the hardware is quicker at it; the narrow second one, whose rounding
    would tie the margins of the easy samples, in float32. The second layer begins at zero: all networks begin
    undecided, and no score holds the noise of first guesses.
    """

    def __init__(
        self, dimensions: int, hidden: int, num_classes: int, seeds: Sequence[int], device: torch.device
    ) -> None:
        """``seeds`` (M,): networks with the same seed begin with the same weights, however many there are."""
        super().__init__()
        drawn = {}
        for seed in seeds:
            if seed not in drawn:
                drawn[seed] = torch.randn(hidden, dimensions, generator=generator(seed)) * math.sqrt(2 / dimensions)
        self.first = nn.Parameter(torch.stack([drawn[seed] for seed in seeds]).to(device))
        self.second = nn.Parameter(torch.zeros(len(seeds), hidden, num_classes, device=device))
        self.first_bias = nn.Parameter(torch.zeros(len(seeds), 1, hidden, device=device))
        self.second_bias = nn.Parameter(torch.zeros(len(seeds), 1, num_classes, device=device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, D), the same for all networks, or (M, B, D) -> (M, B, C) float32 logits."""
        return self.logits(self.hidden(x))

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """x as for :meth:`forward` -> (M, B, H) float32, what enters the last layer."""
        members, hidden, dimensions = self.first.shape
        with autocast(x.device):
            if x.ndim == 2:
                h = F.linear(x, self.first.view(-1, dimensions), self.first_bias.view(-1))
                h = h.view(len(x), members, hidden).transpose(0, 1)
            else:
                h = torch.baddbmm(self.first_bias, x, self.first.transpose(1, 2))
        return h.float().relu()

    def logits(self, h: torch.Tensor) -> torch.Tensor:
        """(M, B, H) of :meth:`hidden` -> (M, B, C)."""
        with torch.autocast(h.device.type, enabled=False):
            return torch.baddbmm(self.second_bias, h, self.second)


class Standardised:
    """(N, D) inputs, standardised per dimension, in the precision of the first layer's products.

    The statistics are summed in float64 in the order ``order``, so that they do not depend on how the rows lie.
    """

    def __init__(
        self, inputs: ArrayLike, device: torch.device, order: Integers | None = None, dtype: torch.dtype | None = None
    ) -> None:
        """``dtype``: of what is taken; default: what :func:`~..devices.autocast` would make of it anyway."""
        if np.ndim(inputs) != 2:
            raise InvalidInput(f"An MLP proxy takes an (N, D) matrix, not shape {np.shape(inputs)}.")
        values = _as_tensor(scratch.as_float32(inputs))
        rows = torch.arange(len(values)) if order is None else torch.as_tensor(order).long()
        blocks, nothing = rows.split(SCORED_ROWS), torch.zeros(values.shape[1], dtype=torch.float64)
        mean = sum((values[block].double().sum(dim=0) for block in blocks), nothing) / len(values)
        squares = sum(((values[block].double() - mean).square().sum(dim=0) for block in blocks), nothing)
        self.device = device
        self._dtype = dtype or matmul_dtype(device)
        self._mean = mean.float().to(device)
        self._scale = (squares / len(values)).sqrt().clamp_min(1e-6).float().to(device)
        self._values = values.to(device)
        self._ready = None
        if values.numel() * self._dtype.itemsize <= READY_BYTES:
            self._ready = torch.empty(values.shape, dtype=self._dtype, device=device)
            for kept, block in zip(self._ready.split(SCORED_ROWS), self._values.split(SCORED_ROWS)):
                kept.copy_(self._standardise(block))

    def __len__(self) -> int:
        return len(self._values)

    @property
    def dimensions(self) -> int:
        return self._values.shape[1]

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """(..., D) of the (...) rows."""
        source = self._values if self._ready is None else self._ready
        # Twice as quick as source[rows].
        taken = source.index_select(0, rows.flatten()).view(*rows.shape, self.dimensions)
        return self._standardise(taken).to(self._dtype) if self._ready is None else taken

    def _standardise(self, values):
        return (values - self._mean) / self._scale

    def finite(self) -> bool:
        return bool(torch.isfinite(self._values).all())


def _as_tensor(array):
    """A tensor of the same memory, which nothing here writes to: it may be a file that can only be read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writ", UserWarning)
        return torch.from_numpy(array)


def train(
    inputs: ArrayLike,
    labels: ArrayLike,
    num_classes: int | None = None,
    config: ProxyConfig | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Dynamics:
    """Trains an ensemble of MLPs on the pseudo-labels and returns how each sample was learnt.

    All members see the same batches. After every epoch all samples are scored in the same state of the networks: on
    the passing batches, as a long training does it, a short one would score mostly how early in an epoch a sample
    came. A sample is scored by the ``left_out`` members that have not trained on it: pseudo-labels are nearly a
    function of the embedding, so that a network which has seen a sample soon fits its label whatever it is.

    Args:
        inputs: (N, D) float embeddings
        labels: (N,) int pseudo-labels in [0, num_classes)
        config: :class:`~.config.ProxyConfig`

    Returns:
        :class:`~.dynamics.Dynamics`

    Raises:
        InvalidInput: when inputs and labels do not fit together
        ElfsError: when the loss is no longer finite
    """
    config = config or ProxyConfig.mlp()

    def on(device):
        return _train_on(device, inputs, labels, num_classes, config, seed, progress)

    return or_on_cpu(resolve_device(device), on, "The proxy on embeddings")


def _train_on(device, inputs, labels, num_classes, config, seed, progress):
    data = Standardised(inputs, device)
    n = len(data)
    targets = torch.as_tensor(np.asarray(labels, dtype=np.int64), device=device)
    if n == 0 or len(targets) != n:
        raise InvalidInput(f"The proxy needs as many labels as inputs; there are {n} and {len(targets)}.")
    num_classes = num_classes or int(targets.max()) + 1
    networks = Networks(
        data.dimensions,
        config.hidden,
        num_classes,
        [derived(seed, Stream.MEMBER, member) for member in range(config.members)],
        device,
    )
    rng = generator(derived(seed, Stream.BATCHES))
    learns = ~_left_out(n, config, rng).to(device)
    scores = ~learns if config.left_out else learns
    recorder = Recorder(n, device, config.members)
    per_epoch = math.ceil(n / min(config.batch_size, n))
    total = config.steps or config.epochs * per_epoch
    epochs = math.ceil(total / per_epoch)
    epoch = EpochDraws(rng, lambda rng: torch.randperm(n, generator=rng).tensor_split(per_epoch))

    def rows(step):
        return epoch.take(step % per_epoch)[step % per_epoch]

    def batch(rows):
        return data.take(rows), targets[rows].expand(config.members, -1), learns[rows].T

    def after(step):
        if (step + 1) % per_epoch == 0 or step + 1 == total:
            for some in torch.arange(n, device=device).split(SCORED_ROWS):
                with torch.no_grad():
                    logits = networks(data.take(some))
                recorder.update(some, logits, targets[some], scores[some].T)

    def detail(step):
        return f"epoch {(step - 1) // per_epoch + 1:,} of {epochs:,}"

    with one_thread(device):
        _Descent(networks, data, rows, batch, total, config, detail, after).run(NOT_KEPT, progress)
        return recorder.finalize()


def _left_out(n, config, rng):
    """(N, M) bool: ``left_out`` members of each row, drawn independently."""
    drawn = torch.rand(n, config.members, generator=rng)
    found = torch.empty(n, config.members, dtype=torch.bool)
    for rows in scratch.blocks(n):
        found[rows] = drawn[rows].argsort(dim=1) < config.left_out
    return found


class Subsets:
    """K networks, each trained on its own rows of one data set."""

    def __init__(self, groups: list[tuple[list[int], Networks]], data: Standardised) -> None:
        self._groups = groups
        self._data = data

    @property
    def groups(self) -> list[tuple[list[int], Networks]]:
        """[(numbers of some of the networks, these :class:`Networks`), ...]."""
        return self._groups

    @torch.no_grad()
    def predict(self, rows: ArrayLike | torch.Tensor, which: Sequence[int]) -> Integers:
        """Classes of some rows by some of the networks: (R,) and (k,) indices -> (k, R) int64 array."""
        position = {k: (networks, at) for members, networks in self._groups for at, k in enumerate(members)}
        rows_asked = torch.as_tensor(rows).long()
        predicted = np.empty((len(which), len(rows_asked)), dtype=np.int64)
        for networks in dict.fromkeys(position[k][0] for k in which):
            asked = [(line, position[k][1]) for line, k in enumerate(which) if position[k][0] is networks]
            lines, members = (list(values) for values in zip(*asked))
            chosen = _chosen(networks, members)
            start = 0
            for block in rows_asked.to(self._data.device).split(max(1, SCORED_ROWS * 8 // len(members))):
                classes = chosen(self._data.take(block)).argmax(dim=-1)
                predicted[lines, start : start + len(block)] = classes.cpu().numpy()
                start += len(block)
        return predicted


def _chosen(networks, members):
    """Some of the networks as networks of their own."""
    chosen = object.__new__(Networks)
    nn.Module.__init__(chosen)
    for name, value in networks.named_parameters():
        setattr(chosen, name, nn.Parameter(value[members], requires_grad=False))
    return chosen


def fit_subsets(
    data: Standardised,
    targets: ArrayLike | torch.Tensor,
    subsets: ArrayLike | torch.Tensor,
    num_classes: int,
    config: ProxyConfig,
    seeds: Sequence[int],
    progress: Progress = silent,
) -> Subsets:
    """Trains K networks at once, each on its own subset of the data.

    Networks with the same seed begin with the same weights and draw the same positions of their subsets in the same
    order, so that what differs between them is the subset alone. The result does not depend on how many are trained
    together.

    Args:
        data: :class:`Standardised` (N, D)
        targets: (N,) int64 labels
        subsets: (K, b) rows of the data
        config: :class:`~.config.ProxyConfig`; ``members`` and ``left_out`` do not matter
        seeds: (K,) ints

    Returns:
        :class:`Subsets`
    """
    subsets = torch.as_tensor(np.asarray(subsets, dtype=np.int64))
    targets = torch.as_tensor(np.asarray(targets, dtype=np.int64), device=data.device)
    count, size = subsets.shape
    needed = _bytes(data.dimensions, config.hidden, num_classes, min(config.batch_size, size))
    groups: list[tuple[list[int], Networks]] = []
    first, most, said = 0, max(1, GROUP_BYTES // needed), False
    while first < count:
        members = list(range(first, min(first + most, count)))
        try:
            networks = _fit_group(
                data,
                targets,
                subsets[members],
                num_classes,
                config,
                [seeds[k] for k in members],
                part(progress, first / count, (members[-1] + 1) / count),
            )
        except OUT_OF_MEMORY:
            if len(members) == 1:
                raise
            networks = None
        if networks is None:  # outside the handler, which holds on to the tensors of the failed attempt
            empty_cache(data.device)
            if not said:
                logger.warning("Out of memory on %s: fewer proxies are trained at once.", data.device)
            said = True
            most = max(1, len(members) // 2)
            continue
        groups.append((members, networks))
        first += len(members)
    return Subsets(groups, data)


def _fit_group(data, targets, subsets, num_classes, config, seeds, progress):
    size = subsets.shape[1]
    batch_size = min(config.batch_size, size)
    per_epoch = math.ceil(size / batch_size)
    total = config.steps or config.epochs * per_epoch
    rngs = {seed: generator(derived(seed, Stream.BATCHES)) for seed in seeds}
    networks = Networks(
        data.dimensions, config.hidden, num_classes, [derived(seed, Stream.NETWORK) for seed in seeds], data.device
    )
    blocks: list[torch.Tensor] = []

    def rows(step):
        if step % per_epoch == 0:
            drawn = {seed: torch.randperm(size, generator=rng) for seed, rng in rngs.items()}
            order = torch.stack([drawn[seed] for seed in seeds])
            blocks[:] = subsets.gather(1, order).tensor_split(per_epoch, dim=1)
        return blocks[step % per_epoch]

    def batch(rows):
        return data.take(rows), targets[rows], None

    def detail(step):
        return f"step {step:,} of {total:,}, {len(seeds):,} proxies at once"

    with one_thread(data.device):
        _Descent(networks, data, rows, batch, total, config, detail).run(NOT_KEPT, progress)
    return networks


def _bytes(dimensions, hidden, num_classes, batch):
    """Memory of one network in training: weights, gradients, momentum and a half-width copy; its batch, the hidden
    layer and their gradients."""
    weights = hidden * (dimensions + num_classes + 1)
    return 14 * weights + 4 * batch * (2 * dimensions + 4 * hidden + 4 * num_classes)


class _Descent(TrainingLoop):
    """``total`` optimiser steps of networks side by side.

    The loss is the sum over the networks of each one's mean, so that every network learns as if it were alone.

    Args:
        data: :class:`Standardised`
        rows: ``rows(step)`` gives the rows of a batch, (B,) or (M, B)
        batch: ``batch(rows)``, of rows on the device, gives x, the (M, B) labels, and (M, B) bool of the samples that
            count or None; it draws nothing
        detail: ``detail(step)`` says where the training is, after so many steps
        after: called as ``after(step)`` when a step, counted from 0, is done
    """

    def __init__(self, networks, data, rows, batch, total, config, detail, after=None):
        self.device, self.total = data.device, total
        self._networks, self._data, self._config = networks, data, config
        self._rows, self._batch, self._detail, self._after = rows, batch, detail, after
        self._optimizer = torch.optim.SGD(
            networks.parameters(),
            lr=config.learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._captured = CapturedStep(self._step_on, data.device, self._optimizer, total)

    @property
    def every(self):
        return 1 if self.device.type == "cpu" else GPU_STEPS_BETWEEN_LOOKS

    def advance(self):
        set_rate(self._optimizer, cosine_rate(self._config, self.step, self.total))
        loss = self._captured(self._rows(self.step))
        if self._after is not None:
            self._after(self.step)
        return loss

    def _step_on(self, rows):
        x, labels, learns = self._batch(rows)
        logits = self._networks(x)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
        if learns is None:
            loss = losses.mean(dim=1).sum()
        else:
            loss = (torch.where(learns, losses, 0.0).sum(dim=1) / learns.sum(dim=1).clamp_min(1)).sum()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def ended(self):
        self._captured.close()

    def detail(self):
        return self._detail(self.step)

    def failure(self, step):
        rate = self._config.learning_rate
        if self._data.finite():
            cause = f"The learning rate ({rate:g}) is probably too high: try {rate / 10:g}"
        else:
            cause = "Some embeddings are NaN or infinite: compute them again, or leave those samples out"
        return f"Training the proxy failed at step {step:,} of {self.total:,}: the loss is no longer finite. {cause}."
