import numpy as np
import torch

from elfs_plugin.principal_components import principal_axes


def centred(n=60, width=5):
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(n, width)) * [1, 5, 2, 4, 3])
    return points - points.mean(dim=0)


def test_axes_are_those_of_largest_variance_and_orthonormal():
    points = centred()
    axes = principal_axes([points], 5, 3)
    assert axes.shape == (5, 3)
    torch.testing.assert_close(axes.T @ axes, torch.eye(3, dtype=torch.float64))
    variances = (points @ axes).var(dim=0)
    expected = torch.linalg.eigvalsh(points.T @ points).flip(0)[:3] / (len(points) - 1)
    torch.testing.assert_close(variances, expected)


def test_blocks_do_not_matter_and_the_largest_weight_is_positive():
    points = centred()
    axes = principal_axes([points], 5, 5)
    torch.testing.assert_close(principal_axes(points.split(7), 5, 5), axes)
    torch.testing.assert_close(principal_axes([-points], 5, 5), axes)
    assert (axes.gather(0, axes.abs().argmax(dim=0)[None]) > 0).all()


def test_no_more_axes_than_dimensions():
    assert principal_axes([centred()], 5, 9).shape == (5, 5)
