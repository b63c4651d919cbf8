"""The fast proxy: small MLPs on embeddings, many trained at once as one batched model.

Two uses share it. :func:`train` watches an ensemble learn the pseudo-labels, which is what scores the samples.
:func:`fit_subsets` trains one MLP on each of K coresets, which is what the β search compares.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..devices import autocast, generator, matmul_dtype, one_thread, resolve_device
from ..errors import ElfsError, InvalidInput
from ..progress import part, silent
from ..seeds import Stream, derived
from .dynamics import Recorder

GROUP_BYTES = 1 << 30
"""Networks trained at once by :func:`fit_subsets` take about this much memory at most, in groups one after another."""

SCORED_ROWS = 2048
"""Samples that pass through all networks at once when nothing is learnt."""

READY_BYTES = 256 << 20
"""Inputs up to this size are standardised once and kept; larger ones each time they are taken."""


@dataclass(frozen=True)
class EnsembleConfig:
    """How the fast proxy is trained: SGD with Nesterov momentum 0.9 and a cosine schedule.

    Args:
        members: M, the number of MLPs; every score is the mean over those that score a sample
        left_out: so many of the members, drawn for each sample, do not train on it, and only these score it; 0: all
            members train on all samples and score them all
        hidden: units of the one hidden layer
        steps: optimiser steps, in place of ``epochs``
    """

    members: int = 16
    left_out: int = 12
    epochs: int = 10
    batch_size: int = 256
    learning_rate: float = 0.02
    final_learning_rate: float = 1e-4
    weight_decay: float = 5e-4
    hidden: int = 128
    steps: int | None = None
    kind: str = "mlp"

    def __post_init__(self):
        for name in ("members", "epochs", "batch_size", "hidden"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1, not {getattr(self, name)}.", name)
        check_left_out(self)

    def to_dict(self):
        return asdict(self)


def check_left_out(config):
    """Raises :class:`InvalidInput` unless some of the members train on a sample."""
    if not 0 <= config.left_out < config.members:
        raise InvalidInput(
            f"left_out must be from 0 to {config.members - 1}, one less than the members, not {config.left_out}.",
            "left_out",
        )


class Networks(nn.Module):
    """M networks D-H-C (linear, ReLU, linear), every weight with a leading dimension M.

    The wide first layer runs in bfloat16 where the hardware is quicker at it; the narrow second one, whose rounding
    would tie the margins of the easy samples, in float32. The second layer begins at zero: all networks begin
    undecided, and no score holds the noise of first guesses.
    """

    def __init__(self, dimensions, hidden, num_classes, seeds, device):
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

    def forward(self, x):
        """(B, D), the same for all networks, or (M, B, D) -> (M, B, C) float32 logits."""
        return self.logits(self.hidden(x))

    def hidden(self, x):
        """x as for :meth:`forward` -> (M, B, H) float32, what enters the last layer."""
        members, hidden, dimensions = self.first.shape
        with autocast(x.device):
            if x.ndim == 2:
                h = F.linear(x, self.first.view(-1, dimensions), self.first_bias.view(-1))
                h = h.view(len(x), members, hidden).transpose(0, 1)
            else:
                h = torch.baddbmm(self.first_bias, x, self.first.transpose(1, 2))
        return h.float().relu()

    def logits(self, h):
        """(M, B, H) of :meth:`hidden` -> (M, B, C)."""
        with torch.autocast(h.device.type, enabled=False):
            return torch.baddbmm(self.second_bias, h, self.second)


class Standardised:
    """(N, D) inputs, standardised per dimension, in the precision of the first layer's products.

    The statistics are summed in float64 in the order ``order``, so that they do not depend on how the rows lie.
    """

    def __init__(self, inputs, device, order=None, dtype=None):
        """``dtype``: of what is taken; default: what :func:`~..devices.autocast` would make of it anyway."""
        if np.ndim(inputs) != 2:
            raise InvalidInput(f"An MLP proxy takes an (N, D) matrix, not shape {np.shape(inputs)}.")
        values = torch.as_tensor(np.asarray(inputs, dtype=np.float32))
        rows = torch.arange(len(values)) if order is None else torch.as_tensor(order).long()
        mean = sum(values[block].double().sum(dim=0) for block in rows.split(SCORED_ROWS)) / len(values)
        squares = sum((values[block].double() - mean).square().sum(dim=0) for block in rows.split(SCORED_ROWS))
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

    def __len__(self):
        return len(self._values)

    @property
    def dimensions(self):
        return self._values.shape[1]

    def take(self, rows):
        """(..., D) of the (...) rows."""
        source = self._values if self._ready is None else self._ready
        # Twice as quick as source[rows].
        taken = source.index_select(0, rows.flatten()).view(*rows.shape, self.dimensions)
        return self._standardise(taken).to(self._dtype) if self._ready is None else taken

    def _standardise(self, values):
        return (values - self._mean) / self._scale

    def finite(self):
        return bool(torch.isfinite(self._values).all())


def train(inputs, labels, num_classes=None, config=None, seed=0, device="auto", progress=silent):
    """Trains an ensemble of MLPs on the pseudo-labels and returns how each sample was learnt.

    All members see the same batches. After every epoch all samples are scored in the same state of the networks: on
    the passing batches, as a long training does it, a short one would score mostly how early in an epoch a sample
    came. A sample is scored by the ``left_out`` members that have not trained on it: pseudo-labels are nearly a
    function of the embedding, so that a network which has seen a sample soon fits its label whatever it is.

    Args:
        inputs: (N, D) float embeddings
        labels: (N,) int pseudo-labels in [0, num_classes)
        config: :class:`EnsembleConfig`, or any object with its fields

    Returns:
        :class:`~.dynamics.Dynamics`

    Raises:
        InvalidInput: when inputs and labels do not fit together
        ElfsError: when the loss is no longer finite
    """
    config = config or EnsembleConfig()
    device = resolve_device(device)
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
    blocks = []

    def batch(step):
        if step % per_epoch == 0:
            blocks[:] = torch.randperm(n, generator=rng).tensor_split(per_epoch)
        rows = blocks[step % per_epoch].to(device)
        return data.take(rows), targets[rows].expand(config.members, -1), learns[rows].T

    def after(step):
        progress((step + 0.5) / total, f"epoch {step // per_epoch + 1:,} of {epochs:,}")
        if (step + 1) % per_epoch == 0 or step + 1 == total:
            for rows in torch.arange(n, device=device).split(SCORED_ROWS):
                with torch.no_grad():
                    logits = networks(data.take(rows))
                recorder.update(rows, logits, targets[rows], scores[rows].T)
            progress((step + 1) / total, f"epoch {step // per_epoch + 1:,} of {epochs:,}")

    with one_thread(device):
        _descend(networks, batch, total, config, data.finite, after)
        return recorder.finalize()


def _left_out(n, config, rng):
    """(N, M) bool: ``left_out`` members of each row, drawn independently."""
    order = torch.rand(n, config.members, generator=rng).argsort(dim=1)
    return order < config.left_out


class Subsets:
    """K networks, each trained on its own rows of one data set."""

    def __init__(self, groups, data):
        self._groups = groups
        self._data = data

    @property
    def groups(self):
        """[(numbers of some of the networks, these :class:`Networks`), ...]."""
        return self._groups

    @torch.no_grad()
    def predict(self, rows, which):
        """Classes of some rows by some of the networks: (R,) and (k,) indices -> (k, R) int64 array."""
        position = {k: (networks, at) for members, networks in self._groups for at, k in enumerate(members)}
        found = np.empty((len(which), len(rows)), dtype=np.int64)
        rows = torch.as_tensor(rows).long()
        for networks in dict.fromkeys(position[k][0] for k in which):
            here = [(line, position[k][1]) for line, k in enumerate(which) if position[k][0] is networks]
            lines, members = (list(values) for values in zip(*here))
            chosen = _chosen(networks, members)
            start = 0
            for block in rows.to(self._data.device).split(max(1, SCORED_ROWS * 8 // len(members))):
                classes = chosen(self._data.take(block)).argmax(dim=-1)
                found[lines, start : start + len(block)] = classes.cpu().numpy()
                start += len(block)
        return found


def _chosen(networks, members):
    """Some of the networks as networks of their own."""
    chosen = object.__new__(Networks)
    nn.Module.__init__(chosen)
    for name, value in networks.named_parameters():
        setattr(chosen, name, nn.Parameter(value[members], requires_grad=False))
    return chosen


def fit_subsets(data, targets, subsets, num_classes, config, seeds, progress=silent):
    """Trains K networks at once, each on its own subset of the data.

    Networks with the same seed begin with the same weights and draw the same positions of their subsets in the same
    order, so that what differs between them is the subset alone. The result does not depend on how many are trained
    together.

    Args:
        data: :class:`Standardised` (N, D)
        targets: (N,) int64 labels
        subsets: (K, b) rows of the data
        config: an object with the fields of :class:`EnsembleConfig`; ``members`` and ``left_out`` do not matter
        seeds: (K,) ints

    Returns:
        :class:`Subsets`
    """
    subsets = torch.as_tensor(np.asarray(subsets, dtype=np.int64))
    targets = torch.as_tensor(np.asarray(targets, dtype=np.int64), device=data.device)
    count, size = subsets.shape
    needed = _bytes(data.dimensions, config.hidden, num_classes, min(config.batch_size, size))
    groups = []
    for members in torch.arange(count).split(max(1, GROUP_BYTES // needed)):
        members = members.tolist()
        networks = _fit_group(
            data,
            targets,
            subsets[members],
            num_classes,
            config,
            [seeds[k] for k in members],
            part(progress, members[0] / count, (members[-1] + 1) / count),
        )
        groups.append((members, networks))
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
    blocks = []

    def batch(step):
        if step % per_epoch == 0:
            drawn = {seed: torch.randperm(size, generator=rng) for seed, rng in rngs.items()}
            order = torch.stack([drawn[seed] for seed in seeds])
            blocks[:] = subsets.gather(1, order).tensor_split(per_epoch, dim=1)
        rows = blocks[step % per_epoch].to(data.device)
        return data.take(rows), targets[rows], None

    def after(step):
        progress((step + 1) / total, f"step {step + 1:,} of {total:,}, {len(seeds):,} proxies at once")

    with one_thread(data.device):
        _descend(networks, batch, total, config, data.finite, after)
    return networks


def _bytes(dimensions, hidden, num_classes, batch):
    """Memory of one network in training: weights, gradients, momentum and a half-width copy; its batch, the hidden
    layer and their gradients."""
    weights = hidden * (dimensions + num_classes + 1)
    return 14 * weights + 4 * batch * (2 * dimensions + 4 * hidden + 4 * num_classes)


def _descend(networks, batch, total, config, inputs_finite, after):
    """``total`` optimiser steps; ``batch(step)`` is (x, (M, B) labels, (M, B) bool of the samples that count or None).

    The loss is the sum over the networks of each one's mean, so that every network learns as if it were alone.
    """
    optimizer = torch.optim.SGD(
        networks.parameters(),
        lr=config.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=config.weight_decay,
        fused=True,
    )
    for step in range(total):
        rate = config.learning_rate - config.final_learning_rate
        rate = config.final_learning_rate + rate * (1 + math.cos(math.pi * step / total)) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate
        x, labels, learns = batch(step)
        logits = networks(x)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
        if learns is None:
            loss = losses.mean(dim=1).sum()
        else:
            loss = (torch.where(learns, losses, 0.0).sum(dim=1) / learns.sum(dim=1).clamp_min(1)).sum()
        if not torch.isfinite(loss):
            raise ElfsError(_diverged(step, total, config, inputs_finite()))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        after(step)


def _diverged(step, total, config, inputs_finite):
    if not inputs_finite:
        cause = "Some embeddings are NaN or infinite: compute them again, or leave those samples out"
    else:
        cause = f"The learning rate ({config.learning_rate:g}) is probably too high: try {config.learning_rate / 10:g}"
    return f"Training the proxy failed at step {step + 1:,} of {total:,}: the loss is no longer finite. {cause}."
