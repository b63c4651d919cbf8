"""The proxy: a small network trained on the pseudo-labels, watched while it learns.

``inputs`` decides the form: an (N, D) float matrix of embeddings trains an MLP (seconds); an (N, 3, S, S) uint8 array
of images trains a ResNet-18, as in the ELFS paper (a GPU is recommended).
"""

import contextlib
import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .devices import autocast, generator, one_thread, resolve_device
from .dynamics import Recorder
from .errors import InvalidInput
from .progress import silent


@dataclass(frozen=True)
class ProxyConfig:
    """How a proxy is trained: SGD with Nesterov momentum 0.9 and a cosine schedule.

    ``steps``, when given, fixes the number of optimiser steps whatever the number of samples (the paper trains on every
    coreset equally long); otherwise ``epochs`` decides.
    """

    kind: str
    epochs: int
    batch_size: int
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    hidden: int = 256
    steps: int | None = None

    @classmethod
    def mlp(cls, **changes):
        """The fast proxy. Few, gentle epochs: an MLP trained long fits nearly every pseudo-label, which leaves the
        easy half of the AUMs in an arbitrary order."""
        return replace(cls("mlp", 10, 256, 0.02, 1e-4, 5e-4), **changes)

    @classmethod
    def resnet18(cls, **changes):
        """The paper's proxy: 200 epochs, batch 256, learning rate 0.1 to 1e-4, weight decay 5e-4."""
        return replace(cls("resnet18", 200, 256, 0.1, 1e-4, 5e-4), **changes)

    def to_dict(self):
        return asdict(self)


def train_proxy(inputs, labels, *, num_classes=None, config=None, seed=0, device="auto", progress=silent):
    """Trains a proxy on all samples and returns how each was learnt.

    Args:
        inputs: (N, D) float embeddings or (N, 3, S, S) uint8 images
        labels: (N,) int pseudo-labels
        config: :class:`ProxyConfig` (default: the form that fits ``inputs``)

    Returns:
        :class:`~.dynamics.Dynamics`, recorded on the training batches as they pass (augmented, before each step), as
        in AUM and ELFS
    """
    device = resolve_device(device)
    recorder = Recorder(len(labels), device)
    fit(inputs, labels, num_classes=num_classes, config=config, seed=seed, device=device, on_batch=recorder.update,
        progress=progress)  # fmt: skip
    return recorder.finalize()


def default_config(inputs):
    return ProxyConfig.resnet18() if np.ndim(inputs) == 4 else ProxyConfig.mlp()


def fit(inputs, labels, *, num_classes=None, config=None, seed=0, device="auto", on_batch=None, progress=silent):
    """Trains a classifier; ``on_batch(indices, logits, labels)`` is called for every training batch.

    Returns:
        :class:`Classifier`
    """
    config = config or default_config(inputs)
    device = resolve_device(device)
    with one_thread(device) if config.kind == "mlp" else contextlib.nullcontext():
        return _fit(inputs, labels, num_classes, config, seed, device, on_batch, progress)


def _fit(inputs, labels, num_classes, config, seed, device, on_batch, progress):
    labels = torch.as_tensor(np.asarray(labels, dtype=np.int64), device=device)
    n = len(labels)
    if n == 0 or len(inputs) != n:
        raise InvalidInput(f"The proxy needs as many labels as inputs; there are {n} and {len(inputs)}.")
    num_classes = num_classes or int(labels.max()) + 1
    source = _Embeddings(inputs, device) if config.kind == "mlp" else _Images(inputs, device)
    model = source.network(num_classes, config, seed).to(device)
    batch = min(config.batch_size, n)
    per_epoch = math.ceil(n / batch)
    total = config.steps or config.epochs * per_epoch
    optimizer = torch.optim.SGD(model.parameters(), lr=config.learning_rate, momentum=0.9, nesterov=True,
                                weight_decay=config.weight_decay)  # fmt: skip
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total, eta_min=config.final_learning_rate)
    order_rng = generator(seed + 1)
    augment_rng = generator(seed + 2, device)
    model.train()
    for step in range(total):
        at = step % per_epoch
        if at == 0:
            order = torch.randperm(n, generator=order_rng)
        indices = order[at * batch : (at + 1) * batch]
        if len(indices) == 1 and n > 1 and config.kind == "resnet18":
            # Batch normalisation needs two samples: the lone last one is seen with the epoch's first.
            indices = torch.cat([indices, order[:1]])
        x = source.batch(indices, augment_rng)
        y = labels[indices.to(device)]
        with autocast(device) if config.kind == "resnet18" else torch.autocast(device.type, enabled=False):
            logits = model(x)
        logits = logits.float()
        if on_batch is not None:
            fresh = slice(0, min(batch, n - at * batch))
            on_batch(indices[fresh], logits.detach()[fresh], y[fresh])
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        progress((step + 1) / total, f"epoch {step // per_epoch + 1:,} of {math.ceil(total / per_epoch):,}")
    return Classifier(model.eval(), source)


class Classifier:
    """A trained network together with the way its inputs are prepared."""

    def __init__(self, model, source):
        self._model = model
        self._source = source

    @torch.no_grad()
    def predict(self, inputs, rows=2048):
        """(N,) int64 classes of inputs of the kind it was trained on."""
        source = self._source.like(inputs)
        blocks = torch.arange(len(inputs)).split(rows)
        return np.concatenate([self._model(source.batch(b)).argmax(dim=1).cpu().numpy() for b in blocks])


class _Embeddings:
    """Embeddings, standardised per dimension by the training set's statistics."""

    def __init__(self, inputs, device, statistics=None):
        values = torch.as_tensor(np.asarray(inputs, dtype=np.float32), device=device)
        if values.ndim != 2:
            raise InvalidInput(f"An MLP proxy takes an (N, D) matrix, not shape {tuple(values.shape)}.")
        self._device = device
        self._statistics = statistics or (values.mean(dim=0), values.std(dim=0, correction=0).clamp_min(1e-6))
        self._values = (values - self._statistics[0]) / self._statistics[1]

    def like(self, inputs):
        return _Embeddings(inputs, self._device, self._statistics)

    def batch(self, indices, augment_rng=None):
        return self._values[indices.to(self._device)]

    def network(self, num_classes, config, seed):
        dims = [self._values.shape[1], config.hidden, num_classes]
        model = nn.Sequential(nn.Linear(dims[0], dims[1]), nn.ReLU(), nn.Linear(dims[1], dims[2]))
        return _initialise(model, seed)


class _Images:
    """uint8 images; a training batch is normalised, padded by reflection, cropped and flipped at random."""

    def __init__(self, inputs, device):
        if np.ndim(inputs) != 4 or inputs.shape[1] != 3 or inputs.dtype != np.uint8:
            raise InvalidInput("A ResNet-18 proxy takes (N, 3, S, S) uint8 images.")
        self._inputs = inputs
        self._device = device

    def like(self, inputs):
        return _Images(inputs, self._device)

    def batch(self, indices, augment_rng=None):
        x = torch.from_numpy(np.ascontiguousarray(self._inputs[indices.numpy()])).to(self._device)
        x = (x.float() / 255.0 - 0.5) / 0.25
        if augment_rng is not None:
            x = _crop_and_flip(x, augment_rng)
        return x.contiguous(memory_format=torch.channels_last)

    def network(self, num_classes, config, seed):
        from torchvision.models import resnet18

        model = resnet18(weights=None, num_classes=num_classes)
        if self._inputs.shape[-1] <= 64:
            # For small images: a 3 x 3 first layer without stride, no pooling (as in the paper's CIFAR models).
            model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()
        return _initialise(model, seed).to(memory_format=torch.channels_last)


def _crop_and_flip(x, rng):
    n, _, height, width = x.shape
    pad = max(1, width // 8)
    padded = F.pad(x, (pad,) * 4, mode="reflect")
    shift = torch.randint(0, 2 * pad + 1, (2, n), generator=rng, device=x.device)
    flip = torch.rand(n, generator=rng, device=x.device) < 0.5
    rows = shift[0, :, None] + torch.arange(height, device=x.device)
    columns = shift[1, :, None] + torch.arange(width, device=x.device)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    samples = torch.arange(n, device=x.device)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _initialise(model, seed):
    """Re-draws every weight from a seeded generator (PyTorch's own initialisation uses global state)."""
    rng = generator(seed)
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=rng)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
