"""The networks and the loss of TEMI (Adaloglou et al., "Exploring the Limits of Deep Image Clustering using Pretrained
Models", BMVC 2023), with all heads in one batched computation."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

INIT_STD = 0.02
"""Standard deviation of the truncated normal that initialises the heads (as in DINO, whose head TEMI uses)."""

TINY_MARGINAL = 1e-8


class Heads(nn.Module):
    """H independent heads: linear D-512, GELU, linear 512-256, L2 norm, weight-normed linear 256-C.

    ``forward`` maps (B, D) to logits (H, B, C), cosines in [-1, 1], in float32; ``dtype`` is that of the matrix
    products.
    """

    def __init__(
        self,
        heads: int,
        dim: int,
        num_clusters: int,
        *,
        hidden: int = 512,
        bottleneck: int = 256,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.first = nn.Parameter(torch.empty(heads, dim, hidden))
        self.first_bias = nn.Parameter(torch.zeros(heads, 1, hidden))
        self.second = nn.Parameter(torch.empty(heads, hidden, bottleneck))
        self.second_bias = nn.Parameter(torch.zeros(heads, 1, bottleneck))
        self.prototypes = nn.Parameter(torch.empty(heads, bottleneck, num_clusters))
        for weight in (self.first, self.second, self.prototypes):
            nn.init.trunc_normal_(weight, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD, generator=generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads, dtype = len(self.first), self.dtype
        same = x.to(dtype).expand(heads, -1, -1)
        if x.device.type == "cpu":
            # oneDNN copies strided operands in every product, the backward ones included.
            same = same.contiguous()
        h = torch.bmm(same, self.first.to(dtype))
        h = F.gelu(h + self.first_bias.to(dtype))
        h = torch.bmm(h, self.second.to(dtype)) + self.second_bias.to(dtype)
        # The direction of each prototype is learnt, its length is not: logits are cosines. Dividing the C logits by
        # the norm is the same as, and less work than, dividing the 256 values before the product.
        norm = torch.linalg.vector_norm(h, dim=2, keepdim=True, dtype=torch.float32).clamp_min(1e-12)
        return torch.bmm(h, F.normalize(self.prototypes, dim=1).to(dtype)).float() / norm


class Teacher:
    """The exponential moving average of the student's heads."""

    def __init__(self, student: Heads, momentum: float) -> None:
        self.heads = copy.deepcopy(student).requires_grad_(False)
        self._momentum = momentum
        self._own: list[torch.Tensor] = list(self.heads.parameters())
        self._student = list(student.parameters())

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(self._own, [p.detach() for p in self._student], 1.0 - self._momentum)


def pair_weights(teacher_a: torch.Tensor, teacher_b: torch.Tensor) -> torch.Tensor:
    """How likely a pair shares its cluster: the mean over heads of sum_c q_t(c|x) q_t(c|x').

    Arguments (H, B, C) probabilities; returns (B,).
    """
    return (teacher_a * teacher_b).sum(dim=2).mean(dim=0)


def temi_loss(
    student_a: torch.Tensor,
    student_b: torch.Tensor,
    teacher_a: torch.Tensor,
    teacher_b: torch.Tensor,
    marginal: torch.Tensor,
    *,
    beta: float = 0.6,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """TEMI's loss of each head for a batch of pairs (x, x').

    L_h = mean over pairs of w(x, x') (l(x, x') + l(x', x)) / 2 with
    l(x, x') = -log sum_c (q_s(c|x) q_t(c|x'))^beta / m_h(c).

    Args:
        student_a, student_b: (H, B, C) log-probabilities of the student for x and x'
        teacher_a, teacher_b: (H, B, C) log-probabilities of the teacher, without gradient
        marginal: (H, C) running mean of the teacher's probabilities, m_h
        beta: the exponent; below 1 it spreads the clusters' sizes
        weights: (B,) pair weights, see :func:`pair_weights`; computed from the teacher when not given

    Returns:
        (H,) losses
    """
    if weights is None:
        weights = pair_weights(teacher_a.exp(), teacher_b.exp())
    # A cluster nobody is in has a marginal that underflows in the end.
    log_marginal = marginal.clamp_min(TINY_MARGINAL).log()[:, None, :]
    forward = -torch.logsumexp(beta * (student_a + teacher_b) - log_marginal, dim=2)
    backward = -torch.logsumexp(beta * (student_b + teacher_a) - log_marginal, dim=2)
    return (weights * (forward + backward) / 2).mean(dim=1)
