"""A short training on labels that may be wrong: probabilities, loss and gradient norm of every sample.

Ten small MLPs are trained in five pairs, the two of a pair on complementary halves. A sample is looked at by the five
that have not trained on it: a network that has seen a sample soon fits its label, right or wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..arrays import as_array, as_matrix
from ..contracts import Array, Floats, Progress, Vectors
from ..devices import one_thread, resolve_device
from ..errors import InvalidInput
from ..gpu_memory import or_on_cpu
from ..order import Order
from ..progress import part, silent
from ..seeds import Stream, derived, rng
from .config import ProxyConfig
from .mlp import SCORED_ROWS, Standardised, fit_subsets

if TYPE_CHECKING:
    from ..selectors.pool import Pool


PAIRS = 5


@dataclass(frozen=True)
class Outputs:
    """Of N samples, each the mean over the networks that did not train on it.

    * ``probabilities`` (N, C) float32
    * ``loss`` (N,) float64: cross-entropy of the given label, in nats
    * ``grand`` (N,) float64: norm of the gradient of that loss with respect to the last layer, weights and bias. With
      g = p - onehot(y) and the hidden layer h it is ||g|| sqrt(1 + ||h||²) (GraNd: Paul et al. 2021)
    """

    probabilities: Vectors
    loss: Floats
    grand: Floats

    @property
    def confidence(self) -> Floats:
        """(N,) the highest probability."""
        return self.probabilities.max(axis=1).astype(np.float64)


def train_outputs(
    embeddings: ArrayLike,
    labels: ArrayLike,
    num_classes: int | None = None,
    *,
    ids: Sequence[Any] | Array | None = None,
    config: ProxyConfig | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Outputs:
    """Trains on all samples and returns their :class:`Outputs`.

    Args:
        embeddings: (N, D) finite, N >= 2
        labels: (N,) int from 0, given ones or pseudo-labels
        ids: (N,) distinct and sortable; they take the place of positions in everything random
        config: :class:`~.config.ProxyConfig`; its ``members`` and ``left_out`` do not matter

    Memory: 4 N C bytes for the probabilities.
    """
    embeddings, labels = as_matrix(embeddings, "The embeddings", "embeddings"), as_array(labels, "Labels", "labels")
    n = np.size(labels)
    if n < 2 or len(embeddings) != n:
        raise InvalidInput(
            f"A warm-up needs two samples at least, and as many labels as embeddings; there are {n} and "
            f"{len(embeddings)}."
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise InvalidInput("Labels are whole numbers from 0 in one row.")
    num_classes = num_classes or int(labels.max()) + 1
    if num_classes < 2 or labels.max() >= num_classes:
        raise InvalidInput(f"Labels must be from 0 to {num_classes - 1}, of two classes at least.")
    order = Order(n, ids).rows
    numbers = rng(seed, Stream.WARM_UP_HALVES)
    mixed = [order[numbers.permutation(n)] for _ in range(PAIRS)]
    halves = np.stack([half for rows in mixed for half in (rows[: n // 2], rows[n - n // 2 :])])
    seeds = [derived(seed, Stream.WARM_UP, member) for member in range(len(halves))]

    def on(device):
        data = Standardised(embeddings, device, order)
        trained = fit_subsets(
            data, labels, halves, num_classes, config or ProxyConfig.mlp(), seeds, part(progress, 0, 0.9)
        )
        with one_thread(device):
            return _look(trained, data, halves, labels, num_classes, part(progress, 0.9, 1.0))

    return or_on_cpu(resolve_device(device), on, "The warm-up")


@torch.no_grad()
def _look(trained, data, halves, labels, num_classes, progress):
    n = len(labels)
    unseen = torch.ones((len(halves), n), dtype=torch.bool)
    for member, rows in enumerate(halves):
        unseen[member, rows] = False
    unseen = unseen.to(data.device)
    count = unseen.sum(dim=0).to(torch.float64)
    targets = torch.as_tensor(labels.astype(np.int64), device=data.device)
    probabilities = np.empty((n, num_classes), dtype=np.float32)
    loss, grand = np.empty(n), np.empty(n)
    for rows in torch.arange(n, device=data.device).split(SCORED_ROWS):
        x, y = data.take(rows), targets[rows]
        sums = torch.zeros((len(rows), num_classes), dtype=torch.float64, device=data.device)
        losses, norms = (torch.zeros(len(rows), dtype=torch.float64, device=data.device) for _ in range(2))
        for members, networks in trained.groups:
            h = networks.hidden(x)
            log_p = networks.logits(h).double().log_softmax(dim=-1)
            counted = unseen[members][:, rows]
            p = log_p.exp()
            own = y.expand(len(members), -1)[..., None]
            error = p.scatter_add(-1, own, torch.full_like(own, -1, dtype=p.dtype))
            norm = error.norm(dim=-1) * (1 + h.double().square().sum(dim=-1)).sqrt()
            sums += torch.where(counted[..., None], p, 0.0).sum(dim=0)
            losses += torch.where(counted, -log_p.gather(-1, own)[..., 0], 0.0).sum(dim=0)
            norms += torch.where(counted, norm, 0.0).sum(dim=0)
        block = slice(int(rows[0]), int(rows[-1]) + 1)
        probabilities[block] = (sums / count[rows, None]).float().cpu().numpy()
        loss[block], grand[block] = ((values / count[rows]).cpu().numpy() for values in (losses, norms))
        progress(block.stop / n, "scoring")
    return Outputs(probabilities, loss, grand)


def with_outputs(
    pool: Pool,
    *,
    config: ProxyConfig | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> Pool:
    """A :class:`~..selectors.Pool` with ``probabilities`` and ``grand``, of the given labels where it has them, else of
    its pseudo-labels."""
    labels = pool.pseudo_labels if pool.labels is None else pool.labels
    if labels is None or pool.embeddings is None:
        raise InvalidInput("A warm-up needs embeddings, and labels or pseudo-labels.", "method")
    outputs = train_outputs(
        pool.embeddings, labels, ids=pool.ids, config=config, seed=seed, device=device, progress=progress
    )
    return replace(pool, probabilities=outputs.probabilities, grand=outputs.grand)
