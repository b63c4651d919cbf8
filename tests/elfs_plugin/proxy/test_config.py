from dataclasses import replace

import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.proxy import config as module
from elfs_plugin.proxy.config import ProxyConfig, resolve_proxy

PROXY = ProxyConfig.mlp(epochs=3, batch_size=32, hidden=16)

STORED = {
    "kind": "resnet8",
    "epochs": 10,
    "batch_size": 256,
    "learning_rate": 0.1,
    "final_learning_rate": 0.0001,
    "weight_decay": 0.0005,
    "hidden": 128,
    "steps": None,
    "members": 4,
    "left_out": 12,
    "model": None,
    "weights": None,
    "image_size": None,
    "precision": "auto",
    "deterministic": False,
    "compile": "auto",
}


def test_the_papers_schedules():
    paper = ProxyConfig.resnet18()
    assert (paper.epochs, paper.batch_size, paper.learning_rate, paper.weight_decay) == (200, 256, 0.1, 5e-4)
    assert ProxyConfig(**paper.to_dict()) == paper
    assert ProxyConfig.of("resnet18_fast") == replace(paper, epochs=30)
    imagenet = ProxyConfig.timm()
    assert (imagenet.model, imagenet.epochs, imagenet.image_size, imagenet.weights) == ("resnet34", 60, 224, None)
    assert not ProxyConfig.mlp().on_images and paper.on_images and imagenet.on_images


def test_a_name_that_stands_for_several_has_no_configuration_of_its_own():
    with pytest.raises(InvalidInput, match="'auto'"):
        ProxyConfig.of("auto")


def test_what_runs_have_kept_is_read():
    assert list(ProxyConfig.resnet8().to_dict().items()) == list(STORED.items())  # fingerprints go by them
    assert ProxyConfig.from_dict(STORED) == ProxyConfig.resnet8()
    assert ProxyConfig.from_dict({**STORED, "of_a_newer_version": 1}) == ProxyConfig.resnet8()
    assert ProxyConfig.from_dict(None) == ProxyConfig.from_dict({}) == ProxyConfig.mlp()
    assert ProxyConfig.from_dict({"kind": "mlp", "epochs": 3}) == ProxyConfig.mlp(epochs=3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ProxyConfig.mlp(epochs=0), "epochs must be 1 or more, not 0"),
        (lambda: ProxyConfig.mlp(steps=0), "steps must be 1 or more"),
        (lambda: ProxyConfig.mlp(left_out=16), "left_out must be from 0 to 15"),
        (lambda: ProxyConfig.resnet18(batch_size=1), "batches of two"),
        (lambda: ProxyConfig.resnet18(kind="vgg"), "Unknown kind of proxy 'vgg'"),
        (lambda: ProxyConfig.resnet18(model="resnet34"), "belong to proxies of the kind 'timm'"),
        (lambda: ProxyConfig.resnet18(weights="a.pt"), "belong to proxies of the kind 'timm'"),
        (lambda: ProxyConfig.resnet18(precision="half"), "'auto' or 'float32'"),
    ],
)
def test_impossible_settings(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


def test_resolve_proxy(monkeypatch):
    monkeypatch.setattr(module, "_has_gpu", lambda: False)
    assert resolve_proxy("auto").kind == "mlp"
    monkeypatch.setattr(module, "_has_gpu", lambda: True)
    assert resolve_proxy("auto").kind == "resnet18"
    assert resolve_proxy("auto", images_available=False).kind == "mlp"
    assert resolve_proxy("mlp") == ProxyConfig.mlp() and resolve_proxy("resnet18") == ProxyConfig.resnet18()
    assert resolve_proxy(PROXY, images_available=False) is PROXY
    assert resolve_proxy("resnet8") == ProxyConfig.resnet8()
    assert resolve_proxy("resnet18_fast") == ProxyConfig.of("resnet18_fast")
    assert resolve_proxy("timm:resnet34") == ProxyConfig.timm("resnet34")
    with pytest.raises(InvalidInput, match="timm:resnet34 needs the image files"):
        resolve_proxy("timm:resnet34", images_available=False)
    for unknown in ("timm:", "resnet34", None, 18):
        with pytest.raises(InvalidInput, match="Unknown proxy"):
            resolve_proxy(unknown)
