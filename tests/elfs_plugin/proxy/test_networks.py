import numpy as np
import pytest
import torch

from elfs_plugin.devices import generator
from elfs_plugin.errors import MissingModel
from elfs_plugin.proxy import networks as image_proxy
from elfs_plugin.proxy.networks import Images, build_network, compiled, crop_and_flip, resnet18
from elfs_plugin.proxy.train import ProxyConfig, fit
from tests.helpers import random_images

CPU = torch.device("cpu")


def test_crop_and_flip_by_hand():
    # One row 0 1 2 3 padded by one pixel: 1 0 1 2 3 2.
    data = torch.arange(4, dtype=torch.uint8).expand(1, 3, 4, 4)
    rows = torch.zeros(4, dtype=torch.int64)
    draws = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 2, 0], [1, 2, 1]])
    out = crop_and_flip(data, rows, draws, (1, 1))
    assert out.dtype == torch.uint8 and out.is_contiguous(memory_format=torch.channels_last)
    assert out[:, 0, 0].tolist() == [[1, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 2], [2, 3, 2, 1]]
    columns = crop_and_flip(data.transpose(2, 3), rows[:1], torch.tensor([[0, 1, 0]]), (1, 1))
    assert columns[0, 2, :, 0].tolist() == [1, 0, 1, 2]


def test_augmentation_is_a_window_of_the_reflected_image():
    images, size, pad = random_images(64, 8), 8, 1
    source = Images(images, CPU)
    draws = source.draw(64, generator(0))
    augmented = crop_and_flip(torch.from_numpy(images), torch.arange(64), draws, (pad, pad))
    for image, out, (top, left, flip) in zip(images, augmented, draws.tolist()):
        padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
        window = padded[:, top : top + size, left : left + size]
        assert np.array_equal(out, window[:, :, ::-1] if flip else window)
    assert draws.min(dim=0).values.tolist() == [0, 0, 0] and draws.max(dim=0).values.tolist() == [2, 2, 1]
    assert len({tuple(row) for row in draws.tolist()}) > 12  # of 18 possible ones


def test_batches_are_normalised_and_channels_last():
    images = np.full((4, 3, 8, 8), 255, dtype=np.uint8)
    images[1] = 0
    x = Images(images, CPU).batch(torch.tensor([1, 0]))
    assert x.shape == (2, 3, 8, 8) and x.is_contiguous(memory_format=torch.channels_last)
    assert x[0].unique().tolist() == [-2.0] and x[1].unique().tolist() == [2.0]
    other = Images(images, CPU, ((0.0, 0.5, 1.0), (1.0, 0.5, 0.25))).batch(torch.tensor([0]))
    assert other[0, :, 0, 0].tolist() == pytest.approx([1.0, 1.0, 0.0], abs=1e-6)


def test_images_kept_on_the_device_give_the_same_batches(monkeypatch):
    images = random_images(20)
    read = Images(images, CPU)
    monkeypatch.setattr(image_proxy, "fits_on", lambda device, size: size == images.nbytes)
    monkeypatch.setattr(image_proxy, "_UPLOAD_BYTES", 3 * images[0].nbytes)
    kept = Images(images, CPU)
    assert kept.resident and not read.resident
    rows, draws = torch.tensor([3, 17, 0]), read.draw(3, generator(1))
    assert torch.equal(kept.batch(rows), read.batch(rows))
    assert torch.equal(kept.batch(rows, draws), read.batch(rows, draws))


def test_a_full_device_leaves_the_images_where_they_are(monkeypatch):
    def full(*shape, **options):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(image_proxy, "fits_on", lambda device, size: True)
    monkeypatch.setattr(image_proxy.torch, "empty", full)
    assert not Images(random_images(), CPU).resident


def test_only_the_rows_of_a_batch_are_read_from_a_memory_map(tmp_path):
    read = []

    class Watched(np.ndarray):
        """Writes down the rows that are taken."""

        def __getitem__(self, rows):
            read.append(np.asarray(rows).tolist())
            return np.asarray(super().__getitem__(rows))

    path = tmp_path / "images.npy"
    np.save(path, random_images(30, 8).transpose(0, 1, 3, 2))
    mapped = np.load(path, mmap_mode="r")
    images = mapped.transpose(0, 1, 3, 2).view(Watched)  # not contiguous: the way that could copy everything
    batch = Images(images, CPU).batch(torch.tensor([4, 29]))
    assert read == [[4, 29]]
    assert torch.equal(batch, Images(random_images(30, 8), CPU).batch(torch.tensor([4, 29])))


def test_read_only_memory_maps_train(tmp_path, recwarn):
    images = random_images(12, 8)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    config = ProxyConfig.timm("test_resnet", image_size=8, epochs=1, batch_size=6)
    labels = np.arange(12) % 2
    expected = fit(images, labels, config=config, device="cpu").predict(images)
    assert (fit(mapped, labels, config=config, device="cpu").predict(mapped) == expected).all()
    assert not [w for w in recwarn if "writable" in str(w.message)]


def test_the_stem_depends_on_the_image_size():
    small, large = resnet18(10, (32, 32), 0), resnet18(10, (224, 224), 0)
    assert small.conv1.kernel_size == (3, 3) and small.conv1.stride == (1, 1)
    assert large.conv1.kernel_size == (7, 7) and large.conv1.stride == (2, 2)
    features = torch.nn.Sequential(*list(small.children())[:-2])
    assert features(torch.zeros(1, 3, 32, 32)).shape == (1, 512, 4, 4)


@pytest.mark.parametrize("config", [ProxyConfig.resnet18(), ProxyConfig.timm("test_vit", image_size=32)])
def test_initialisation_is_seeded_and_leaves_the_global_generator_alone(config):
    before = torch.get_rng_state()
    one, same, other = (build_network(config, 3, (32, 32), seed)[0].state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_timm_models_take_the_size_and_their_own_normalisation():
    model, (mean, std) = build_network(ProxyConfig.timm("test_vit", image_size=48), 5, (48, 48), 0)
    assert model(torch.zeros(1, 3, 48, 48)).shape == (1, 5)
    assert mean == model.default_cfg["mean"] and std == model.default_cfg["std"]


def test_a_lack_of_memory_is_not_blamed_on_the_model(monkeypatch):
    import timm

    def fail(*_, **__):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(RuntimeError, match="can't allocate"):
        build_network(ProxyConfig.timm("test_vit", image_size=30), 5, (30, 30), 0)


def test_a_model_that_refuses_the_size(monkeypatch):
    import timm

    def refuse(*arguments, **options):
        raise AssertionError(f"no windows in {options['img_size']}")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(MissingModel, match=r"timm:test_vit cannot be built for images of 30 x 30 .*no windows"):
        build_network(ProxyConfig.timm("test_vit", image_size=30), 5, (30, 30), 0)


def test_dropout_is_off(monkeypatch):
    import timm

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **o: create(*a, **o, drop_rate=0.5, drop_path_rate=0.5))
    model, _ = build_network(ProxyConfig.timm("test_vit", image_size=32), 2, (32, 32), 0)
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
    model, _ = build_network(config, 3, (32, 32), 0)
    own = model.state_dict()
    features = [name for name in own if not name.startswith("fc.")]
    assert (
        all(torch.equal(own[name], trained.state_dict()[name]) for name in features) and own["fc.weight"].shape[0] == 3
    )
    with pytest.raises(MissingModel, match="is not a checkpoint of timm:resnet18|could not be loaded"):
        build_network(ProxyConfig.timm("resnet18", weights=tmp_path / "trained.pt"), 3, (32, 32), 0)
    with pytest.raises(MissingModel, match="does not exist"):
        build_network(ProxyConfig.timm("test_resnet", weights=tmp_path / "absent.pt"), 3, (32, 32), 0)


def test_nothing_is_compiled_on_a_cpu(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, **options: ("compiled", options["mode"]))
    model, gpu = torch.nn.Linear(1, 1), torch.device("cuda")
    for mode in ("auto", "off", "reduce-overhead"):
        assert compiled(model, CPU, mode, 10**6) is model
    assert compiled(model, gpu, "off", 10**6) is model and compiled(model, gpu, "auto", 10) is model
    assert compiled(model, gpu, "auto", 10**6) == ("compiled", None)
    assert compiled(model, gpu, "reduce-overhead", 10) == ("compiled", "reduce-overhead")
