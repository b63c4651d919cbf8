import dataclasses
import subprocess
import sys

import pytest

from elfs_plugin.errors import InvalidInput, MissingModel
from elfs_plugin.proxy import kinds
from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.proxy.kinds import KINDS, Kind, check_proxy, choices, learners, settings_of


def test_every_name_makes_a_configuration_of_its_kind():
    assert list(choices()) == ["mlp", "resnet8", "resnet18", "resnet18_fast"]
    for name in choices():
        config = ProxyConfig.of(name)
        assert config.to_dict() == {**config.to_dict(), **settings_of(name)}
        assert config.row is KINDS[settings_of(name)["kind"]]
    assert ProxyConfig.of("timm:resnet18").model == "resnet18"


def test_labels_say_what_it_is_and_what_it_takes():
    assert choices()["mlp"] == "MLP on the embeddings: seconds"
    assert choices()["resnet18_fast"] == "ResNet-18 on the images, 30 epochs: use a GPU"
    assert learners()["resnet8"] == "A network on the images, from scratch: minutes, on a CPU too"
    assert list(learners()) == ["mlp", "resnet8", "resnet18"]


@pytest.mark.parametrize("name", ["timm:", "timm", "resnet34", "MLP", "", None, 18, ["mlp"]])
def test_unknown_names(name):
    assert settings_of(name) is None
    with pytest.raises(InvalidInput, match="Unknown proxy .* Use 'auto', 'mlp', .* or 'timm:<model>'") as error:
        check_proxy(name, "beta_proxy")
    assert error.value.field == "beta_proxy"


def test_known_names():
    for name in ("auto", "timm:resnet34.a1_in1k", *choices()):
        check_proxy(name)
    with pytest.raises(MissingModel, match="no model named 'resnet43'.*resnet34"):
        check_proxy("timm:resnet43")


def test_names_labels_and_settings_need_no_pytorch():
    code = (
        "import sys\n"
        "from elfs_plugin.proxy.config import ProxyConfig\n"
        "from elfs_plugin.proxy.kinds import check_proxy, choices\n"
        "for name in choices():\n"
        "    check_proxy(name)\n"
        "    ProxyConfig.of(name)\n"
        "sys.exit(' '.join({'torch', 'timm', 'torchvision'} & set(sys.modules)) or None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_row_is_all_that_a_kind_needs(monkeypatch):
    """A further kind on images trains, is searched with, and is offered."""
    from elfs_plugin.beta_search.search import candidate
    from elfs_plugin.proxy.train import train_proxy
    from tests.elfs_plugin.proxy.test_train import tinted_images

    row = dataclasses.replace(KINDS["resnet8"], name="tiny", label="A tiny one", candidate={"steps": 7})
    monkeypatch.setattr(kinds, "KINDS", {**KINDS, "tiny": row})
    config = ProxyConfig.of("tiny", epochs=1)
    assert config.on_images and config.side_by_side == 4 and candidate(config).steps == 7
    assert choices()["tiny"] == "A tiny one: minutes, on a CPU too"
    labels = [0, 1] * 6
    assert train_proxy(tinted_images(labels), labels, config=config, device="cpu").aum.shape == (12,)


def test_a_kind_without_a_network_learns_from_embeddings():
    assert not Kind("plain", "", "", "", settings={}, candidate={}).on_images
