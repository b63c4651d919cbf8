"""The proxies of a β search: one for every β and repeat, trained on the coreset of that β.

``splits`` is a list of one :class:`Coresets` for each repeat, ``order`` the :class:`~..order.Order` of the inputs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..contracts import AnyPath, Floats, Images, Integers, Progress
from ..cuda_streams import own_stream
from ..devices import cpu_threads, one_thread
from ..gpu_memory import free_bytes, or_on_cpu
from ..order import Order
from ..progress import part
from ..proxy.config import ProxyConfig
from ..proxy.image_source import ImageRows
from ..proxy.mlp import Standardised, fit_subsets
from ..proxy.train import fit
from ..proxy.training import kernels
from ..seeds import Stream, derived, identity
from ..training_checkpoint import TrainingCheckpoint, training_fingerprint
from .side_by_side import in_threads

BYTES_PER_PIXEL = 200
"""About what training a small ResNet keeps of each pixel of a batch."""
GPU_WORKERS = 4
"""Small networks at once on a GPU: a single one leaves most of it idle."""
MEMORY_BYTES = 4 << 30
"""What small ResNets side by side may take of it."""


@dataclass(frozen=True)
class Coresets:
    """One repeat: the rows ``held_out`` (h,), and the ``coresets`` (B, b) of every β from the others."""

    held_out: Integers
    coresets: Integers


def at_once(
    inputs: ArrayLike,
    labels: Integers,
    splits: Sequence[Coresets],
    betas: Floats,
    config: ProxyConfig,
    order: Order,
    seed: int,
    device: torch.device,
    progress: Progress,
) -> Floats:
    """(B, repeats) accuracies of MLPs on embeddings, all trained as one batched model."""
    subsets = np.concatenate([split.coresets for split in splits])
    seeds = np.repeat([derived(seed, Stream.BETA_PROXY, repeat) for repeat in range(len(splits))], len(betas)).tolist()

    def on(device):
        data = Standardised(inputs, device, order.rows)
        trained = fit_subsets(data, labels, subsets, int(labels.max()) + 1, config, seeds, part(progress, 0.0, 0.99))
        accuracies = np.zeros((len(betas), len(splits)))
        for repeat, split in enumerate(splits):
            predicted = trained.predict(split.held_out, range(repeat * len(betas), (repeat + 1) * len(betas)))
            accuracies[:, repeat] = (predicted == labels[split.held_out]).mean(axis=1)
        return accuracies

    accuracies = or_on_cpu(device, on, "The β search on embeddings")
    progress(1.0, f"{len(betas)} values of β, {len(splits)} repeat(s)")
    return accuracies


def on_images(
    inputs: Images | ImageRows,
    labels: Integers,
    splits: Sequence[Coresets],
    betas: Floats,
    config: ProxyConfig,
    order: Order,
    seed: int,
    device: torch.device,
    checkpoint: AnyPath | None,
    progress: Progress,
) -> Floats:
    """(B, repeats) accuracies of networks on images: small ones side by side, each on a thread of its own, and on a GPU
    on a stream of its own; others one after another."""
    workers = min(_workers(device), _fit_in_memory(config, inputs.shape, device)) if config.row.small else 1
    accuracies, kept = np.full((len(betas), len(splits)), np.nan), TrainingCheckpoint(None, None)
    if checkpoint is not None:
        coresets = np.stack([split.coresets for split in splits])
        key = training_fingerprint(inputs, labels, coresets, config.to_dict(), identity(seed))
        kept = TrainingCheckpoint(checkpoint, key)
        saved = kept.load("cpu")
        if saved is not None:
            accuracies = saved["accuracies"].numpy()

    def accuracy(row, repeat, report):
        split, name = splits[repeat], f"β = {betas[row]:.2f}, repeat {repeat + 1} of {len(splits)}"
        rows = order.sorted(split.coresets[row])
        model = fit(
            ImageRows(inputs, rows),
            labels[rows],
            num_classes=int(labels.max()) + 1,
            config=config,
            seed=derived(seed, Stream.BETA_PROXY, repeat),
            device=device,
            checkpoint=kept.beside(f"{row}-{repeat}"),
            progress=lambda fraction, detail="": report(fraction, f"{name}: {detail}"),
        )
        return np.mean(model.predict(ImageRows(inputs, split.held_out)) == labels[split.held_out])

    def alone(row, repeat, report):
        with one_thread(device), own_stream(device):
            return accuracy(row, repeat, report)

    missing = [
        (row, repeat) for repeat in range(len(splits)) for row in range(len(betas)) if np.isnan(accuracies[row, repeat])
    ]
    rest = part(progress, 1 - len(missing) / accuracies.size, 1.0)
    calls = [partial(alone if config.row.small else accuracy, *at) for at in missing]
    # Around all of them: threads that set what holds for the whole process one by one would put each other's back.
    with kernels(device, config.deterministic):
        for index, result in in_threads(calls, workers, rest):
            accuracies[missing[index]] = result
            kept.save({"accuracies": torch.from_numpy(accuracies)})
    if checkpoint is not None:
        kept.remove()
        for left in Path(checkpoint).parent.glob(f"{Path(checkpoint).name}.*"):  # of a search that never went on
            with contextlib.suppress(OSError):
                left.unlink()
    return accuracies


def _workers(device):
    return cpu_threads() if device.type == "cpu" else GPU_WORKERS


def _fit_in_memory(config, shape, device):
    """How many small networks may train at once on images (N, 3, H, W)."""
    memory = min(MEMORY_BYTES, free_bytes(device, 2 * MEMORY_BYTES) // 2)
    return max(1, memory // (config.batch_size * shape[2] * shape[3] * BYTES_PER_PIXEL))
