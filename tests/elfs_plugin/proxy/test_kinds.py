import pytest

from elfs_plugin.errors import InvalidInput, MissingModel
from elfs_plugin.pipeline import resolve_proxy
from elfs_plugin.proxy.kinds import NAMES, check_proxy


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
