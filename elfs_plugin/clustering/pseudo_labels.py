"""Embeddings and their neighbour graph to pseudo-labels: deep clustering by TEMI.

Method and defaults: Adaloglou et al. 2023, as used by ELFS (ICLR 2025). No true label is involved.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from .. import scratch
from ..arrays import as_matrix
from ..contracts import AnyPath, Floats, Integers, Progress, Vectors
from ..devices import generator, matmul_dtype, resolve_device, reuse_heap
from ..errors import InvalidInput
from ..principal_components import principal_axes
from ..progress import part, silent
from ..seeds import Stream, derived, identity
from ..training_checkpoint import TrainingCheckpoint, training_fingerprint
from ..validation import derived_seed
from .head_alignment import head_labels, neighbor_information, vote
from .health import health_warnings
from .large_tensors import by_rows
from .limits import validate_num_clusters
from .separation import separation
from .temi import Heads
from .temi_training import NEAREST, Training, epoch_means, starts, warm_start
from .whitening import nearest, whitened

if TYPE_CHECKING:
    from ..neighbors.neighbor_graph import NeighborGraph


logger = logging.getLogger(__name__)

FEWEST_NEIGHBORS = 10
"""So many are kept whatever the share."""

SMALLEST_BATCH = 64
"""Below this a GPU that is out of memory gives way to the CPU."""


@dataclass(frozen=True)
class ClusteringConfig:
    """Settings of TEMI; the defaults are the published ones.

    ``learning_rate`` is per 256 samples of a batch and is scaled with the actual batch, as in the original.
    ``max_steps`` caps the optimiser steps whatever the number of epochs; ``min_steps`` raises the epochs of a small
    data set, which needs its thousand steps too. ``batch_size`` is reduced for sets smaller than four batches.
    ``warm_start_steps`` > 0 first fits every head to its own, differently seeded spherical k-means (not in the paper):
    the loss of thousands of cold steps is then reached within hundreds. ``tolerance`` > 0 stops the training, after
    ``min_steps``, when the best head's mean loss over 200 steps falls by less than that share of itself.
    ``components`` reduces wider embeddings to so many principal components first: the first layer is most of the work.
    ``whiten`` scales them to about equal variance (:func:`~.whitening.whitened`). ``neighbor_share`` keeps that share
    of the graph's neighbours, at least :data:`FEWEST_NEIGHBORS`, the ones that are most similar after it.
    ``spectral``: half of the heads start from spectral clustering of the neighbours instead of k-means.
    ``select`` says which head labels the samples: ``"loss"``, the one with the lowest training loss (published), or
    ``"information"``, the one with the highest
    :func:`~.head_alignment.neighbor_information`. ``combine="average"`` labels by
    the mean of all heads after they are aligned.
    """

    heads: int = 50
    epochs: int = 200
    batch_size: int = 1024
    learning_rate: float = 1e-4
    warmup_epochs: int = 20
    weight_decay: float = 1e-4
    beta: float = 0.6
    temperature: float = 0.1
    teacher_momentum: float = 0.996
    marginal_momentum: float = 0.9
    min_steps: int = 0
    max_steps: int | None = None
    warm_start_steps: int = 0
    tolerance: float = 0.0
    components: int | None = None
    whiten: bool = False
    neighbor_share: float = 1.0
    spectral: bool = False
    select: str = "loss"
    combine: str = "best"

    @classmethod
    def published(cls) -> ClusteringConfig:
        """50 heads, 200 epochs, from a cold start: the paper's recipe. Meant for a GPU."""
        return cls()

    @classmethod
    def quick(cls) -> ClusteringConfig:
        """The default: the same loss on whitened embeddings, with 8 heads started from k-means and spectral clustering,
        a faster teacher and a higher learning rate, for 10 epochs but at least 1,000 steps."""
        return cls(
            heads=8,
            epochs=10,
            batch_size=512,
            learning_rate=1e-3,
            teacher_momentum=0.97,
            min_steps=1000,
            warm_start_steps=30,
            tolerance=0.002,
            components=128,
            whiten=True,
            neighbor_share=0.5,
            spectral=True,
            select="information",
        )

    @classmethod
    def default(cls) -> ClusteringConfig:
        return cls.quick()

    def __post_init__(self) -> None:
        for name in ("heads", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1, not {getattr(self, name)}.", name)
        for name, choices in (("select", ("loss", "information")), ("combine", ("best", "average"))):
            if getattr(self, name) not in choices:
                raise InvalidInput(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}.", name)
        if not 0 < self.neighbor_share <= 1:
            raise InvalidInput(
                f"neighbor_share must be above 0 and at most 1, not {self.neighbor_share}.", "neighbor_share"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def schedule(self, n: int) -> tuple[int, int, int]:
        """(batch size, steps per epoch, steps at most) for n samples."""
        batch = min(self.batch_size, max(64, 1 << int(math.log2(max(n // 4, 1)))), n)
        per_epoch = max(1, n // batch)
        steps = max(self.epochs * per_epoch, self.min_steps)
        return batch, per_epoch, min(steps, self.max_steps) if self.max_steps else steps


@dataclass(frozen=True)
class PseudoLabels:
    """The result of clustering N samples into C clusters.

    * ``labels`` (N,) int32, and ``confidence`` (N,) float32, the probability of that cluster
    * ``agreement`` (N,) float32: share of the heads that put the sample in the same cluster, after their clusters are
      matched
    * ``seed_agreement``: share of samples on which two halves of the heads, which share no seed, agree (NaN for one)
    * ``head_losses`` (H,): mean training loss at the end; ``head_scores`` (H,): mutual information with the neighbours;
      ``best_head``: the one that labels, see :class:`ClusteringConfig`
    * ``occupancy`` (C,): samples per cluster
    * ``separation``: how far the clusters stand apart, see :func:`~.separation.separation` (NaN: not known)
    * ``loss_curve`` (epochs,) of the best head
    * ``warnings``: sentences for the user
    """

    labels: Integers
    confidence: Floats
    agreement: Floats
    head_losses: Floats
    best_head: int
    occupancy: Integers
    loss_curve: Floats
    head_scores: Floats
    seed_agreement: float
    warnings: list[str] = field(default_factory=list)
    separation: float = math.nan

    @property
    def num_clusters(self) -> int:
        return len(self.occupancy)


def cluster(
    vectors: ArrayLike,
    graph: NeighborGraph,
    num_clusters: int,
    *,
    config: ClusteringConfig | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    checkpoint: AnyPath | None = None,
    progress: Progress = silent,
) -> PseudoLabels:
    """Trains TEMI's heads and labels every sample by the best one.

    Args:
        vectors: (N, D) float embeddings
        graph: their :class:`~..neighbors.graph.NeighborGraph`
        num_clusters: C, at least 2, at most N
        config: :class:`ClusteringConfig` (default: quick)
        checkpoint: a file where an interrupted training is kept; the same call then goes on to the same result

    Returns:
        :class:`PseudoLabels`

    Memory: docs/scale.md. Copies of the vectors that are large are mapped, see :mod:`~..scratch`; probabilities pass in
    blocks.

    Source: TEMI (BMVC 2023), loss in :func:`~.temi.temi_loss`.
    """
    config = config or ClusteringConfig.default()
    vectors, seed = scratch.as_float32(as_matrix(vectors)), derived_seed(seed)
    n = len(vectors)
    validate_num_clusters(num_clusters, n)
    if len(graph.indices) != n:
        raise InvalidInput(f"The graph has {len(graph.indices)} points, the vectors {n}.")
    device = resolve_device(device)
    batch, notes = config.batch_size, []
    while True:
        attempt = replace(config, batch_size=batch)
        try:
            with reuse_heap(device):
                result = _cluster(vectors, graph, num_clusters, attempt, seed, device, checkpoint, progress)
            break
        except torch.OutOfMemoryError:
            if device.type == "cpu":
                raise
            batch = attempt.schedule(n)[0] // 2
            if batch < SMALLEST_BATCH:
                batch, device = config.batch_size, torch.device("cpu")
            note = f"The GPU's memory was not enough; clustering used {'the CPU' if device.type == 'cpu' else batch}"
            notes = [note + ("." if device.type == "cpu" else " samples a batch.")]
        # Outside the handler: the exception holds on to the tensors of the failed attempt.
        logger.warning(notes[0])
        torch.cuda.empty_cache()
    result = replace(result, separation=separation(vectors, result.labels, seed))
    return replace(result, warnings=notes + health_warnings(result))


def _cluster(vectors, graph, num_clusters, config, seed, device, checkpoint, progress):
    data, neighbors = _seen_by_heads(vectors, graph, config, device)
    batch, per_epoch, total = config.schedule(len(data))
    settings = (num_clusters, config.to_dict(), identity(seed))
    key = checkpoint and training_fingerprint(vectors, *settings, graph.indices[:1000])
    checkpoint = TrainingCheckpoint(checkpoint, key)

    student = Heads(
        config.heads,
        data.shape[1],
        num_clusters,
        dtype=matmul_dtype(device),
        generator=generator(derived(seed, Stream.HEADS)),
    )
    student = student.to(device)
    if config.warm_start_steps:
        warmed, progress = part(progress, 0.0, 0.15), part(progress, 0.15, 1.0)
        if checkpoint.load(device) is None:
            targets = starts(data, neighbors, num_clusters, config, seed, part(warmed, 0.0, 0.7))
            warm_start(student, targets, data, config, batch, seed, part(warmed, 0.7, 1.0))
    training = Training(student, data, neighbors, config, batch, per_epoch, total, seed)
    training.run(checkpoint, part(progress, 0.0, 0.97))

    teacher = training.teacher.heads
    losses = training.mean_losses(max(32, total // 10))
    near = neighbors[:, :NEAREST].cpu().numpy() if config.whiten else graph.indices
    scores = neighbor_information(head_labels(teacher, data), near, seed)
    best = int(np.argmax(scores) if config.select == "information" else np.argmin(losses))
    votes = vote(teacher, data, config.temperature, best, config.combine)
    progress(1.0, "labelled the samples")
    checkpoint.remove()
    return PseudoLabels(
        labels=votes.labels,
        confidence=votes.confidence,
        agreement=votes.agreement,
        head_losses=losses,
        best_head=best,
        occupancy=np.bincount(votes.labels, minlength=num_clusters),
        loss_curve=epoch_means(training.curve[:, best], per_epoch),
        head_scores=scores,
        seed_agreement=votes.seed_agreement,
    )


def _seen_by_heads(vectors, graph, config, device):
    """The (N, d) tensor that the heads see and the (N, k) neighbours, both on the device."""
    data = torch.from_numpy(standardize(vectors)).to(device)
    neighbors = torch.from_numpy(np.ascontiguousarray(graph.indices)).to(device)
    if config.components and (config.whiten or data.shape[1] > config.components):
        data = principal_components(data, config.components)
    if config.whiten:
        # An average dimension of standardised vectors has variance 1.
        data = whitened(data)
    keep = min(graph.k, max(FEWEST_NEIGHBORS, round(config.neighbor_share * graph.k)))
    if keep < graph.k:
        neighbors = nearest(data, neighbors, keep)
    return data, neighbors


def standardize(vectors: Vectors) -> Vectors:
    """Centred, scaled by one common factor so that an average dimension has variance 1, float32; a new array.

    One factor, not one per dimension: cosine neighbourhoods and the relative weight of dimensions stay as they are.
    """
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = scratch.empty(vectors.shape)
    np.subtract(vectors, mean, out=centred, dtype=np.float32)
    # Block by block, so that no second copy is made.
    squares = sum(float(np.square(rows, dtype=np.float64).sum()) for rows in np.array_split(centred, _blocks(centred)))
    scale = math.sqrt(squares / centred.size)
    centred /= np.float32(scale if scale > 0 else 1.0)
    return centred


def principal_components(data: torch.Tensor, count: int) -> torch.Tensor:
    """The projection (N, count) of centred (N, D) ``data`` on its directions of largest variance."""
    axes = principal_axes(data.split(scratch.ROWS), data.shape[1], count, data.device).float()
    return by_rows(lambda rows: data[rows] @ axes, data, axes.shape[1])


def _blocks(array, megabytes=64):
    return max(1, array.nbytes // (megabytes << 20))
