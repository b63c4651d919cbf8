"""Training dynamics, streamed: one small accumulator per score, O(N) memory whatever the epochs and classes.

Each accumulator has two verbs, ``update(indices, logits, labels)`` once per training batch and ``finalize()``. Every
sample is expected once per epoch.
"""

from dataclasses import dataclass

import numpy as np
import torch

EL2N_EPOCHS = 10
"""EL2N is an early score: only the first epochs count (Paul et al. 2021; CCS sums the first 10)."""

HARD_WHEN = {"aum": "low", "aum_logit": "low", "forgetting": "high", "el2n": "high", "correctness": "low",
             "entropy": "high"}  # fmt: skip
"""For each score the end at which the hard samples stand."""


@dataclass(frozen=True)
class Dynamics:
    """Scores of N samples, each (N,) float64.

    * ``aum``: sum over epochs of the probability margin p_y - max_{c != y} p_c, in [-E, E]; low = hard (CCS, ELFS)
    * ``aum_logit``: mean over epochs of the logit margin z_y - max_{c != y} z_c; low = hard (Pleiss et al. 2020)
    * ``forgetting``: transitions from right to wrong; E for a sample never learnt, the hardest (Toneva et al. 2019)
    * ``el2n``: sum over the first 10 epochs of ||p - onehot(y)||_2; high = hard (Paul et al. 2021)
    * ``correctness``: number of epochs predicted right; low = hard
    * ``entropy``: of the prediction in the last epoch, in nats; high = hard
    """

    aum: np.ndarray
    aum_logit: np.ndarray
    forgetting: np.ndarray
    el2n: np.ndarray
    correctness: np.ndarray
    entropy: np.ndarray
    epochs: int


def margin(values, labels):
    """values[y] minus the largest other value: (B, C), (B,) -> (B,)."""
    own = values.gather(1, labels[:, None])[:, 0]
    others = values.scatter(1, labels[:, None], float("-inf"))
    return own - others.max(dim=1).values


class Recorder:
    """Feeds all accumulators from one softmax per batch."""

    def __init__(self, n, device="cpu"):
        def zeros(dtype=torch.float64):
            return torch.zeros(n, dtype=dtype, device=device)

        self._aum, self._aum_logit, self._el2n, self._entropy = zeros(), zeros(), zeros(), zeros()
        self._seen, self._correct = zeros(torch.int32), zeros(torch.int32)
        self._forgotten, self._was_right = zeros(torch.int32), zeros(torch.bool)

    @torch.no_grad()
    def update(self, indices, logits, labels):
        """Args: ``indices`` (B,) distinct, ``logits`` (B, C), ``labels`` (B,) int; tensors or arrays."""
        device = self._aum.device
        indices = torch.as_tensor(indices, device=device).long()
        labels = torch.as_tensor(labels, device=device).long()
        logits = torch.as_tensor(logits, device=device).double()
        log_p = logits.log_softmax(dim=1)
        p = log_p.exp()
        self._aum[indices] += margin(p, labels)
        self._aum_logit[indices] += margin(logits, labels)
        error = p.clone()
        error[torch.arange(len(labels), device=device), labels] -= 1.0
        early = self._seen[indices] < EL2N_EPOCHS
        self._el2n[indices] += torch.where(early, error.norm(dim=1), 0.0)
        self._entropy[indices] = -(p * log_p.clamp_min(-745.0)).sum(dim=1)
        right = logits.argmax(dim=1) == labels
        self._forgotten[indices] += (self._was_right[indices] & ~right).int()
        self._was_right[indices] = right
        self._correct[indices] += right.int()
        self._seen[indices] += 1

    def finalize(self):
        epochs = int(self._seen.max())
        forgetting = torch.where(self._correct == 0, self._seen, self._forgotten)

        def array(tensor):
            return tensor.double().cpu().numpy()

        return Dynamics(
            aum=array(self._aum),
            aum_logit=array(self._aum_logit / self._seen.clamp_min(1)),
            forgetting=array(forgetting),
            el2n=array(self._el2n),
            correctness=array(self._correct),
            entropy=array(self._entropy),
            epochs=epochs,
        )
