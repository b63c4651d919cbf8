"""The proxies of a β search: one for every β and repeat, trained on the coreset of that β.

``splits`` is a list of one :class:`Coresets` for each repeat, ``order`` the :class:`~..order.Order` of the inputs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..contracts import AnyPath, Floats, Images, Integers, Progress
from ..cuda_streams import own_stream
from ..devices import cpu_threads, one_thread
from ..engine.base import GPU_SHARE, Piece
from ..engine.choose import current
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
    seeds = [derived(seed, Stream.BETA_PROXY, repeat) for repeat in range(len(splits))]
    engine, together = current(), list(range(len(splits)))
    # Here all of them are one model. Elsewhere each repeat is one: what a network learns does not depend on the others.
    groups = [[repeat] for repeat in together] if engine.distributed else [together]
    shared = engine.share(inputs), engine.share(order.rows), engine.share(labels)
    pieces = [
        Piece(reached, (*shared, [splits[r] for r in some], len(betas), config, [seeds[r] for r in some], device))
        for some in groups
    ]
    accuracies = np.zeros((len(betas), len(splits)))
    gpus = GPU_SHARE if device.type == "cuda" else 0.0
    for index, found in engine.run(pieces, part(progress, 0.0, 0.99), threads=1, gpus=gpus):
        accuracies[:, groups[index]] = found
    progress(1.0, f"{len(betas)} values of β, {len(splits)} repeat(s)")
    return accuracies


def reached(
    inputs: ArrayLike,
    rows: Integers,
    labels: Integers,
    splits: Sequence[Coresets],
    betas: int,
    config: ProxyConfig,
    seeds: Sequence[int],
    device: torch.device,
    report: Progress,
) -> Floats:
    """(B, repeats) accuracies of some repeats, trained as one batched model; ``rows`` (N,) in the order of the ids."""
    subsets = np.concatenate([split.coresets for split in splits])

    def on(device):
        data = Standardised(inputs, device, rows)
        own = np.repeat(seeds, betas).tolist()
        trained = fit_subsets(data, labels, subsets, int(labels.max()) + 1, config, own, report)
        accuracies = np.zeros((betas, len(splits)))
        for repeat, split in enumerate(splits):
            predicted = trained.predict(split.held_out, range(repeat * betas, (repeat + 1) * betas))
            accuracies[:, repeat] = (predicted == labels[split.held_out]).mean(axis=1)
        return accuracies

    return or_on_cpu(device, on, "The β search on embeddings")


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
    engine, small = current(), config.row.small
    workers = 1
    if small and not engine.distributed:
        workers = min(_workers(device), _fit_in_memory(config, inputs.shape, device))
    accuracies, kept = np.full((len(betas), len(splits)), np.nan), TrainingCheckpoint(None, None)
    if checkpoint is not None:
        coresets = np.stack([split.coresets for split in splits])
        key = training_fingerprint(inputs, labels, coresets, config.to_dict(), identity(seed))
        kept = TrainingCheckpoint(checkpoint, key)
        saved = kept.load("cpu")
        if saved is not None:
            accuracies = saved["accuracies"].numpy()
    missing = [
        (row, repeat) for repeat in range(len(splits)) for row in range(len(betas)) if np.isnan(accuracies[row, repeat])
    ]
    rest = part(progress, 1 - len(missing) / accuracies.size, 1.0)
    shared, known = engine.share(inputs), engine.share(labels)
    pieces = [
        Piece(
            accuracy,
            (
                *(shared, order.sorted(splits[repeat].coresets[row]), known, splits[repeat].held_out, config),
                *(derived(seed, Stream.BETA_PROXY, repeat), device),
                # A file of this machine: elsewhere what is finished is kept, but not half a training.
                None if engine.distributed else kept.beside(f"{row}-{repeat}"),
                f"β = {betas[row]:.2f}, repeat {repeat + 1} of {len(splits)}",
            ),
        )
        for row, repeat in missing
    ]
    threads, gpus = 1 if small else None, (GPU_SHARE if small else 1.0) if device.type == "cuda" else 0.0
    # Around all of them: threads that set what holds for the whole process one by one would put each other's back.
    with kernels(device, config.deterministic) if not engine.distributed else contextlib.nullcontext():
        for index, result in engine.run(pieces, rest, workers=workers, threads=threads, gpus=gpus):
            accuracies[missing[index]] = result
            kept.save({"accuracies": torch.from_numpy(accuracies)})
    if checkpoint is not None:
        kept.remove()
        for left in Path(checkpoint).parent.glob(f"{Path(checkpoint).name}.*"):  # of a search that never went on
            with contextlib.suppress(OSError):
                left.unlink()
    return accuracies


def accuracy(
    inputs: Images | ImageRows,
    rows: Integers,
    labels: Integers,
    held_out: Integers,
    config: ProxyConfig,
    seed: int,
    device: torch.device,
    checkpoint: AnyPath | None,
    name: str,
    report: Progress,
) -> float:
    """The accuracy of one network, trained on some ``rows`` (b,), on those ``held_out`` (h,). A small one takes one
    thread, and on a GPU a stream of its own."""
    small = config.row.small
    with contextlib.ExitStack() as stack:
        if small:
            stack.enter_context(one_thread(device))
            stack.enter_context(own_stream(device))
        model = fit(
            ImageRows(inputs, rows),
            labels[rows],
            num_classes=int(labels.max()) + 1,
            config=config,
            seed=seed,
            device=device,
            checkpoint=checkpoint,
            progress=lambda fraction, detail="": report(fraction, f"{name}: {detail}"),
        )
        return float(np.mean(model.predict(ImageRows(inputs, held_out)) == labels[held_out]))


def _workers(device):
    return cpu_threads() if device.type == "cpu" else GPU_WORKERS


def _fit_in_memory(config, shape, device):
    """How many small networks may train at once on images (N, 3, H, W)."""
    memory = min(MEMORY_BYTES, free_bytes(device, 2 * MEMORY_BYTES) // 2)
    return max(1, memory // (config.batch_size * shape[2] * shape[3] * BYTES_PER_PIXEL))
