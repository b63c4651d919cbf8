import pytest
import torch
from torch import nn

from elfs_plugin.proxy.narrow_maps import has_narrow_maps


@pytest.mark.parametrize(
    ("stride", "size", "narrow"), [(1, 1, False), (2, 1, True), (2, 2, False), (4, 3, True), (4, 4, False)]
)
def test_maps_shorter_than_the_stride_are_found(stride, size, narrow):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, stride=stride, padding=1))
    assert has_narrow_maps(model, torch.zeros(2, 3, size, size)) is narrow
    assert has_narrow_maps(model, torch.zeros(2, 3, size, 8)) is narrow
    assert has_narrow_maps(model, torch.zeros(2, 3, 8, size)) is narrow


def test_the_network_stays_as_it_is():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    has_narrow_maps(model, torch.randn(2, 3, 8, 8))
    assert model.training and not model[0]._forward_pre_hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_gradients_of_such_maps_are_whole_in_float32():
    """What is relied on: the columns that see padding alone have a gradient of 0, whatever the memory held."""
    convolution = nn.Conv2d(32, 48, 3, stride=2, padding=1, bias=False).to(memory_format=torch.channels_last)
    for _ in range(5):
        left = [torch.full((size,), torch.nan) for size in (6_912, 13_824, 27_648)]
        del left
        convolution.weight.grad = None
        convolution(torch.randn(6, 32, 1, 1)).sum().backward()
        gradient = convolution.weight.grad
        assert gradient.isfinite().all()
        outer = torch.ones(3, 3, dtype=torch.bool)
        outer[1, 1] = False
        assert (gradient[:, :, outer] == 0).all() and (gradient[:, :, 1, 1] != 0).any()
