"""Embeddings and their neighbour graph to pseudo-labels: deep clustering by TEMI.

Method and defaults: Adaloglou et al. 2023, as used by ELFS (ICLR 2025). Among the heads the one with the lowest
training loss is kept; no true label is involved.
"""

import math
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from .devices import autocast, generator, has_gpu, resolve_device
from .errors import InvalidInput
from .progress import part, silent
from .temi import Heads, Teacher, temi_loss

WARM_START_RATE = 1e-3


@dataclass(frozen=True)
class ClusteringConfig:
    """Settings of TEMI; the defaults are the published ones.

    ``learning_rate`` is per 256 samples of a batch and is scaled with the actual batch, as in the original.
    ``max_steps`` caps the optimiser steps whatever the number of epochs; ``min_steps`` raises the epochs of a small
    data set, which needs its thousand steps too. ``batch_size`` is reduced for sets smaller than four batches.
    ``warm_start_steps`` > 0 first fits every head to its own, differently seeded spherical k-means (not in the paper):
    the loss of thousands of cold steps is then reached within hundreds.
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

    @classmethod
    def published(cls):
        """50 heads, 200 epochs: the paper's recipe. Meant for a GPU."""
        return cls()

    @classmethod
    def quick(cls):
        """The default on a CPU: the same loss with 8 heads, started from k-means, for 500 steps."""
        return cls(heads=8, learning_rate=2e-4, min_steps=500, max_steps=500, warm_start_steps=100)

    @classmethod
    def default(cls):
        return cls.published() if has_gpu() else cls.quick()

    def __post_init__(self):
        for name in ("heads", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1, not {getattr(self, name)}.", name)

    def to_dict(self):
        return asdict(self)

    def schedule(self, n):
        """(batch size, steps per epoch, total steps) for n samples."""
        batch = min(self.batch_size, max(64, 1 << int(math.log2(max(n // 4, 1)))), n)
        per_epoch = max(1, n // batch)
        steps = max(self.epochs * per_epoch, self.min_steps)
        return batch, per_epoch, min(steps, self.max_steps) if self.max_steps else steps


@dataclass(frozen=True)
class PseudoLabels:
    """The result of clustering N samples into C clusters.

    ``labels`` (N,) int32; ``confidence`` (N,) float32, the highest cluster probability; ``agreement`` (N,) float32, the
    share of the heads that put the sample in the same cluster after Hungarian matching; ``head_losses`` (H,) mean loss
    of the last epoch, ``best_head`` the lowest of them; ``occupancy`` (C,) samples per cluster; ``loss_curve``
    (epochs,) of the best head; ``warnings`` sentences for the user.
    """

    labels: np.ndarray
    confidence: np.ndarray
    agreement: np.ndarray
    head_losses: np.ndarray
    best_head: int
    occupancy: np.ndarray
    loss_curve: np.ndarray
    warnings: list = field(default_factory=list)

    @property
    def num_clusters(self):
        return len(self.occupancy)


def validate_num_clusters(num_clusters, n):
    """Raises :class:`InvalidInput` unless 2 <= num_clusters <= n."""
    if isinstance(num_clusters, bool) or not isinstance(num_clusters, (int, np.integer)):
        raise InvalidInput(f"The number of clusters must be a whole number, not {num_clusters}.", "num_clusters")
    if num_clusters < 2:
        raise InvalidInput(
            f"The number of clusters must be between 2 and {n:,}, not {num_clusters}. It is the number of "
            "classes you expect.",
            "num_clusters",
        )
    if num_clusters > n:
        raise InvalidInput(
            f"{n:,} samples cannot fill {num_clusters:,} clusters. Choose between 2 and {n:,} clusters, or a larger "
            "view.",
            "num_clusters",
        )


def cluster(vectors, graph, num_clusters, *, config=None, seed=0, device="auto", progress=silent):
    """Trains TEMI's heads and labels every sample by the best one.

    Args:
        vectors: (N, D) float embeddings
        graph: their :class:`~.neighbors.NeighborGraph`
        num_clusters: C, at least 2, at most N
        config: :class:`ClusteringConfig` (default: published on a GPU, quick on a CPU)

    Returns:
        :class:`PseudoLabels`

    Source: TEMI (BMVC 2023), loss in :func:`~.temi.temi_loss`.
    """
    config = config or ClusteringConfig.default()
    vectors = np.asarray(vectors, dtype=np.float32)
    n = len(vectors)
    validate_num_clusters(num_clusters, n)
    if len(graph.indices) != n:
        raise InvalidInput(f"The graph has {len(graph.indices)} points, the vectors {n}.")
    device = resolve_device(device)
    data = torch.from_numpy(standardize(vectors)).to(device)
    neighbors = torch.from_numpy(np.ascontiguousarray(graph.indices)).to(device)

    student = Heads(config.heads, data.shape[1], num_clusters, generator=generator(seed)).to(device)
    if config.warm_start_steps:
        warm_start(student, data, config, seed, part(progress, 0.0, 0.2))
        progress = part(progress, 0.2, 1.0)
    teacher, head_losses, curves = _train(student, data, neighbors, config, seed, progress)
    labels, confidence = _assign(teacher.heads, data, config.temperature)

    best = int(np.argmin(head_losses))
    occupancy = np.bincount(labels[best], minlength=num_clusters)
    result = PseudoLabels(
        labels=labels[best],
        confidence=confidence[best],
        agreement=head_agreement(labels, best, num_clusters),
        head_losses=head_losses,
        best_head=best,
        occupancy=occupancy,
        loss_curve=curves[:, best],
    )
    return replace(result, warnings=health_warnings(result))


def standardize(vectors):
    """Centred, scaled by one common factor so that an average dimension has variance 1, float32.

    One factor, not one per dimension: cosine neighbourhoods and the relative weight of dimensions stay as they are.
    """
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = float(np.sqrt(np.mean(np.square(centred), dtype=np.float64)))
    return (centred / (scale if scale > 0 else 1.0)).astype(np.float32)


def warm_start(student, data, config, seed, progress):
    """Fits each head to the labels of its own spherical k-means by a few steps of cross-entropy.

    The steps are few and the labels smoothed, so that the heads start near a good partition but not saturated.
    """
    import faiss

    heads, num_clusters = student.prototypes.shape[0], student.prototypes.shape[2]
    n = len(data)
    unit = F.normalize(data, dim=1).cpu().numpy()
    targets = np.empty((heads, n), dtype=np.int64)
    for head in range(heads):
        kmeans = faiss.Kmeans(
            unit.shape[1],
            num_clusters,
            niter=25,
            spherical=True,
            seed=(seed * 1009 + head) % (1 << 31),
            min_points_per_centroid=1,
            max_points_per_centroid=2048,
        )
        kmeans.train(unit)
        targets[head] = kmeans.index.search(unit, 1)[1][:, 0]
        progress(0.5 * (head + 1) / heads, f"k-means {head + 1} of {heads}")
    targets = torch.from_numpy(targets).to(data.device)
    batch = config.schedule(n)[0]
    optimizer = torch.optim.AdamW(student.parameters(), lr=WARM_START_RATE, fused=True)
    rng = generator(seed + 2, data.device)
    for step in range(config.warm_start_steps):
        x = torch.randint(n, (batch,), generator=rng, device=data.device)
        with autocast(data.device):
            logits = student(data[x])
        loss = F.cross_entropy(
            (logits / config.temperature).flatten(0, 1), targets[:, x].flatten(), label_smoothing=0.1
        )
        optimizer.zero_grad(set_to_none=True)
        (loss * heads).backward()
        optimizer.step()
        progress(0.5 + 0.5 * (step + 1) / config.warm_start_steps, "fitting the heads to k-means")


def _train(student, data, neighbors, config, seed, progress):
    """Returns the teacher, the last epoch's mean loss per head (H,) and all epochs' (E, H)."""
    device = data.device
    n, k = neighbors.shape
    batch, per_epoch, total = config.schedule(n)
    heads, num_clusters = student.prototypes.shape[0], student.prototypes.shape[2]
    teacher = Teacher(student, config.teacher_momentum)
    rate = config.learning_rate * batch / 256
    optimizer = torch.optim.AdamW(student.parameters(), lr=rate, weight_decay=config.weight_decay, fused=True)
    warmup = max(1, min(config.warmup_epochs * per_epoch, total // 5))
    marginal = torch.full((heads, num_clusters), 1.0 / num_clusters, device=device)
    rng = generator(seed + 1, device)
    curves = []
    sums, counted = torch.zeros(heads, dtype=torch.float64, device=device), 0

    for step in range(total):
        if step % per_epoch == 0:
            order = torch.randperm(n, generator=rng, device=device)
        at = (step % per_epoch) * batch
        x = order[at : at + batch]
        partner = neighbors[x, torch.randint(k, (len(x),), generator=rng, device=device)].long()
        pairs = torch.cat([data[x], data[partner]])

        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / warmup)
        with autocast(device):
            student_logits = student(pairs)
            with torch.no_grad():
                teacher_logits = teacher.heads(pairs)
        student_log = F.log_softmax(student_logits / config.temperature, dim=2)
        teacher_log = F.log_softmax(teacher_logits / config.temperature, dim=2)
        with torch.no_grad():
            marginal.lerp_(teacher_log.exp().mean(dim=1), 1.0 - config.marginal_momentum)
        per_head = temi_loss(*student_log.chunk(2, dim=1), *teacher_log.chunk(2, dim=1), marginal, beta=config.beta)
        optimizer.zero_grad(set_to_none=True)
        per_head.sum().backward()
        optimizer.step()
        teacher.update()

        sums += per_head.detach()
        counted += 1
        if (step + 1) % per_epoch == 0 or step + 1 == total:
            curves.append((sums / counted).cpu().numpy())
            sums.zero_()
            counted = 0
            progress((step + 1) / total, f"step {step + 1:,} of {total:,}, best loss {curves[-1].min():.3f}")
    curves = np.stack(curves)
    # With few steps an epoch one epoch's mean is noisy; the last tenth of the training decides.
    tail = max(1, min(len(curves) // 10, math.ceil(32 / per_epoch)))
    return teacher, curves[-tail:].mean(axis=0), curves


@torch.no_grad()
def _assign(heads, data, temperature, rows=8192):
    """Cluster (H, N) int32 and its probability (H, N) float32 of every sample by every head."""
    labels, confidence = [], []
    for block in data.split(rows):
        probabilities = F.softmax(heads(block) / temperature, dim=2)
        top = probabilities.max(dim=2)
        labels.append(top.indices.int().cpu().numpy())
        confidence.append(top.values.cpu().numpy())
    return np.concatenate(labels, axis=1), np.concatenate(confidence, axis=1)


def align(labels, reference, num_clusters):
    """Renames the clusters of ``labels`` (N,) to overlap most with ``reference`` (N,) (Hungarian matching)."""
    overlap = np.zeros((num_clusters, num_clusters), dtype=np.int64)
    np.add.at(overlap, (labels, reference), 1)
    rows, columns = linear_sum_assignment(-overlap)
    mapping = np.empty(num_clusters, dtype=np.int32)
    mapping[rows] = columns
    return mapping[labels]


def head_agreement(labels, best, num_clusters):
    """Share of heads that agree with head ``best`` on each sample, each aligned to it first.

    ``labels`` (H, N); returns (N,) float32 in [1/H, 1].
    """
    reference = labels[best]
    votes = sum((align(one, reference, num_clusters) == reference) for one in labels)
    return (votes / len(labels)).astype(np.float32)


def marginal_entropy(occupancy):
    """Entropy of the cluster sizes over its maximum, in [0, 1]; 1 when all clusters are equally large."""
    share = np.asarray(occupancy, dtype=np.float64) / max(np.sum(occupancy), 1)
    positive = share[share > 0]
    return float(-(positive * np.log(positive)).sum() / np.log(len(share))) if len(share) > 1 else 0.0


def health_warnings(result):
    """Sentences about what a user should know before trusting the clusters."""
    n, num_clusters = len(result.labels), result.num_clusters
    warnings = []
    empty = int((result.occupancy == 0).sum())
    if empty:
        warnings.append(
            f"{empty} of {num_clusters} clusters are empty. Try fewer clusters, or another encoder if there should be "
            "as many classes."
        )
    tiny = int(((result.occupancy > 0) & (result.occupancy < 0.1 * n / num_clusters)).sum())
    if tiny:
        warnings.append(f"{tiny} of {num_clusters} clusters hold less than a tenth of an even share.")
    if marginal_entropy(result.occupancy) < 0.5:
        warnings.append("Most samples fell into few clusters (collapse). Try another encoder, seed or cluster count.")
    agreement = float(result.agreement.mean())
    if len(result.head_losses) > 1 and agreement < 0.6:
        warnings.append(
            f"The heads agree on only {agreement:.0%} of the samples: the clusters are not well determined by these "
            "embeddings. Try another cluster count or a stronger encoder."
        )
    return warnings
