import copy

import pytest
import torch

from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.proxy.members import WAYS, members_forward
from elfs_plugin.proxy.training import cross_entropy

pytestmark = pytest.mark.usefixtures("one_thread")


def networks(members=3, classes=4):
    config = ProxyConfig.resnet8(members=members)
    return config.row.make_network(classes, (16, 16), 5, config)[0].networks


def one_step(members, way, device="cpu"):
    """Logits, gradients and buffers after a pass."""
    members = copy.deepcopy(members).to(device).train()
    rng = torch.Generator().manual_seed(0)
    x, labels = torch.rand((6, 3, 16, 16), generator=rng), torch.tensor([0, 1, 2, 3, 0, 1])
    logits = members_forward(members, x.to(device), way)
    cross_entropy(logits, labels.to(device)).backward()
    return logits.detach(), [p.grad for p in members.parameters()], list(members.buffers())


@pytest.mark.parametrize("way", [*WAYS, "auto"])
def test_every_way_computes_the_same(way):
    members = networks()
    expected, found = one_step(members, "sequential"), one_step(members, way)
    assert found[0].shape == (6, 3, 4)
    for one, other in zip(expected, found):
        torch.testing.assert_close(list(other), list(one), rtol=1e-3, atol=1e-4)


def test_on_a_cpu_they_are_computed_one_after_another():
    members = networks()
    assert all(torch.equal(a, b) for a, b in zip(one_step(members, "auto")[1], one_step(members, "sequential")[1]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("way", WAYS)
def test_a_gpu_agrees_with_the_cpu(way):
    members = networks()
    expected, found = one_step(members, "sequential"), one_step(members, way, "cuda")
    for one, other in zip(expected, found):
        torch.testing.assert_close([t.cpu() for t in other], list(one), rtol=1e-2, atol=1e-2)
