"""The proxies of a β search: one for every β and repeat, trained on the coreset of that β.

``splits`` is a list of the repeats, each with the rows ``held_out`` (h,) and the ``coresets`` (B, b) of every β;
``order`` (N,) gives the rows of the inputs in an order that does not depend on how they came.
"""

import contextlib
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..devices import cpu_threads, one_thread
from ..progress import part
from ..proxy.mlp import Standardised, fit_subsets
from ..proxy.networks import ImageRows
from ..proxy.train import fit
from ..seeds import Stream, derived, identity
from ..training_checkpoint import TrainingCheckpoint, training_fingerprint
from .side_by_side import in_threads

BYTES_PER_PIXEL = 200
"""About what training a small ResNet keeps of each pixel of a batch."""
MEMORY_BYTES = 4 << 30
"""What small ResNets side by side may take of it."""


def at_once(inputs, labels, splits, betas, config, order, seed, device, progress):
    """(B, repeats) accuracies of MLPs on embeddings, all trained as one batched model."""
    data = Standardised(inputs, device, order)
    subsets = np.concatenate([split.coresets for split in splits])
    seeds = np.repeat([derived(seed, Stream.BETA_PROXY, repeat) for repeat in range(len(splits))], len(betas)).tolist()
    trained = fit_subsets(data, labels, subsets, int(labels.max()) + 1, config, seeds, part(progress, 0.0, 0.99))
    accuracies = np.zeros((len(betas), len(splits)))
    for repeat, split in enumerate(splits):
        found = trained.predict(split.held_out, range(repeat * len(betas), (repeat + 1) * len(betas)))
        accuracies[:, repeat] = (found == labels[split.held_out]).mean(axis=1)
    progress(1.0, f"{len(betas)} values of β, {len(splits)} repeat(s)")
    return accuracies


def on_images(inputs, labels, splits, betas, config, order, seed, device, checkpoint, progress):
    """(B, repeats) accuracies of networks on images: on a CPU small ones side by side, each on a thread of its own;
    others one after another."""
    small = config.kind == "resnet8" and device.type == "cpu"
    workers = min(cpu_threads(), _fit_in_memory(config, inputs.shape)) if small else 1
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
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
        rows = order[np.sort(place[split.coresets[row]])]
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
        found = model.predict(ImageRows(inputs, split.held_out))
        return np.mean(found == labels[split.held_out])

    def alone(row, repeat, report):
        with one_thread(device):
            return accuracy(row, repeat, report)

    missing = [
        (row, repeat) for repeat in range(len(splits)) for row in range(len(betas)) if np.isnan(accuracies[row, repeat])
    ]
    rest = part(progress, 1 - len(missing) / accuracies.size, 1.0)
    for index, found in in_threads([partial(alone if small else accuracy, *at) for at in missing], workers, rest):
        accuracies[missing[index]] = found
        kept.save({"accuracies": torch.from_numpy(accuracies)})
    if checkpoint is not None:
        kept.remove()
        for left in Path(checkpoint).parent.glob(f"{Path(checkpoint).name}.*"):  # of a search that never went on
            with contextlib.suppress(OSError):
                left.unlink()
    return accuracies


def _fit_in_memory(config, shape):
    """How many small networks may train at once on images (N, 3, H, W)."""
    return max(1, MEMORY_BYTES // (config.batch_size * shape[2] * shape[3] * BYTES_PER_PIXEL))
