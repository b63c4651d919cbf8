"""From the heads of a clustering to one labelling: which head is best, how the others' clusters correspond, how far the
heads agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from ..contracts import Floats, Integers
from ..seeds import Stream, rng
from .matching import matching

if TYPE_CHECKING:
    from .temi import Heads


BLOCK_ELEMENTS = 1 << 24
"""Probabilities that are held at once while all samples pass through all heads."""

JUDGED_SAMPLES = 50_000
"""Samples, drawn at random, whose neighbours decide between heads."""


@dataclass(frozen=True)
class HeadVotes:
    """``labels`` (N,) int32 and ``confidence`` (N,) float32 of the chosen labelling, ``agreement`` (N,) float32, the
    share of heads that give a sample that label, ``seed_agreement`` the share of samples on which two halves of the
    heads agree (NaN for one head)."""

    labels: Integers
    confidence: Floats
    agreement: Floats
    seed_agreement: float


def probabilities(
    heads: Heads, data: torch.Tensor, temperature: float, rows: int | None = None
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yields (slice, (H, B, C) probabilities) over all rows of (N, D) ``data``."""
    width = len(heads.first) * max(heads.prototypes.shape[2], heads.first.shape[2])
    rows = rows or max(64, BLOCK_ELEMENTS // width)
    for start in range(0, len(data), rows):
        block = slice(start, min(start + rows, len(data)))
        with torch.no_grad():
            yield block, F.softmax(heads(data[block]) / temperature, dim=2)


def head_labels(heads: Heads, data: torch.Tensor) -> Integers:
    """(H, N) int32: every head's own cluster of every sample."""
    labels = np.empty((len(heads.first), len(data)), dtype=np.int32)
    for block, p in probabilities(heads, data, 1.0):
        labels[:, block] = p.argmax(dim=2).int().cpu().numpy()
    return labels


def neighbor_information(labels: Integers, neighbors: Integers, seed: int = 0) -> Floats:
    """How much each head's clusters tell about the clusters of neighbours: (H,) mutual information in nats.

    I(c; c') over the pairs of a sample and its neighbours, from hard labels: high when neighbours share clusters that
    are many and even, 0 when all samples share one. TEMI's loss is a soft bound on the same quantity, but also falls
    when a head grows more confident, so that close heads are better told apart by this. No true label is involved.

    Args:
        labels: (H, N) int
        neighbors: (N, k) int
        seed: of the 50,000 samples that are looked at when there are more
    """
    n = labels.shape[1]
    chosen = np.arange(n)
    if n > JUDGED_SAMPLES:
        chosen = np.sort(rng(seed, Stream.JUDGED).choice(n, JUDGED_SAMPLES, replace=False))
    near = neighbors[chosen]
    scores = []
    for one in labels.astype(np.int64):
        own, other = np.repeat(one[chosen], near.shape[1]), one[near].ravel()
        scores.append(_entropy(own) + _entropy(other) - _entropy(own * (one.max() + 1) + other))
    return np.array(scores)


def _entropy(values):
    if values.max(initial=0) <= 4 * len(values):
        counts = np.bincount(values)  # the counts of np.unique, in its order, without sorting
        counts = counts[counts > 0]
    else:
        counts = np.unique(values, return_counts=True)[1]
    share = counts / len(values)
    return float(-(share * np.log(share)).sum())


def vote(heads: Heads, data: torch.Tensor, temperature: float, best: int, combine: str = "best") -> HeadVotes:
    """Labels all samples and compares the heads.

    Every head numbers its clusters its own way, so each is first renamed by Hungarian matching of its soft
    co-occurrence sum_x q_ref(c|x) q_h(c'|x) with the best head's.

    Args:
        heads: trained :class:`~.temi.Heads`
        data: (N, D) tensor
        best: the reference head
        combine: ``"best"`` labels by that head, ``"average"`` by the mean of the renamed heads' probabilities

    Returns:
        :class:`HeadVotes`
    """
    n, count, num_clusters = len(data), len(heads.first), heads.prototypes.shape[2]
    overlap = torch.zeros(count, num_clusters, num_clusters, dtype=torch.float64, device=data.device)
    for _, p in probabilities(heads, data, temperature):
        overlap += torch.bmm(p[best].T.expand(count, -1, -1), p).double()
    # column[h, c]: which cluster of head h is called c
    column = torch.from_numpy(np.stack([matching(of_head) for of_head in overlap.cpu().numpy()])).to(data.device)

    labels = np.empty(n, dtype=np.int32)
    confidence, agreement = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)
    halves_agree = 0
    for block, p in probabilities(heads, data, temperature):
        p = p.gather(2, column[:, None, :].expand_as(p))
        top = (p[best] if combine == "best" else p.mean(dim=0)).max(dim=1)
        labels[block] = top.indices.int().cpu().numpy()
        confidence[block] = top.values.cpu().numpy()
        agreement[block] = (p.argmax(dim=2) == top.indices).float().mean(dim=0).cpu().numpy()
        if count > 1:
            halves_agree += int((p[0::2].mean(dim=0).argmax(dim=1) == p[1::2].mean(dim=0).argmax(dim=1)).sum())
    return HeadVotes(labels, confidence, agreement, halves_agree / n if count > 1 else float("nan"))
