"""Plain implementations of the published recipes, to measure against: one network at a time, float32, no tricks.

They are written from the papers' formulas, as a careful reader would write them, and serve no other purpose.
"""

import copy
import itertools

import torch
import torch.nn.functional as F
from torch import nn


class PlainHead(nn.Module):
    """D-512, GELU, 256, L2 norm, weight-normed C."""

    def __init__(self, dim, num_clusters):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(dim, 512), nn.GELU(), nn.Linear(512, 256))
        self.last = nn.Linear(256, num_clusters, bias=False)

    def forward(self, x):
        return F.linear(F.normalize(self.body(x), dim=1), F.normalize(self.last.weight, dim=1))


class PlainTemi:
    """TEMI with a Python loop over its heads; ``step()`` is one optimiser step."""

    def __init__(
        self,
        vectors,
        neighbors,
        num_clusters,
        *,
        heads=50,
        batch=1024,
        rate=4e-4,
        temperature=0.1,
        beta=0.6,
        momentum=0.996,
        seed=0,
    ):
        torch.manual_seed(seed)
        self.data = torch.as_tensor(vectors, dtype=torch.float32)
        self.neighbors = torch.as_tensor(neighbors).long()
        self.students = nn.ModuleList(PlainHead(self.data.shape[1], num_clusters) for _ in range(heads))
        self.teachers = copy.deepcopy(self.students).requires_grad_(False)
        self.marginals = [torch.full((num_clusters,), 1 / num_clusters) for _ in range(heads)]
        self.optimizer = torch.optim.AdamW(self.students.parameters(), lr=rate, weight_decay=1e-4)
        self.batch, self.temperature, self.beta, self.momentum = batch, temperature, beta, momentum
        self._batches = itertools.chain.from_iterable(self._epoch() for _ in itertools.count())

    def _epoch(self):
        return torch.randperm(len(self.data))[: len(self.data) // self.batch * self.batch].split(self.batch)

    def step(self):
        x = next(self._batches)
        partner = self.neighbors[x, torch.randint(self.neighbors.shape[1], (len(x),))]
        a, b = self.data[x], self.data[partner]
        students = [(self._softmax(head, a), self._softmax(head, b)) for head in self.students]
        with torch.no_grad():
            teachers = [(self._softmax(head, a), self._softmax(head, b)) for head in self.teachers]
            weights = sum((p * q).sum(dim=1) for p, q in teachers) / len(teachers)
            for marginal, (p, q) in zip(self.marginals, teachers):
                marginal.mul_(0.9).add_(0.1 * torch.cat([p, q]).mean(dim=0))
        loss = 0
        for marginal, (sa, sb), (ta, tb) in zip(self.marginals, students, teachers):
            forward = -((sa * tb) ** self.beta / marginal).sum(dim=1).log()
            backward = -((sb * ta) ** self.beta / marginal).sum(dim=1).log()
            loss = loss + (weights * (forward + backward) / 2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for teacher, student in zip(self.teachers.parameters(), self.students.parameters()):
                teacher.mul_(self.momentum).add_((1 - self.momentum) * student)
        return loss.item()

    def _softmax(self, head, x):
        return F.softmax(head(x) / self.temperature, dim=1)


def plain_beta_search(vectors, labels, coresets, held_out, *, steps=150, batch=256, hidden=256, rate=0.02):
    """Trains one float32 MLP after another, each on its coreset, and tests it on held-out pseudo-labels."""
    data = torch.as_tensor(vectors, dtype=torch.float32)
    data = (data - data.mean(dim=0)) / data.std(dim=0).clamp_min(1e-6)
    labels = torch.as_tensor(labels).long()
    accuracies = []
    for coreset, test in zip(coresets, held_out):
        x, y = data[coreset], labels[coreset]
        model = nn.Sequential(nn.Linear(data.shape[1], hidden), nn.ReLU(), nn.Linear(hidden, int(labels.max()) + 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        batches = itertools.chain.from_iterable(torch.randperm(len(x)).split(batch) for _ in itertools.count())
        for rows in itertools.islice(batches, steps):
            loss = F.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            accuracies.append((model(data[test]).argmax(dim=1) == labels[test]).float().mean().item())
    return accuracies
