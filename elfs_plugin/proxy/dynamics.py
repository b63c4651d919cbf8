"""Training dynamics, streamed: one small accumulator per score, O(N) memory whatever the epochs and classes.

:class:`Recorder` has two verbs, ``update(indices, logits, labels)`` once per batch and ``finalize()``. Every sample is
expected once per epoch. Of an ensemble every member keeps its own account, and a score is the mean over the members.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from .. import scratch
from ..contracts import Floats, Integers
from ..pruning.scores import HARD_WHEN

__all__ = ["HARD_WHEN", "Dynamics", "Recorder", "margin"]

EL2N_EPOCHS = 10
"""EL2N is an early score: only the first epochs count (Paul et al. 2021; CCS sums the first 10)."""

DUAL_EPOCHS = 30
"""DUAL watches the first T = 30 epochs (Cho et al. 2025) ..."""

DUAL_WINDOW = 10
"""... through a window of J = 10 epochs that slides by one."""

FINALIZED_ROWS = 1 << 14
"""Samples whose scores are made at once."""


@dataclass(frozen=True)
class Dynamics:
    """Scores of N samples, each (N,) float64; of an ensemble the mean over the members that scored the sample.

    * ``aum``: sum over epochs of the probability margin p_y - max_{c != y} p_c, in [-E, E]; low = hard (CCS, ELFS)
    * ``aum_logit``: mean over epochs of the logit margin z_y - max_{c != y} z_c; low = hard (Pleiss et al. 2020)
    * ``forgetting``: transitions from right to wrong; E for a sample never learnt, the hardest (Toneva et al. 2019)
    * ``el2n``: sum over the first 10 epochs of ||p - onehot(y)||_2; high = hard (Paul et al. 2021)
    * ``correctness``: number of epochs predicted right; low = hard
    * ``entropy``: of the prediction in the last epoch, in nats; high = hard
    * ``dual``: mean over the windows w of J = 10 epochs within the first 30 of std_w(p_y) * (1 - mean_w(p_y)), with
      the sample standard deviation; high = hard but learnable (DUAL, Cho et al. 2025, arXiv 2502.06905, without its
      constant factor 10). Of fewer than 10 epochs all are one window; ``dual_window`` says how long it was.
    * ``aum_spread``: standard deviation of ``aum`` over the members; 0 for a single network. No measure of difficulty

    Results stored before a score existed are read with NaN in its place.
    """

    aum: Floats
    aum_logit: Floats
    forgetting: Floats
    el2n: Floats
    correctness: Floats
    entropy: Floats
    epochs: int
    dual: Floats | None = None
    aum_spread: Floats | None = None
    dual_window: int = 0

    def __post_init__(self) -> None:
        for name in ("dual", "aum_spread"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(len(self.aum), np.nan))
        for name in ("epochs", "dual_window"):
            # Stored results come back as arrays without dimensions.
            object.__setattr__(self, name, int(getattr(self, name)))

    def reordered(self, order: Integers) -> Dynamics:
        """The same scores with the samples in the order ``order`` (N,), a permutation."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value[order] for name, value in values.items() if np.ndim(value) == 1})


def margin(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """values[y] minus the largest other value: (..., B, C), (B,) -> (..., B)."""
    at = labels[..., None].expand(*values.shape[:-1], 1)
    own = values.gather(-1, at)[..., 0]
    others = values.scatter(-1, at, float("-inf"))
    return own - others.amax(dim=-1)


class Recorder:
    """Feeds all accumulators from one softmax per batch.

    Args:
        n: N, the number of samples
        members: M, the number of networks watched at once

    Memory: about 50 M N bytes, and 40 M N more for DUAL's window. On a CPU what is large of it is mapped.
    """

    def __init__(self, n: int, device: str | torch.device = "cpu", members: int = 1) -> None:
        def zeros(dtype, *more):
            if torch.device(device).type != "cpu":
                return torch.zeros((n, members, *more), dtype=dtype, device=device)
            return torch.from_numpy(scratch.zeros((n, members, *more), str(dtype).removeprefix("torch.")))

        self._aum, self._aum_logit, self._el2n = (zeros(torch.float64) for _ in range(3))
        self._dual = zeros(torch.float64)
        self._entropy = zeros(torch.float32)
        self._seen, self._correct, self._forgotten = (zeros(torch.int32) for _ in range(3))
        self._was_right = zeros(torch.bool)
        # The last J probabilities of the pseudo-label; where in the window each stands does not matter.
        self._window = zeros(torch.float32, DUAL_WINDOW)

    @torch.no_grad()
    def update(self, indices: Any, logits: Any, labels: Any, counted: Any = None) -> None:
        """One batch as it stands in this epoch; tensors or arrays.

        Args:
            indices: (B,) distinct
            logits: (B, C), or (M, B, C) of an ensemble
            labels: (B,) int
            counted: (M, B) bool, the members whose prediction counts (default: all); the same in every epoch
        """
        device = self._aum.device
        rows = torch.as_tensor(indices, device=device).long()
        labels = torch.as_tensor(labels, device=device).long()
        logits = torch.as_tensor(logits, device=device)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        logits = (logits if logits.ndim == 3 else logits[None]).transpose(0, 1)
        labels = labels[:, None].expand(-1, logits.shape[1])
        if counted is None:
            counted = torch.ones_like(labels, dtype=torch.bool)
        else:
            counted = torch.as_tensor(counted, device=device).T
        log_p = logits.log_softmax(dim=-1)
        p = log_p.exp()
        own = p.gather(-1, labels[..., None])[..., 0]
        seen = self._seen[rows]
        self._aum[rows] += torch.where(counted, margin(p, labels), 0.0)
        self._aum_logit[rows] += torch.where(counted, margin(logits, labels), 0.0)
        # ||p - onehot(y)||^2 = ||p||^2 - p_y^2 + (1 - p_y)^2, summed without the cancellation
        others = p.scatter(-1, labels[..., None], 0.0)
        error = (others.square().sum(dim=-1) + (1.0 - own).square()).sqrt()
        self._el2n[rows] += torch.where(counted & (seen < EL2N_EPOCHS), error, 0.0)
        entropy = -(p * log_p.clamp_min(-745.0)).sum(dim=-1)
        self._entropy[rows] = torch.where(counted, entropy.to(self._entropy.dtype), self._entropy[rows])
        right = logits.argmax(dim=-1) == labels
        was_right = self._was_right[rows]
        self._forgotten[rows] += (counted & was_right & ~right).int()
        self._was_right[rows] = torch.where(counted, right, was_right)
        self._correct[rows] += (counted & right).int()
        self._seen[rows] += counted.int()
        self._slide(rows, own, seen, counted)

    def _slide(self, rows, own, seen, counted):
        early = counted & (seen < DUAL_EPOCHS)
        window = self._window[rows]
        place = (seen % DUAL_WINDOW).long()[..., None]
        before = window.gather(-1, place)[..., 0]
        window.scatter_(-1, place, torch.where(early, own.to(window.dtype), before)[..., None])
        self._window[rows] = window
        full = early & (seen + 1 >= DUAL_WINDOW)
        self._dual[rows] += torch.where(full, _dual(window), 0.0)

    def finalize(self) -> Dynamics:
        """:class:`Dynamics` of all that was recorded."""
        epochs = int(self._seen.max())
        parts = [self._scores(rows, epochs) for rows in scratch.blocks(len(self._seen), FINALIZED_ROWS)]
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Dynamics(**found, epochs=epochs, dual_window=min(DUAL_WINDOW, epochs))

    def _scores(self, rows, epochs):
        """{name: (R,) float64} of some rows: the means over the members."""
        seen, aums = self._seen[rows], self._aum[rows]
        voters = seen > 0
        count = voters.sum(dim=1).clamp_min(1)

        def mean(values):
            return torch.where(voters, values.double(), 0.0).sum(dim=1) / count

        window = min(DUAL_WINDOW, epochs)
        windows = (seen.clamp_max(DUAL_EPOCHS) - window + 1).clamp_min(1)
        dual = self._dual[rows] / windows if epochs >= DUAL_WINDOW else _dual(self._window[rows, :, :window])
        aum = mean(aums)
        found = {
            "aum": aum,
            "aum_logit": mean(self._aum_logit[rows] / seen.clamp_min(1)),
            "forgetting": mean(torch.where(self._correct[rows] == 0, seen, self._forgotten[rows])),
            "el2n": mean(self._el2n[rows]),
            "correctness": mean(self._correct[rows]),
            "entropy": mean(self._entropy[rows]),
            "dual": mean(dual),
            "aum_spread": mean((aums - aum[:, None]).square()).sqrt(),
        }
        return {name: values.double().cpu().numpy() for name, values in found.items()}


def _dual(window):
    """std * (1 - mean) of (..., J) probabilities; 0 where a window of one has no deviation."""
    if window.shape[-1] < 2:
        return torch.zeros_like(window[..., :1]).sum(dim=-1)
    window = window.double()
    return window.std(dim=-1) * (1.0 - window.mean(dim=-1))
