import pytest

from elfs_plugin import devices
from elfs_plugin.errors import InvalidInput, MissingModel
from elfs_plugin.proxy.kinds import NAMES, check_proxy, resolve_proxy
from elfs_plugin.proxy.train import ProxyConfig

PROXY = ProxyConfig.mlp(epochs=3, batch_size=32, hidden=16)


def test_resolve_proxy(monkeypatch):
    monkeypatch.setattr(devices, "has_gpu", lambda: False)
    assert resolve_proxy("auto").kind == "mlp"
    monkeypatch.setattr(devices, "has_gpu", lambda: True)
    assert resolve_proxy("auto").kind == "resnet18"
    assert resolve_proxy("auto", images_available=False).kind == "mlp"
    assert resolve_proxy("mlp") == ProxyConfig.mlp() and resolve_proxy("resnet18") == ProxyConfig.resnet18()
    assert resolve_proxy(PROXY, images_available=False) is PROXY
    assert resolve_proxy("resnet8") == ProxyConfig.resnet8()
    assert resolve_proxy("resnet18_fast") == ProxyConfig.resnet18_fast()
    assert resolve_proxy("timm:resnet34") == ProxyConfig.timm("resnet34")
    with pytest.raises(InvalidInput, match="timm:resnet34 needs the image files"):
        resolve_proxy("timm:resnet34", images_available=False)
    for unknown in ("timm:", "resnet34", None, 18):
        with pytest.raises(InvalidInput, match="Unknown proxy"):
            resolve_proxy(unknown)


@pytest.mark.parametrize("name", [*NAMES, "timm:resnet18", "timm:resnet10t.c3_in1k"])
def test_what_is_accepted_can_be_resolved(name):
    check_proxy(name)
    assert resolve_proxy(name).kind in ("mlp", "resnet8", "resnet18", "timm")


@pytest.mark.parametrize("name", ["", "timm", "timm:", "resnet34", "MLP", None, 18, ["mlp"]])
def test_what_names_no_proxy(name):
    with pytest.raises(InvalidInput, match="Unknown proxy .* Use 'auto', 'mlp'") as caught:
        check_proxy(name, "beta_proxy")
    assert caught.value.field == "beta_proxy"


def test_a_model_that_timm_does_not_have():
    with pytest.raises(MissingModel, match="timm has no model named 'resnet81'. Similar names: resnet18"):
        check_proxy("timm:resnet81")
