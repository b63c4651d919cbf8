import numpy as np
import pytest
import torch

from elfs_plugin.clustering.whitening import nearest, whitened


def test_directions_above_the_average_count_alike_and_the_others_less():
    rng = np.random.default_rng(0)
    wanted = np.array([10_000.0, 100.0, 1.0, 0.0001])
    data = torch.from_numpy((rng.normal(size=(4000, 4)) * np.sqrt(wanted)).astype(np.float32))
    variance = whitened(data).double().square().mean(dim=0).numpy()
    assert variance.mean() == pytest.approx(1.0, rel=1e-3)
    np.testing.assert_allclose(variance / variance[0], wanted / (wanted + 1), rtol=0.1)


def test_constant_data_stay_as_they_are():
    assert (whitened(torch.zeros(5, 3)) == 0).all()


def test_the_neighbours_that_are_nearest_here_in_their_order(monkeypatch):
    data = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [9.0, 1.0]])
    neighbors = torch.tensor([[1, 2, 3], [2, 0, 3], [0, 1, 3], [0, 1, 2]], dtype=torch.int32)
    monkeypatch.setattr("elfs_plugin.clustering.whitening.BLOCK_ELEMENTS", 12)  # two rows at once
    # Sample 1 is as near to 0 as to 2: the earlier one stays first.
    assert nearest(data, neighbors, 2).tolist() == [[3, 1], [3, 2], [1, 3], [0, 1]]
    assert nearest(data, neighbors, 2).dtype == torch.int32
