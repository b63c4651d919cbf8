import pytest
import torch

from elfs_plugin import compiling
from elfs_plugin.errors import MissingModel
from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.proxy.networks import ResNet8, resnet18, through_torch_compile
from elfs_plugin.proxy.training import cross_entropy

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


def make_network(config, num_classes, size, seed):
    """The model, and the normalisation, of a configuration."""
    return config.row.make_network(num_classes, size, seed, config)


def test_the_stem_depends_on_the_image_size():
    small, large = (resnet18(10, (size, size), 0)[0] for size in (32, 224))
    assert small.conv1.kernel_size == (3, 3) and small.conv1.stride == (1, 1)
    assert large.conv1.kernel_size == (7, 7) and large.conv1.stride == (2, 2)
    features = torch.nn.Sequential(*list(small.children())[:-2])
    assert features(torch.zeros(1, 3, 32, 32)).shape == (1, 512, 4, 4)


@pytest.mark.parametrize("config", [ProxyConfig.resnet18(), ProxyConfig.timm("test_vit", image_size=32)])
def test_initialisation_is_seeded_and_leaves_the_global_generator_alone(config):
    before = torch.get_rng_state()
    one, same, other = (make_network(config, 3, (32, 32), seed)[0].state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_timm_models_take_the_size_and_their_own_normalisation():
    model, (mean, std) = make_network(ProxyConfig.timm("test_vit", image_size=48), 5, (48, 48), 0)
    assert model(torch.zeros(1, 3, 48, 48)).shape == (1, 5)
    assert mean == model.default_cfg["mean"] and std == model.default_cfg["std"]


def test_a_lack_of_memory_is_not_blamed_on_the_model(monkeypatch):
    import timm

    def fail(*_, **__):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(RuntimeError, match="can't allocate"):
        make_network(ProxyConfig.timm("test_vit", image_size=30), 5, (30, 30), 0)


def test_a_model_that_refuses_the_size(monkeypatch):
    import timm

    def refuse(*arguments, **options):
        raise AssertionError(f"no windows in {options['img_size']}")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(MissingModel, match=r"timm:test_vit cannot be built for images of 30 x 30 .*no windows"):
        make_network(ProxyConfig.timm("test_vit", image_size=30), 5, (30, 30), 0)


def test_dropout_is_off(monkeypatch):
    import timm

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **o: create(*a, **o, drop_rate=0.5, drop_path_rate=0.5))
    model, _ = make_network(ProxyConfig.timm("test_vit", image_size=32), 2, (32, 32), 0)
    dropouts = [getattr(m, "p", getattr(m, "drop_prob", None)) for m in model.modules()]
    assert {p for p in dropouts if p is not None} == {0.0}
    assert len([m for m in model.modules() if hasattr(m, "drop_prob")]) > 0


def test_unknown_timm_models_name_close_ones():
    with pytest.raises(MissingModel, match="no model named 'resnet43'.*resnet34"):
        ProxyConfig.timm("resnet43")


def test_timm_weights_from_a_file(tmp_path):
    import timm

    torch.manual_seed(5)
    trained = timm.create_model("test_resnet", num_classes=7)
    torch.save(trained.state_dict(), tmp_path / "trained.pt")
    config = ProxyConfig.timm("test_resnet", image_size=32, weights=tmp_path / "trained.pt")
    model, _ = make_network(config, 3, (32, 32), 0)
    own = model.state_dict()
    features = [name for name in own if not name.startswith("fc.")]
    assert (
        all(torch.equal(own[name], trained.state_dict()[name]) for name in features) and own["fc.weight"].shape[0] == 3
    )
    with pytest.raises(MissingModel, match="is not a checkpoint of timm:resnet18|could not be loaded"):
        make_network(ProxyConfig.timm("resnet18", weights=tmp_path / "trained.pt"), 3, (32, 32), 0)
    with pytest.raises(MissingModel, match="does not exist"):
        make_network(ProxyConfig.timm("test_resnet", weights=tmp_path / "absent.pt"), 3, (32, 32), 0)


@pytest.fixture
def compiler(monkeypatch, tmp_path):
    """``torch.compile`` that tells what it was asked for; nothing has been compiled before."""
    monkeypatch.setenv(compiling.FOLDER, str(tmp_path))
    monkeypatch.setattr(compiling, "_known", set())
    monkeypatch.setattr(torch, "compile", lambda model, **options: lambda x: ("compiled", options["mode"]))


def test_nothing_is_compiled_on_a_cpu(compiler):
    model = torch.nn.Linear(1, 1)
    for mode in ("auto", "off", "reduce-overhead"):
        assert through_torch_compile(model, CPU, mode, 10**6) is model


def test_on_a_gpu_a_long_training_is_compiled(compiler):
    model, gpu = torch.nn.Linear(1, 1), torch.device("cuda")
    for mode, steps in (("off", 10**6), ("auto", 5000)):
        assert through_torch_compile(model, gpu, mode, steps) is model
    assert through_torch_compile(model, gpu, "reduce-overhead", 10)(None) == ("compiled", "reduce-overhead")
    assert through_torch_compile(model, gpu, "auto", 10**6)(None) == ("compiled", None)


def test_what_is_compiled_already_is_compiled_for_a_shorter_training(compiler):
    model, gpu = torch.nn.Linear(1, 1), torch.device("cuda")
    assert through_torch_compile(model, gpu, "auto", 5000, 256) is model
    through_torch_compile(model, gpu, "auto", 10**6, 256)(None)
    assert through_torch_compile(model, gpu, "auto", 5000, 256)(None) == ("compiled", None)
    assert through_torch_compile(model, gpu, "auto", 5000, 128) is model  # another shape
    assert through_torch_compile(model, gpu, "auto", 50, 256) is model


# Small ResNets side by side


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
    model, _ = make_network(ProxyConfig.resnet8(members=3), 4, (16, 16), 5)
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
    model, _ = make_network(ProxyConfig.resnet8(members=2), 4, (16, 16), 0)
    one, other = (network.state_dict() for network in model.networks)
    assert all(not torch.equal(one[name], other[name]) for name in one if "conv" in name or name == "head.weight")
