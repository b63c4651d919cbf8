"""Training TEMI's heads: a start from k-means, then steps on pairs of neighbours; resumable at any step."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from ..captured_step import CapturedStep
from ..compiling import keep_on_disk, pays, remember
from ..contracts import Floats, Integers, Progress, Vectors
from ..devices import generator
from ..engine.base import Piece
from ..engine.choose import current
from ..errors import is_gpu_lost
from ..gpu_memory import CPU, or_on_cpu
from ..progress import part
from ..seeds import Stream, derived
from ..training_checkpoint import TrainingCheckpoint
from ..training_loop import EpochDraws, TrainingLoop, set_rate
from . import spectral
from .k_means_on_device import spherical_k_means
from .large_tensors import by_rows
from .temi import Heads, Teacher, temi_loss

if TYPE_CHECKING:
    from .pseudo_labels import ClusteringConfig


logger = logging.getLogger(__name__)

WARM_START_RATE = 1e-3
LABEL_SMOOTHING = 0.1
KMEANS_ITERATIONS = 25
KMEANS_POINTS = 2048
"""Points per cluster that k-means is fitted to at most."""

NEAREST = 10
"""The nearest of the neighbours, on which spectral starts rest and by which heads are judged: the further ones are of
other classes more often."""

STEPS_BETWEEN_LOOKS = 25
"""Steps between two looks at the loss (whether it is finite, whether it still falls), which make a GPU wait."""

SAVED_BY_COMPILING = 5e-4
"""Seconds a step, of a captured one: an estimate. Compiling takes as long as the whole training of most sets."""

PLATEAU_STEPS = 200
"""Steps whose mean loss is compared with that of as many before them."""


def kmeans_targets(
    data: torch.Tensor,
    num_clusters: int,
    heads: int,
    seed: int,
    progress: Progress,
    first: int = 0,
    device: torch.device = CPU,
) -> torch.Tensor:
    """Labels (H, N) int64 of H spherical k-means of (N, D) ``data``, each from another seed; ``first`` is the number of
    the first head. On a GPU, ``device``, by :func:`~.k_means_on_device.spherical_k_means`, else by faiss."""
    unit = by_rows(lambda rows: F.normalize(data[rows], dim=1), data)
    seeds = [derived(seed, Stream.KMEANS, first + head, bits=31) for head in range(heads)]

    def on(device):
        targets = torch.empty(heads, len(unit), dtype=torch.int64)
        if device.type == "cpu":
            made = _kmeans_of_heads(unit.cpu().numpy(), num_clusters, seeds, progress)
        else:
            kmeans = _KMeansOnDevice(unit.to(device), num_clusters)
            made = ((head, kmeans.labels(its_seed)) for head, its_seed in enumerate(seeds))
        for done, (head, labels) in enumerate(made, 1):
            targets[head] = torch.from_numpy(np.array(labels))  # those of a worker cannot be written to
            progress(done / heads, f"k-means {done} of {heads}")
        return targets

    return or_on_cpu(device, on, "k-means")


def _kmeans_of_heads(unit, num_clusters, seeds, progress):
    """(head, labels) of each, by the engine in use."""
    import faiss

    engine = current()
    shared = engine.share(unit)
    pieces = [Piece(kmeans_labels, (shared, num_clusters, seed)) for seed in seeds]
    return engine.run(pieces, progress, threads=faiss.omp_get_max_threads())


def kmeans_labels(unit: Vectors, num_clusters: int, seed: int, report: Progress) -> Integers:
    """Labels (N,) of one spherical k-means of (N, D) rows of unit length, by faiss."""
    import faiss

    kmeans = faiss.Kmeans(
        unit.shape[1],
        num_clusters,
        niter=KMEANS_ITERATIONS,
        spherical=True,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=KMEANS_POINTS,
    )
    kmeans.train(unit)
    return kmeans.index.search(unit, 1)[1][:, 0]


class _KMeansOnDevice:
    def __init__(self, unit, num_clusters):
        self._unit, self._clusters = unit, num_clusters

    def labels(self, seed):
        return spherical_k_means(self._unit, self._clusters, seed, KMEANS_ITERATIONS, KMEANS_POINTS).cpu()


def starts(
    data: torch.Tensor,
    neighbors: torch.Tensor,
    num_clusters: int,
    config: ClusteringConfig,
    seed: int,
    progress: Progress,
) -> torch.Tensor:
    """Labels (H, N) int64 that the heads start from: k-means of the data; with ``config.spectral``, and where it is
    possible, for the second half of them k-means of the spectral embedding of the nearest neighbours."""
    few = config.heads // 2 if config.spectral and spectral.possible(len(data), num_clusters) else 0
    first = config.heads - few
    share = 0.5 if few else 1.0
    targets = kmeans_targets(data, num_clusters, first, seed, part(progress, 0.0, share), device=data.device)
    if not few:
        return targets
    near = neighbors[:, :NEAREST].cpu().numpy()
    embedded = torch.from_numpy(spectral.embedding(near, num_clusters, seed, part(progress, 0.5, 0.8)))
    more = kmeans_targets(embedded, num_clusters, few, seed, part(progress, 0.8, 1.0), first, data.device)
    return torch.cat([targets, more])


def warm_start(
    student: Heads,
    targets: torch.Tensor,
    data: torch.Tensor,
    config: ClusteringConfig,
    batch: int,
    seed: int,
    progress: Progress,
) -> None:
    """Fits each head to its own (N,) row of ``targets`` by a few steps of cross-entropy.

    The steps are few and the labels smoothed, so that the heads start near a good partition but not saturated: a
    saturated head moves slowly afterwards.
    """
    heads, n = len(student.first), len(data)
    targets = targets.to(data.device)
    optimizer = torch.optim.AdamW(student.parameters(), lr=WARM_START_RATE, fused=True)
    rng = generator(derived(seed, Stream.WARM_START))
    for step in range(config.warm_start_steps):
        x = torch.randint(n, (batch,), generator=rng).to(data.device)
        logits = student(data[x]) / config.temperature
        loss = F.cross_entropy(logits.flatten(0, 1), targets[:, x].flatten(), label_smoothing=LABEL_SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        (loss * heads).backward()
        optimizer.step()
        progress((step + 1) / config.warm_start_steps, "fitting the heads to their starts")


class Training(TrainingLoop):
    """The student, its teacher, the optimiser and the position of one training; ``curve`` holds its (steps, H) losses.

    Args:
        student: :class:`~.temi.Heads` on the data's device
        data: (N, D) float32 tensor
        neighbors: (N, k) int tensor
        batch, per_epoch, total: samples a step, steps an epoch, steps at most
    """

    def __init__(
        self,
        student: Heads,
        data: torch.Tensor,
        neighbors: torch.Tensor,
        config: ClusteringConfig,
        batch: int,
        per_epoch: int,
        total: int,
        seed: int,
    ) -> None:
        self.student, self.config = student, config
        self.teacher = Teacher(student, config.teacher_momentum)
        self.device = data.device
        self.total, self.stopped_early = total, False
        self._data, self._neighbors = data, neighbors
        self._batch, self._per_epoch = batch, per_epoch
        self._rate = config.learning_rate * batch / 256
        self._warmup = max(1, min(config.warmup_epochs * per_epoch, total // 5))
        self._optimizer = torch.optim.AdamW(
            student.parameters(), lr=self._rate, weight_decay=config.weight_decay, fused=True
        )
        heads, num_clusters = len(student.first), student.prototypes.shape[2]
        self._marginal = torch.full((heads, num_clusters), 1.0 / num_clusters, device=data.device)
        self._epoch = EpochDraws(
            generator(derived(seed, Stream.PAIRS)), lambda rng: torch.randperm(len(data), generator=rng)
        )
        self.curve = np.empty((0, heads))
        compiled = pays(total, SAVED_BY_COMPILING, "TEMI")
        self._pair_losses = fused_on_gpu(self._losses_of_pairs, data.device) if compiled else self._losses_of_pairs
        self._captured = CapturedStep(self._step_on, data.device, self._optimizer, total)

    @property
    def every(self) -> int:
        return STEPS_BETWEEN_LOOKS

    @property
    def captured(self) -> bool:
        """Whether steps are replayed as a CUDA graph, or will be."""
        return self._captured.active

    @property
    def finished(self) -> bool:
        return self.stopped_early or super().finished

    def run(self, checkpoint: TrainingCheckpoint, progress: Progress) -> Training:
        """Trains to the end or until the loss stops falling, see :meth:`~..training_loop.TrainingLoop.run`."""
        super().run(checkpoint, progress)
        # What is left to do with the heads can be interrupted too.
        self.save(checkpoint)
        return self

    def ended(self) -> None:
        self._captured.close()

    def mean_losses(self, steps: int = PLATEAU_STEPS) -> Floats:
        """(H,) mean loss of every head over the last steps."""
        return self.curve[-steps:].mean(axis=0)

    def advance(self) -> torch.Tensor:
        at = self.step % self._per_epoch
        x = self._epoch.take(at)[at * self._batch : (at + 1) * self._batch]
        which = torch.randint(self._neighbors.shape[1], (len(x),), generator=self._epoch.rng)
        set_rate(self._optimizer, self._rate * min(1.0, (self.step + 1) / self._warmup))
        return self._captured(x, which)

    def _step_on(self, x, which):
        """One step on the samples ``x`` and as many of their neighbours."""
        partner = self._neighbors[x, which].long()
        pairs = torch.cat([self._data[x], self._data[partner]])
        self._optimizer.zero_grad(set_to_none=True)
        losses = self._pair_losses(pairs)
        losses.sum().backward()
        self._optimizer.step()
        self.teacher.update()
        return losses.detach()

    def _losses_of_pairs(self, pairs):
        config = self.config
        student = F.log_softmax(self.student(pairs) / config.temperature, dim=2)
        with torch.no_grad():
            teacher = F.log_softmax(self.teacher.heads(pairs) / config.temperature, dim=2)
            self._marginal.lerp_(teacher.exp().mean(dim=1), 1.0 - config.marginal_momentum)
        own, partners = student.chunk(2, dim=1)
        own_teacher, partners_teacher = teacher.chunk(2, dim=1)
        return temi_loss(own, partners, own_teacher, partners_teacher, self._marginal, beta=config.beta)

    def detail(self) -> str:
        return f"{super().detail()}, loss {self.curve[-1].min():.3f}"

    def failure(self, step: int) -> str:
        return (
            f"Clustering (TEMI) failed at step {step:,} of {self.total:,}: the loss is not a number. The likely cause "
            f"is a learning rate that is too high ({self._rate:.3g} here), or embeddings with enormous values. Lower "
            "the learning rate or check the embeddings."
        )

    def looked(self, losses: torch.Tensor) -> None:
        """Takes the losses into the curve; stops a training that no longer gets anywhere."""
        self.curve = np.concatenate([self.curve, losses.double().cpu().numpy()])
        if self.config.tolerance and self.step >= max(self.config.min_steps, 2 * PLATEAU_STEPS):
            before = self.curve[-2 * PLATEAU_STEPS : -PLATEAU_STEPS].mean(axis=0).min()
            self.stopped_early = bool(before - self.mean_losses().min() < self.config.tolerance * abs(before))

    def state(self) -> dict[str, Any]:
        return {
            "stopped_early": self.stopped_early,
            "student": self.student.state_dict(),
            "teacher": self.teacher.heads.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "marginal": self._marginal,
            "curve": torch.from_numpy(self.curve),
            **self._epoch.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.stopped_early = state["stopped_early"]
        self.student.load_state_dict(state["student"])
        self.teacher.heads.load_state_dict(state["teacher"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._marginal.copy_(state["marginal"])
        self._captured.forget()
        self.curve = state["curve"].cpu().numpy()
        self._epoch.restore(state)


def fused_on_gpu(function: Callable[..., torch.Tensor], device: torch.device) -> Callable[..., torch.Tensor]:
    """``function`` through torch.compile on a GPU (which fuses the loss's small kernels); as it is elsewhere, or when
    the compiler does not work there."""
    if device.type != "cuda":
        return function
    keep_on_disk()
    quick = torch.compile(function, dynamic=False)
    works = None

    def call(*arguments):
        nonlocal works
        if works is not False:
            try:
                result = quick(*arguments)
                if not works:
                    remember("TEMI")
                works = True
                return result
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # a missing C compiler, an unsupported GPU: anything the compiler raises
                if works or is_gpu_lost(error):
                    raise
                logger.info("torch.compile does not work here (%s); going on without it.", error)
                works = False
        return function(*arguments)

    return call


def epoch_means(curve: Floats, per_epoch: int) -> Floats:
    """(steps,) losses as the mean of every epoch, the last one possibly short."""
    return np.array([curve[at : at + per_epoch].mean() for at in range(0, len(curve), per_epoch)])
