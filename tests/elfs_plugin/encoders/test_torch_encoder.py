import pickle
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.embedding import same_neighbors, unit
from benchmarks.photographs import photographs
from elfs_plugin.encoders import torch_encoder
from elfs_plugin.encoders.embed import WORTHWHILE, embed_images
from elfs_plugin.encoders.images import load_rgb
from elfs_plugin.encoders.torch_encoder import LEAST_COSINE, TorchEncoder, agree, lost, quick_kinds
from elfs_plugin.errors import MissingModel

CPU = torch.device("cpu")


@pytest.fixture
def in_bfloat16(monkeypatch):
    monkeypatch.setattr(torch_encoder, "quick_kinds", lambda device: [torch.bfloat16])


def linear(bias=0.0, scale=1.0):
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 32)
    with torch.no_grad():
        layer.weight.mul_(scale)
        layer.bias.fill_(bias)
    return layer


def values(count=16):
    return list(torch.randn((count, 64), generator=torch.Generator().manual_seed(1)))


def test_fewer_bits_are_used_where_the_vectors_are_the_same(in_bfloat16):
    encoder = TorchEncoder("linear", linear(), None, CPU)
    exact = encoder.encode(values())
    encoder.settle(values())
    given = encoder.encode(values())
    assert given.dtype == np.float32 and not np.array_equal(given, exact) and agree(exact, given)
    encoder.settle([])
    assert np.array_equal(encoder.encode(values()), exact)


def test_an_encoder_goes_to_another_process_and_computes_there_as_was_chosen_here(in_bfloat16):
    import timm

    torch.manual_seed(0)
    transform = timm.data.create_transform(input_size=(3, 32, 32), is_training=False)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten())
    encoder = TorchEncoder("small", network, transform, CPU, on_problem=print)
    images = list(np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8))
    exact = encoder.encode(images)
    encoder.settle(images, images)
    other = pickle.loads(pickle.dumps(encoder))
    assert other.identity == encoder.identity and other.on_problem is None
    assert np.array_equal(other.encode(images), exact)
    other.settle_as(encoder.settled, images)
    assert other.settled == encoder.settled == torch_encoder.Way("bfloat16", "PyTorch", False, False)
    assert np.array_equal(other.encode(images), encoder.encode(images))
    other.settle_as(torch_encoder.Way("float32", "PyTorch", True, False), images)
    assert np.array_equal(other.encode(images), exact) and other.least_side == other.smaller_side is not None


def test_another_process_computes_by_the_engine_that_was_chosen_or_says_that_it_lacks_it():
    import timm

    transform = timm.data.create_transform(input_size=(3, 32, 32), is_training=False)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten())
    images = list(np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8))
    encoders = [TorchEncoder("small", network, transform, CPU) for _ in range(2)]
    with pytest.raises(MissingModel, match="OpenVINO 0, which is to compute the vectors, is not installed"):
        encoders[0].settle_as(torch_encoder.Way("float32", "OpenVINO 0", False, False), images)
    engine = torch_encoder.openvino_network.engine()
    if engine is None:
        pytest.skip("OpenVINO is not installed")
    exact = encoders[0].encode(images)
    for encoder, few in zip(encoders, (images[:2], images[2:])):
        encoder.settle_as(torch_encoder.Way("float32", engine, False, False), few)
        assert encoder.inference == f"float32 by {engine}"
    found = [encoder.encode(images) for encoder in encoders]
    assert np.array_equal(*found) and agree(exact, found[0])


def test_float32_stays_where_the_differences_between_vectors_would_be_lost(in_bfloat16):
    encoder = TorchEncoder("far from zero", linear(bias=50.0, scale=0.3), None, CPU)
    exact = encoder.encode(values())
    encoder.settle(values())
    assert np.array_equal(encoder.encode(values()), exact)


@pytest.mark.parametrize(("steps", "taken"), [(1, True), (60, False)])
def test_files_are_decoded_smaller_where_the_vectors_are_the_same(monkeypatch, steps, taken):
    import timm

    monkeypatch.setattr(torch_encoder, "quick_kinds", lambda device: [])
    transform = timm.data.create_transform(input_size=(3, 32, 32), is_training=False)
    encoder = TorchEncoder("linear", torch.nn.Flatten(), transform, CPU)
    whole = list(np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8))
    smaller = [np.where(value < 128, value + steps, value - steps).astype(np.uint8) for value in whole]
    encoder.settle(whole, [*whole[:4], *smaller[4:]])
    assert (encoder.least_side == encoder.smaller_side) is taken
    encoder.settle(whole, [*whole[:15], smaller[15]])  # too few to judge by, and to gain from
    assert encoder.least_side is None


def test_float32_stays_where_a_layer_knows_nothing_else(in_bfloat16):
    class Stubborn(torch.nn.Module):
        def forward(self, x):
            if torch.is_autocast_enabled("cpu"):
                raise TypeError("float32 only")
            return x * 2

    encoder = TorchEncoder("stubborn", Stubborn(), None, CPU)
    encoder.settle(values())
    assert np.array_equal(encoder.encode(values())[0], values()[0] * 2)


@pytest.mark.parametrize("where", ["whole", "smaller"])
def test_float32_and_whole_files_stay_where_one_of_the_images_is_refused(tmp_path, monkeypatch, in_bfloat16, where):
    import timm

    class Picky(torch.nn.Flatten):
        def forward(self, x):
            if (x < -100).any():
                raise ValueError("an odd image")
            return super().forward(x)

    transform = timm.data.create_transform(input_size=(3, 32, 32), is_training=False)
    encoder = TorchEncoder("picky", Picky(), transform, CPU)
    whole = [torch.full((3, 32, 32), float(value)) for value in range(16)]
    smaller = [value + 0.001 for value in whole]
    {"whole": whole, "smaller": smaller}[where][7] = torch.full((3, 32, 32), -200.0)
    encoder.settle(whole, smaller)
    assert encoder._dtype == torch.float32 and encoder.least_side is None
    assert encoder.encode(whole[:2]).shape == (2, 3 * 32 * 32)


def test_an_odd_image_among_those_that_are_tried_costs_itself_alone(tmp_path, in_bfloat16):
    class Picky(torch.nn.Flatten):
        def forward(self, x):
            if (x < -100).any():
                raise ValueError("an odd image")
            return super().forward(x)

    def transform(image):
        return torch.full((1, 4), -200.0 if image.size == (3, 3) else float(image.width))

    plain, odd = tmp_path / "plain.png", tmp_path / "odd.png"
    Image.new("RGB", (8, 8)).save(plain)
    Image.new("RGB", (3, 3)).save(odd)
    result = embed_images([odd] + [plain] * (WORTHWHILE - 1), TorchEncoder("picky", Picky(), transform, CPU))
    assert result.failures == {0: "the encoder failed on it: an odd image"}


def test_a_lack_of_memory_for_fewer_bits_leaves_float32(in_bfloat16):
    class Greedy(torch.nn.Linear):
        def forward(self, x):
            if torch.is_autocast_enabled("cpu"):
                raise MemoryError
            return super().forward(x)

    encoder = TorchEncoder("greedy", Greedy(64, 32), None, CPU)
    exact = encoder.encode(values())
    encoder.settle(values())
    assert encoder._dtype == torch.float32 and np.array_equal(encoder.encode(values()), exact)


def test_an_image_that_overflows_with_fewer_bits_is_computed_in_float32(monkeypatch):
    monkeypatch.setattr(torch_encoder, "quick_kinds", lambda device: [torch.float16])
    encoder = TorchEncoder("linear", linear(), None, CPU)
    encoder.settle(values())
    odd = torch.full((64,), 1e6)
    found = encoder.encode([values()[0], odd])
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[1], TorchEncoder("linear", linear(), None, CPU).encode([odd])[0])


def test_an_old_processor_stays_with_float32(monkeypatch):
    monkeypatch.setattr(torch_encoder, "matmul_dtype", lambda device: torch.bfloat16)
    monkeypatch.setattr(torch_encoder.platform, "machine", lambda: "x86_64")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert quick_kinds(CPU) == []
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert quick_kinds(CPU) == [torch.bfloat16]


def test_a_random_network_gives_the_vectors_and_neighbours_of_the_plain_way(tmp_path, in_bfloat16):
    import timm

    torch.manual_seed(0)
    model = timm.create_model("resnet18", pretrained=False, num_classes=0).eval()
    transform = timm.data.create_transform(input_size=(3, 80, 80), is_training=False)
    paths = photographs(tmp_path, WORTHWHILE, sides=(60, 400))
    with torch.inference_mode():
        batches = [torch.stack([transform(load_rgb(path)) for path in paths[at : at + 64]]) for at in range(0, 512, 64)]
        expected = unit(torch.cat([model(batch) for batch in batches]).numpy())
    encoder = TorchEncoder("random", model, transform, CPU)
    found = unit(embed_images(paths, encoder).vectors)
    assert encoder._dtype == torch.bfloat16
    assert (expected * found).sum(axis=1).min() >= LEAST_COSINE
    assert same_neighbors(expected, found) >= 0.99


def test_identity_is_of_name_weights_and_preprocessing():
    import timm

    def identity(name="a", bias=0.0, **options):
        transform = timm.data.create_transform(input_size=(3, 32, 32), is_training=False, **options)
        return TorchEncoder(name, linear(bias), transform, CPU).identity

    assert identity() == identity()
    assert len({identity(), identity("b"), identity(bias=1.0), identity(mean=(0.1, 0.1, 0.1))}) == 4


# A GPU that fails


class Fake(TorchEncoder):
    """Thinks that it is on a GPU, which ``fails(tensor)``."""

    def __init__(self, fails, told):
        super().__init__("fake", linear(), None, CPU, told.append)
        self._device, self._fails = torch.device("cuda"), fails

    def _computed(self, tensor, model, dtype, device=None):
        if self._device.type == "cuda":
            self._fails(tensor)
        return super()._computed(tensor, model, dtype, CPU)


def no_memory(tensor):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_a_gpu_with_little_memory_gets_smaller_batches():
    sizes, told = [], []

    def fails(tensor):
        sizes.append(len(tensor))
        if len(tensor) > 4:
            no_memory(tensor)

    encoder = Fake(fails, told)
    expected = TorchEncoder("linear", linear(), None, CPU).encode(values())
    np.testing.assert_allclose(encoder.encode(values()), expected, rtol=1e-5, atol=1e-6)
    assert max(sizes) == 16
    sizes.clear()
    np.testing.assert_allclose(encoder.encode(values()), expected, rtol=1e-5, atol=1e-6)
    assert sizes == [4] * 4  # what did not fit is not tried again
    assert len(told) == 1 and "fewer" in told[0]


@pytest.mark.parametrize("error", [no_memory, "CUDA error: unspecified launch failure"])
def test_a_gpu_that_cannot_go_on_is_replaced_by_the_cpu(error):
    def fails(tensor):
        if callable(error):
            error(tensor)
        raise RuntimeError(error)

    told = []
    encoder = Fake(fails, told)
    expected = TorchEncoder("linear", linear(), None, CPU).encode(values())
    for _ in range(2):
        np.testing.assert_allclose(encoder.encode(values()), expected, rtol=1e-5, atol=1e-6)
    assert [text for text in told if "on the CPU" in text] == told[-1:] and len(told) <= 2


class OnGpu(torch.nn.Linear):
    """As if on a GPU with room for ``most`` copies of it."""

    most, copies = 1, weakref.WeakSet()

    def to(self, *args, **kwargs):
        if not (args and isinstance(args[0], torch.device) and args[0].type == "cuda"):
            return super().to(*args, **kwargs)
        if len(self.copies) >= self.most:
            no_memory(None)
        self.copies.add(self)
        return self


@pytest.mark.parametrize("left", [1, 0])
@pytest.mark.parametrize("agrees", [True, False])
def test_there_is_one_copy_at_a_time_on_a_gpu(monkeypatch, in_bfloat16, agrees, left):
    def judged(exact, other):
        OnGpu.most = left  # another process may take what was free
        return agrees

    monkeypatch.setattr(OnGpu, "most", 1)
    monkeypatch.setattr(torch_encoder, "agree", judged)
    told = []
    encoder = Fake(lambda tensor: None, told)
    encoder._exact = OnGpu(64, 32)
    expected = TorchEncoder("linear", encoder._exact, None, CPU).encode(values())
    encoder.settle(values())
    assert encoder._dtype == (torch.bfloat16 if agrees else torch.float32)
    assert encoder.parallel == bool(told) == (not agrees and not left)
    np.testing.assert_allclose(encoder.encode(values()), expected, atol=0.05 if agrees else 1e-6)


def test_a_gpu_that_is_full_before_anything_is_tried_is_replaced_by_the_cpu(monkeypatch, in_bfloat16):
    monkeypatch.setattr(OnGpu, "most", 0)
    told = []
    encoder = Fake(lambda tensor: None, told)
    encoder._exact = OnGpu(64, 32)
    encoder.settle([])
    assert encoder.parallel and len(told) == 1 and encoder.encode(values()).shape == (16, 32)


def test_what_cannot_be_pinned_is_computed_all_the_same(monkeypatch):
    def refused(tensor):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.Tensor, "pin_memory", refused)
    told = []
    expected = TorchEncoder("linear", linear(), None, CPU).encode(values())
    assert np.array_equal(Fake(lambda tensor: None, told).encode(values()), expected) and told == []


def test_an_error_of_the_network_is_not_blamed_on_the_gpu():
    def fails(tensor):
        raise ValueError("an odd image")

    with pytest.raises(ValueError, match="odd"):
        Fake(fails, []).encode(values())
    assert not lost(ValueError("an odd image")) and lost(RuntimeError("CUDA error: driver shutting down"))
