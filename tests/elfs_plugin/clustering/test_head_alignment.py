import math

import numpy as np
import pytest
import torch

from elfs_plugin.clustering.head_alignment import head_labels, neighbor_information, vote


class Table(torch.nn.Module):
    """Stands in for trained heads: head h gives sample x (a row number) the logits ``logits[h, x]``."""

    def __init__(self, probabilities):
        super().__init__()
        self.logits = torch.tensor(probabilities).log()
        heads, _, clusters = self.logits.shape
        self.first, self.prototypes = torch.zeros(heads, 1, 1), torch.zeros(heads, 1, clusters)

    def forward(self, x):
        return self.logits[:, x[:, 0].long()]


ROWS = torch.arange(4.0)[:, None]

FIRST = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]
RENAMED = [[0.1, 0.9], [0.2, 0.8], [0.7, 0.3], [0.9, 0.1]]  # the same clusters, called the other way round
SECOND = [[0.6, 0.4], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]  # puts the third sample elsewhere


def test_the_best_head_labels_and_renamed_clusters_agree():
    votes = vote(Table([FIRST, RENAMED, SECOND]), ROWS, 1.0, best=0)
    assert votes.labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(votes.confidence, [0.9, 0.8, 0.7, 0.9], rtol=1e-6)
    np.testing.assert_allclose(votes.agreement, [1, 1, 2 / 3, 1], rtol=1e-6)
    # Heads 0 and 2 average the third sample to (0.45, 0.55), head 1 alone is (0.3, 0.7): the halves agree everywhere.
    assert votes.seed_agreement == 1.0


def test_the_average_is_taken_after_the_clusters_are_matched():
    votes = vote(Table([SECOND, RENAMED]), ROWS, 1.0, best=0, combine="average")
    np.testing.assert_allclose(votes.confidence, [0.75, 0.85, 0.55, 0.85], rtol=1e-6)
    assert votes.labels.tolist() == [0, 0, 1, 1]
    assert votes.agreement.tolist() == [1, 1, 0.5, 1]
    assert votes.seed_agreement == 0.75


def test_one_head_has_no_agreement_between_seeds():
    votes = vote(Table([FIRST]), ROWS, 1.0, best=0)
    assert votes.agreement.tolist() == [1] * 4 and math.isnan(votes.seed_agreement)


def test_head_labels():
    assert head_labels(Table([FIRST, SECOND]), ROWS).tolist() == [[0, 0, 1, 1], [0, 0, 0, 1]]


def test_information_of_neighbours_by_hand():
    neighbors = np.array([[1], [0], [3], [2]])
    together = [0, 0, 1, 1]  # neighbours always share the cluster: log 2
    apart = [0, 1, 0, 1]  # neighbours never do, which tells as much
    unrelated = [0, 0, 0, 0]
    scores = neighbor_information(np.array([together, apart, unrelated]), neighbors)
    np.testing.assert_allclose(scores, [math.log(2), math.log(2), 0.0], atol=1e-12)
    # Cluster sizes 1 and 3; pairs (0, 1), (1, 0), (1, 1), (1, 1).
    one = 2 * (0.25 * math.log(4) + 0.75 * math.log(4 / 3)) - (2 * 0.25 * math.log(4) + 0.5 * math.log(2))
    assert neighbor_information(np.array([[0, 1, 1, 1]]), neighbors)[0] == pytest.approx(one)
