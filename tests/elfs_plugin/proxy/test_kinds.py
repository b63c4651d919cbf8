import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.proxy import kinds
from elfs_plugin.proxy.kinds import resolve_proxy
from elfs_plugin.proxy.train import ProxyConfig

PROXY = ProxyConfig.mlp(epochs=3, batch_size=32, hidden=16)


def test_resolve_proxy(monkeypatch):
    monkeypatch.setattr(kinds, "has_gpu", lambda: False)
    assert resolve_proxy("auto").kind == "mlp"
    monkeypatch.setattr(kinds, "has_gpu", lambda: True)
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
