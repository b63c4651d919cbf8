import pytest
import torch

from elfs_plugin.proxy.networks import build_network
from elfs_plugin.proxy.small_resnets import ResNet8
from elfs_plugin.proxy.train import ProxyConfig
from elfs_plugin.proxy.training import cross_entropy


def test_the_positions_and_channels_of_the_stages():
    network, x, shapes = ResNet8(7), torch.zeros(2, 3, 32, 32), []
    for layer in [network.stem, *network.stages]:
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 16, 16), (16, 16, 16), (32, 8, 8), (64, 4, 4)]
    assert network.head(x.mean(dim=(2, 3))).shape == (2, 7)


@pytest.mark.parametrize("size", [8, 15, 100])
def test_every_size_an_image_proxy_takes(size):
    assert ResNet8(3)(torch.zeros(2, 3, size, size)).shape == (2, 3)


def test_side_by_side_each_learns_as_it_would_by_itself():
    model, _ = build_network(ProxyConfig.resnet8(members=3), 4, (16, 16), seed=5)
    rng = torch.Generator().manual_seed(0)
    x, labels = torch.rand((6, 3, 16, 16), generator=rng), torch.tensor([0, 1, 2, 3, 0, 1])
    logits = model(x)
    assert logits.shape == (6, 3, 4)
    cross_entropy(logits, labels).backward()
    for at, network in enumerate(model.networks):
        together = [parameter.grad.clone() for parameter in network.parameters()]
        network.zero_grad()
        alone = network(x)
        assert torch.equal(alone, logits[:, at])
        torch.nn.functional.cross_entropy(alone, labels, reduction="sum").backward()
        assert all(torch.allclose(a, b.grad, atol=1e-6) for a, b in zip(together, network.parameters()))


def test_the_networks_begin_at_different_weights():
    model, _ = build_network(ProxyConfig.resnet8(members=2), 4, (16, 16), seed=0)
    one, other = (network.state_dict() for network in model.networks)
    assert all(not torch.equal(one[name], other[name]) for name in one if "conv" in name or name == "head.weight")
