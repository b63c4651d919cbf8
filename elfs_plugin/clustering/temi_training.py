"""Training TEMI's heads: a start from k-means, then steps on pairs of neighbours; resumable at any step."""

import logging

import numpy as np
import torch
import torch.nn.functional as F

from ..devices import generator
from ..errors import Cancelled, ElfsError
from ..progress import part
from ..seeds import Stream, derived
from .temi import Teacher, temi_loss

logger = logging.getLogger(__name__)

WARM_START_RATE = 1e-3
LABEL_SMOOTHING = 0.1
KMEANS_POINTS = 2048
"""Points per cluster that k-means is fitted to at most."""

STEPS_BETWEEN_LOOKS = 25
"""Steps between two looks at the loss (whether it is finite, whether it still falls), which make a GPU wait."""

PLATEAU_STEPS = 200
"""Steps whose mean loss is compared with that of as many before them."""


def kmeans_targets(data, num_clusters, heads, seed, progress):
    """Labels (H, N) int64 of H spherical k-means of (N, D) ``data``, each from another seed."""
    import faiss

    unit = F.normalize(data, dim=1).cpu().numpy()
    targets = np.empty((heads, len(unit)), dtype=np.int64)
    for head in range(heads):
        kmeans = faiss.Kmeans(
            unit.shape[1],
            num_clusters,
            niter=25,
            spherical=True,
            seed=derived(seed, Stream.KMEANS, head, bits=31),
            min_points_per_centroid=1,
            max_points_per_centroid=KMEANS_POINTS,
        )
        kmeans.train(unit)
        targets[head] = kmeans.index.search(unit, 1)[1][:, 0]
        progress((head + 1) / heads, f"k-means {head + 1} of {heads}")
    return torch.from_numpy(targets)


def warm_start(student, data, config, batch, seed, progress):
    """Fits each head to the labels of its own spherical k-means by a few steps of cross-entropy.

    The steps are few and the labels smoothed, so that the heads start near a good partition but not saturated: a
    saturated head moves slowly afterwards.
    """
    heads, num_clusters, n = len(student.first), student.prototypes.shape[2], len(data)
    targets = kmeans_targets(data, num_clusters, heads, seed, part(progress, 0.0, 0.7)).to(data.device)
    optimizer = torch.optim.AdamW(student.parameters(), lr=WARM_START_RATE, fused=True)
    rng = generator(derived(seed, Stream.WARM_START))
    for step in range(config.warm_start_steps):
        x = torch.randint(n, (batch,), generator=rng).to(data.device)
        logits = student(data[x]) / config.temperature
        loss = F.cross_entropy(logits.flatten(0, 1), targets[:, x].flatten(), label_smoothing=LABEL_SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        (loss * heads).backward()
        optimizer.step()
        progress(0.7 + 0.3 * (step + 1) / config.warm_start_steps, "fitting the heads to k-means")


class Training:
    """The student, its teacher, the optimiser and the position of one training.

    Everything random is drawn from one CPU generator, so that a seed means the same on every device and a saved
    generator state and step number are enough to go on.

    Args:
        student: :class:`~.temi.Heads` on the data's device
        data: (N, D) float32 tensor
        neighbors: (N, k) int tensor
        batch, per_epoch, total: samples a step, steps an epoch, steps at most
    """

    def __init__(self, student, data, neighbors, config, batch, per_epoch, total, seed):
        self.student, self.config = student, config
        self.teacher = Teacher(student, config.teacher_momentum)
        self.step, self.total, self.stopped_early = 0, total, False
        self._data, self._neighbors = data, neighbors
        self._batch, self._per_epoch = batch, per_epoch
        self._rate = config.learning_rate * batch / 256
        self._warmup = max(1, min(config.warmup_epochs * per_epoch, total // 5))
        self._optimizer = torch.optim.AdamW(
            student.parameters(), lr=self._rate, weight_decay=config.weight_decay, fused=True
        )
        heads, num_clusters = len(student.first), student.prototypes.shape[2]
        self._marginal = torch.full((heads, num_clusters), 1.0 / num_clusters, device=data.device)
        self._rng = generator(derived(seed, Stream.PAIRS))
        self._epoch_rng = None
        self._order = None
        self._losses = torch.zeros(STEPS_BETWEEN_LOOKS, heads, device=data.device)
        self.curve = np.empty((0, heads))
        self._pair_losses = compiled(self._pair_losses, data.device)

    def run(self, checkpoint, progress):
        """Trains to the end or until the loss stops falling, from the checkpoint's step when it has one.

        ``curve`` then holds (steps, H) losses.
        """
        saved = checkpoint.load(self._data.device)
        if saved is not None:
            self._restore(saved)
            progress(self.step / self.total, f"resumed at step {self.step:,}")
        while self.step < self.total and not self.stopped_early:
            self._advance()
            self.step += 1
            if self.step % STEPS_BETWEEN_LOOKS and self.step < self.total:
                continue
            self._look()
            detail = f"step {self.step:,} of {self.total:,}, loss {self.curve[-1].min():.3f}"
            try:
                progress(1.0 if self.stopped_early else self.step / self.total, detail)
            except Cancelled:
                checkpoint.save(self._state())
                raise
            if checkpoint.due:
                checkpoint.save(self._state())
        # What is left to do with the heads can be interrupted too.
        checkpoint.save(self._state())
        return self

    def mean_losses(self, steps=PLATEAU_STEPS):
        """(H,) mean loss of every head over the last steps."""
        return self.curve[-steps:].mean(axis=0)

    def _advance(self):
        at = self.step % self._per_epoch
        if at == 0 or self._order is None:
            if at == 0:
                self._epoch_rng = self._rng.get_state()
            self._order = torch.randperm(len(self._data), generator=self._rng)
        x = self._order[at * self._batch : (at + 1) * self._batch]
        which = torch.randint(self._neighbors.shape[1], (len(x),), generator=self._rng)
        x, which = x.to(self._data.device), which.to(self._data.device)
        partner = self._neighbors[x, which].long()
        pairs = torch.cat([self._data[x], self._data[partner]])
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * min(1.0, (self.step + 1) / self._warmup)
        losses = self._pair_losses(pairs)
        self._optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self._optimizer.step()
        self.teacher.update()
        self._losses[self.step % STEPS_BETWEEN_LOOKS] = losses.detach()

    def _pair_losses(self, pairs):
        config = self.config
        student = F.log_softmax(self.student(pairs) / config.temperature, dim=2)
        with torch.no_grad():
            teacher = F.log_softmax(self.teacher.heads(pairs) / config.temperature, dim=2)
            self._marginal.lerp_(teacher.exp().mean(dim=1), 1.0 - config.marginal_momentum)
        return temi_loss(*student.chunk(2, dim=1), *teacher.chunk(2, dim=1), self._marginal, beta=config.beta)

    def _look(self):
        """Takes the losses since the last look into the curve; stops a training that has come to nothing."""
        count = (self.step - 1) % STEPS_BETWEEN_LOOKS + 1
        fresh = self._losses[:count].double().cpu().numpy()
        if not np.isfinite(fresh).all():
            step = self.step - count + int(np.flatnonzero(~np.isfinite(fresh).all(axis=1))[0]) + 1
            raise ElfsError(
                f"Clustering (TEMI) failed at step {step:,} of {self.total:,}: the loss is not a number. The likely "
                f"cause is a learning rate that is too high ({self._rate:.3g} here), or embeddings with enormous "
                "values. Lower the learning rate or check the embeddings."
            )
        self.curve = np.concatenate([self.curve, fresh])
        if self.config.tolerance and self.step >= max(self.config.min_steps, 2 * PLATEAU_STEPS):
            before = self.curve[-2 * PLATEAU_STEPS : -PLATEAU_STEPS].mean(axis=0).min()
            self.stopped_early = before - self.mean_losses().min() < self.config.tolerance * abs(before)

    def _state(self):
        return {
            "step": self.step,
            "stopped_early": bool(self.stopped_early),
            "student": self.student.state_dict(),
            "teacher": self.teacher.heads.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "marginal": self._marginal,
            "rng": self._rng.get_state(),
            "epoch_rng": self._epoch_rng,
            "curve": torch.from_numpy(self.curve),
        }

    def _restore(self, state):
        self.step, self.stopped_early = state["step"], state["stopped_early"]
        self.student.load_state_dict(state["student"])
        self.teacher.heads.load_state_dict(state["teacher"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._marginal.copy_(state["marginal"])
        self.curve = state["curve"].cpu().numpy()
        # The order of the epoch under way is drawn again, then the generator goes on where it stood.
        self._epoch_rng = state["epoch_rng"].cpu()
        self._rng.set_state(self._epoch_rng)
        self._order = torch.randperm(len(self._data), generator=self._rng)
        self._rng.set_state(state["rng"].cpu())


def compiled(function, device):
    """``function`` through torch.compile on a GPU (which fuses the loss's small kernels); as it is elsewhere, or when
    the compiler does not work there."""
    if device.type != "cuda":
        return function
    quick = torch.compile(function, dynamic=False)
    works = None

    def call(*arguments):
        nonlocal works
        if works is not False:
            try:
                result = quick(*arguments)
                works = True
                return result
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # a missing C compiler, an unsupported GPU: anything the compiler raises
                if works:
                    raise
                logger.info("torch.compile does not work here (%s); going on without it.", error)
                works = False
        return function(*arguments)

    return call


def epoch_means(curve, per_epoch):
    """(steps,) losses as the mean of every epoch, the last one possibly short."""
    return np.array([curve[at : at + per_epoch].mean() for at in range(0, len(curve), per_epoch)])
