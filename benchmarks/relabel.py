"""A learner that mends wrong labels while it learns: what Prune4ReL selects for.

SOP (Liu et al., Robust Training under Label Noise by Over-parameterization, ICML 2022, arXiv 2202.14026): every sample
has parameters u (one number) and v (one per class) of its own that can take up the error of its label,
s = u² y - v² (1 - y), so that the network need not.

As in SOP+: the parameters with their tiny start and their own learning rates, the loss of the sum of prediction and s
for network and u, the squared error of the hard prediction for v, the class balance, and the consistency of the
predictions for two views of a sample. There an image network sees two augmented images; here a small MLP learns on
embeddings, and the second view is the standardised embedding with normal noise.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from elfs_plugin.devices import generator, one_thread, resolve_device
from elfs_plugin.errors import ElfsError, InvalidInput
from elfs_plugin.progress import silent
from elfs_plugin.proxy.mlp import Networks, Standardised
from elfs_plugin.seeds import Stream, derived

_EPSILON = 1e-4
_START = 1e-8


@dataclass(frozen=True)
class RelabelConfig:
    """SGD with Nesterov momentum 0.9 and a cosine schedule for the network, plain SGD at a constant rate for u and v.

    ``balance`` weighs the divergence of a batch's mean prediction from equal classes, and ``consistency`` that of the
    prediction for the second view from the first one's (SOP+: 0.1 and 0.9). ``view_noise`` is the standard deviation of
    the noise in the second view; the embeddings have 1. Without ``over_parameterised`` the learner is plain
    cross-entropy: the baseline that mends nothing.
    """

    steps: int = 1500
    batch_size: int = 128
    learning_rate: float = 0.02
    weight_decay: float = 5e-4
    hidden: int = 128
    rate_u: float = 10.0
    rate_v: float = 10.0
    balance: float = 0.1
    consistency: float = 0.9
    view_noise: float = 1.0
    over_parameterised: bool = True

    def __post_init__(self):
        for name in ("steps", "batch_size", "hidden"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1, not {getattr(self, name)}.", name)
        for name in ("balance", "consistency", "view_noise"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InvalidInput(f"{name} must be at least 0, not {getattr(self, name)}.", name)


class Relabeller:
    """A trained learner. ``labels`` (b,) int64 are the mended labels of what it was trained on."""

    def __init__(self, network, data, rows):
        self._network = network
        self._data = data
        self.labels = self.predict(rows)

    @torch.no_grad()
    def predict(self, rows):
        """(R,) int64 classes of rows of the embeddings."""
        rows = torch.as_tensor(np.asarray(rows, dtype=np.int64), device=self._data.device)
        found = [self._network(self._data.take(block))[0].argmax(dim=1) for block in rows.split(4096)]
        return torch.cat(found).cpu().numpy()


def train_relabeller(embeddings, labels, rows, num_classes, *, config=None, seed=0, device="auto", progress=silent):
    """Trains on some samples with labels that may be wrong.

    Args:
        embeddings: (N, D), all of them, also those that are only predicted later; no label of these is read
        labels: (N,) int in [0, num_classes), given ones
        rows: (b,) the samples to train on

    Returns:
        :class:`Relabeller`
    """
    config = config or RelabelConfig()
    device = resolve_device(device)
    rows = np.asarray(rows, dtype=np.int64)
    given = np.asarray(labels)[rows]
    if len(rows) == 0 or num_classes < 2 or given.min() < 0 or given.max() >= num_classes:
        raise InvalidInput(f"A re-labelling learner needs samples with labels from 0 to {num_classes - 1}.")
    data = Standardised(embeddings, device)
    network = Networks(data.dimensions, config.hidden, num_classes, [derived(seed, Stream.NETWORK)], device)
    rng = generator(derived(seed, Stream.RELABEL))
    b, size = len(rows), min(config.batch_size, len(rows))
    u = (torch.randn(b, 1, generator=rng) * _START).to(device).requires_grad_()
    v = (torch.randn(b, num_classes, generator=rng) * _START).to(device).requires_grad_()
    taken = torch.as_tensor(rows, device=device)
    targets = F.one_hot(torch.as_tensor(given.astype(np.int64), device=device), num_classes).float()
    own = [{"params": [u], "lr": config.rate_u}, {"params": [v], "lr": config.rate_v}]
    optimizer = torch.optim.SGD(
        network.parameters(), lr=config.learning_rate, momentum=0.9, nesterov=True, weight_decay=config.weight_decay
    )
    noise = torch.optim.SGD(own, lr=config.rate_u)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    order = torch.empty(0, dtype=torch.long)
    with one_thread(device):
        for step in range(config.steps):
            if len(order) < size:
                order = torch.randperm(b, generator=rng)
            batch, order = order[:size].to(device), order[size:]
            view = data.take(taken[batch])
            logits = network(view)[0]
            loss = sop_loss(logits, targets[batch], u[batch], v[batch], config)
            if config.over_parameterised and config.consistency:
                other = view + config.view_noise * torch.randn(view.shape, generator=rng).to(view)
                loss = loss + config.consistency * consistency_loss(logits, network(other)[0])
            if not torch.isfinite(loss):
                raise ElfsError(f"The re-labelling learner failed at step {step + 1:,}: lower its learning rates.")
            optimizer.zero_grad(set_to_none=True)
            noise.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if config.over_parameterised:
                noise.step()
            schedule.step()
            progress((step + 1) / config.steps, f"step {step + 1:,} of {config.steps:,}")
        return Relabeller(network, data, rows)


def sop_loss(logits, targets, u, v, config):
    """The loss of a batch: cross-entropy of softmax + u² y - v² (1 - y), normalised, plus the squared error of the hard
    prediction with the same terms, plus the class balance.

    Args:
        logits: (B, C); targets: (B, C) one-hot; u: (B, 1); v: (B, C)
    """
    p = logits.softmax(dim=1)
    if not config.over_parameterised:
        return F.cross_entropy(logits, targets)
    taken_up = (u.square() * targets).clamp(0, 1)
    put_down = (v.square() * (1 - targets)).clamp(0, 1)
    mixed = (p + taken_up - put_down.detach()).clamp_min(_EPSILON)
    mixed = (mixed / mixed.sum(dim=1, keepdim=True)).clamp(_EPSILON, 1.0)
    loss = -(targets * mixed.log()).sum(dim=1).mean()
    hard = F.one_hot(logits.detach().argmax(dim=1), logits.shape[1]).float()
    loss = loss + (hard + taken_up - put_down - targets).square().sum() / len(logits)
    if config.balance:
        loss = loss - config.balance * p.mean(dim=0).clamp(_EPSILON, 1.0).log().mean()
    return loss


def consistency_loss(logits, other):
    """Mean over a batch of KL(p ∥ q), p predicted for the first view, which learns nothing by it, q for the other."""
    return F.kl_div(other.log_softmax(dim=1), logits.detach().softmax(dim=1), reduction="batchmean")


def relabel_accuracy(
    embeddings, labels, rows, held_out, true_labels, num_classes, *, config=None, seed=0, device="auto", progress=silent
):
    """How well a learner does that was trained on ``rows`` with ``labels``. An audit: true labels are read here.

    Returns:
        (accuracy on ``held_out``, share of right labels among ``rows`` after mending), both in [0, 1]
    """
    learner = train_relabeller(
        embeddings, labels, rows, num_classes, config=config, seed=seed, device=device, progress=progress
    )
    truth = np.asarray(true_labels)
    return float((learner.predict(held_out) == truth[held_out]).mean()), float((learner.labels == truth[rows]).mean())
