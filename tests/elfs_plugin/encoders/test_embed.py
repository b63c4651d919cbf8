import importlib
import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from elfs_plugin.encoders import embed as encoders
from elfs_plugin.encoders.embed import PIXELS_SIZE, TorchEncoder, embed_images, load_encoder, validate_vectors
from elfs_plugin.encoders.provenance import Provenance
from elfs_plugin.encoders.timm_models import convert_checkpoint
from elfs_plugin.errors import InvalidInput, MissingModel

TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 1, "layers": 1},
}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def photos(tmp_path):
    """Three noisy images and, at index 1, a file that is none."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(4):
        path = tmp_path / f"{index}.png"
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    paths[1].write_text("no image")
    return paths


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A randomly initialised timm ResNet-18 without classifier, and its checkpoint."""
    import timm

    torch.manual_seed(0)
    model = timm.create_model("resnet18", pretrained=False, num_classes=0).eval()
    path = tmp_path_factory.mktemp("resnet") / "resnet18.pth"
    torch.save(model.state_dict(), path)
    return model, path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A tiny randomly initialised OpenCLIP model, registered, and its checkpoint."""
    import open_clip

    folder = tmp_path_factory.mktemp("clip")
    (folder / "elfs-tiny.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder / "elfs-tiny.json")
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms("elfs-tiny")
    path = folder / "tiny.pt"
    torch.save(model.state_dict(), path)
    return model.eval(), transform, path


def images_of(paths):
    return [Image.open(paths[i]).convert("RGB") for i in (0, 2, 3)]


# pixels


def test_pixels_are_thumbnails_in_zero_to_one(tmp_path):
    image = Image.new("RGB", (PIXELS_SIZE, PIXELS_SIZE), (255, 0, 51))
    image.putpixel((1, 0), (0, 102, 0))
    image.save(tmp_path / "a.png")
    Image.new("L", (5, 9), 51).save(tmp_path / "grey.png")
    result = embed_images([tmp_path / "a.png", tmp_path / "grey.png"], "pixels")
    assert result.vectors.shape == (2, PIXELS_SIZE * PIXELS_SIZE * 3) and result.vectors.dtype == np.float32
    np.testing.assert_allclose(result.vectors[0, :9], [1, 0, 0.2, 0, 0.4, 0, 1, 0, 0.2], rtol=1e-6)
    np.testing.assert_allclose(result.vectors[1], 0.2, rtol=1e-6)


def test_files_that_cannot_be_read_are_listed(photos, tmp_path):
    reports = []
    photos.append(tmp_path / "nowhere.png")
    result = embed_images(photos, "pixels", progress=lambda fraction, detail="": reports.append((fraction, detail)))
    assert result.ok.tolist() == [True, False, True, True, False]
    assert list(result.failures) == [1, 4]
    assert "not an image" in result.failures[1] and result.failures[4] == "file not found"
    expected = embed_images([photos[i] for i in (0, 2, 3)], "pixels").vectors
    assert (result.vectors == expected).all()
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert reports[-1][1] == "5 of 5 images, 2 failed"


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_the_batch_size_changes_nothing(photos, batch_size):
    expected = embed_images(photos, "pixels").vectors
    assert (embed_images(photos, "pixels", batch_size=batch_size).vectors == expected).all()


def test_no_images_and_no_usable_images(photos):
    with pytest.raises(InvalidInput, match="no images to embed"):
        embed_images([], "pixels")
    with pytest.raises(InvalidInput, match="None of the 1 images could be embedded.*not an image"):
        embed_images(photos[1:2], "pixels")


class ByWidth:
    """An encoder of one's own: the width and height; images 7 wide give NaN."""

    batch_size = 2

    def transform(self, image):
        return image.size

    def encode(self, batch):
        return [[np.nan if width == 7 else width, height] for width, height in batch]


def test_any_object_can_encode_and_vectors_that_are_not_finite_are_excluded(tmp_path):
    paths = []
    for width in (5, 7, 9):
        paths.append(tmp_path / f"{width}.png")
        Image.new("L", (width, 3)).save(paths[-1])
    result = embed_images(paths, ByWidth())
    assert result.vectors.tolist() == [[5, 3], [9, 3]]
    assert result.failures == {1: "the encoder gave a vector that is not finite"}


# timm


def expected_timm(model, photos):
    import timm

    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.inference_mode():
        return model(torch.stack([transform(image) for image in images_of(photos)])).numpy()


def test_timm_with_a_local_checkpoint(photos, resnet):
    model, checkpoint = resnet
    result = embed_images(photos, "timm:resnet18", weights=checkpoint, device="cpu")
    assert result.vectors.shape == (3, 512) and result.ok.tolist() == [True, False, True, True]
    np.testing.assert_allclose(result.vectors, expected_timm(model, photos), rtol=1e-4, atol=1e-5)


def test_timm_checkpoint_with_a_classifier(photos, resnet, tmp_path):
    model, _ = resnet
    state = {**model.state_dict(), "fc.weight": torch.randn(7, 512), "fc.bias": torch.randn(7)}
    torch.save({"state_dict": state}, tmp_path / "trained.pth")
    result = embed_images(photos, "timm:resnet18", weights=tmp_path / "trained.pth", device="cpu")
    np.testing.assert_allclose(result.vectors, expected_timm(model, photos), rtol=1e-4, atol=1e-5)


def test_timm_refuses_the_checkpoint_of_another_model(resnet, tmp_path):
    model, _ = resnet
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("layer4")}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(MissingModel, match="other.pth is not a checkpoint of timm:resnet18: it lacks .*layer4"):
        load_encoder("timm:resnet18", weights=tmp_path / "other.pth")


def test_timm_says_when_only_the_names_differ_and_how_to_convert(photos, resnet, tmp_path):
    model, checkpoint = resnet
    state = {f"_{place}.{name}": value for place, (name, value) in enumerate(model.state_dict().items())}
    other, converted = tmp_path / "other.pth", tmp_path / "converted.pth"
    torch.save({**state, "fc.w": torch.zeros(7, 512), "fc.b": torch.zeros(7)}, other)
    with pytest.raises(
        MissingModel, match="same shapes in the same order.*convert-checkpoint .*--encoder timm:resnet18"
    ):
        load_encoder("timm:resnet18", weights=other)
    assert convert_checkpoint("resnet18", other, converted) == len(state)
    expected = embed_images(photos, "timm:resnet18", weights=checkpoint, device="cpu").vectors
    assert (embed_images(photos, "timm:resnet18", weights=converted, device="cpu").vectors == expected).all()


def test_another_network_is_not_converted(resnet, tmp_path):
    with pytest.raises(MissingModel, match="resnet18.pth is not a checkpoint of timm:test_resnet: it lacks"):
        convert_checkpoint("test_resnet", resnet[1], tmp_path / "converted.pth")
    assert not (tmp_path / "converted.pth").exists()


def test_a_checkpoint_runs_no_code(tmp_path):
    class Code:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"state_dict": Code()}, tmp_path / "code.pth")
    with pytest.raises(MissingModel, match="could not be loaded from .*code.pth"):
        load_encoder("timm:resnet18", weights=tmp_path / "code.pth")


def test_embeddings_say_what_made_them(photos, resnet):
    model, checkpoint = resnet
    made = embed_images(photos, "timm:resnet18", weights=checkpoint, device="cpu").provenance
    assert (made.encoder, made.seen_labels, len(made.checksum)) == ("timm:resnet18", None, 64)
    assert made.preprocessing.startswith("shorter side 235 pixels (bicubic), middle 224 x 224, mean 0.485")
    assert embed_images(photos, "pixels").provenance == Provenance("pixels", "the middle, 8 x 8 pixels", "", False)
    assert embed_images(photos, ByWidth()).provenance is None


def test_auto_looks_at_the_images(photos, tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "digit.png")
    assert embed_images([tmp_path / "digit.png"], "auto").provenance.encoder == "pixels"
    assert embed_images(photos, "auto", device="cpu").provenance.encoder == "lite0"


def test_timm_refuses_weights_of_other_shapes(resnet, tmp_path):
    model, _ = resnet
    torch.save({**model.state_dict(), "conv1.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(
        MissingModel,
        match="timm:resnet18: 1 of its weights .*conv1.weight is 3 x 3 in it and 64 x 3 x 7 x 7 in the mod",
    ):
        load_encoder("timm:resnet18", weights=tmp_path / "other.pth")


def test_timm_refuses_a_file_that_is_no_checkpoint(tmp_path):
    (tmp_path / "junk.pth").write_text("junk")
    with pytest.raises(MissingModel, match="timm:resnet18 could not be loaded from .*junk.pth"):
        load_encoder("timm:resnet18", weights=tmp_path / "junk.pth")


def test_timm_unknown_model_names_similar_ones():
    with pytest.raises(MissingModel, match="no model named 'resnet18_of_mine'.*Similar names: .*resnet") as error:
        load_encoder("timm:resnet18_of_mine")
    assert "timm.list_models()" in str(error.value)


def test_timm_without_network_names_the_model_and_the_local_file_option(monkeypatch):
    import timm

    def offline(*args, **kwargs):
        raise OSError("We couldn't connect to the hub\nsecond line")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(MissingModel) as error:
        load_encoder("timm:resnet18")
    text = str(error.value)
    assert "timm:resnet18" in text and "local weights file" in text
    assert "couldn't connect" in text and "second line" not in text


def test_timm_really_offline(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingModel, match="timm:resnet18.a1_in1k could not be loaded from the model hub.*local weig"):
        load_encoder("timm:resnet18.a1_in1k")


# OpenCLIP


def test_open_clip_with_a_local_checkpoint(photos, clip):
    model, transform, checkpoint = clip
    result = embed_images(photos, "open_clip:elfs-tiny", weights=checkpoint, device="cpu")
    with torch.inference_mode():
        expected = model.encode_image(torch.stack([transform(image) for image in images_of(photos)])).numpy()
    assert result.vectors.shape == (3, 16) and list(result.failures) == [1]
    np.testing.assert_allclose(result.vectors, expected, rtol=1e-4, atol=1e-5)


def test_open_clip_refuses_the_checkpoint_of_another_model(clip, resnet):
    with pytest.raises(MissingModel, match="resnet18.pth is not a checkpoint of open_clip:elfs-tiny/mine: it lacks"):
        load_encoder("open_clip:elfs-tiny/mine", weights=resnet[1])


def test_open_clip_unknown_model():
    with pytest.raises(MissingModel, match="no model named 'ViT-of-mine'.*open_clip.list_models"):
        load_encoder("open_clip:ViT-of-mine/openai")


def test_open_clip_unknown_weights_name_the_ones_there_are():
    with pytest.raises(MissingModel, match="ViT-B-32 has no weights tagged 'mine'; it has: .*openai.*local weights"):
        load_encoder("open_clip:ViT-B-32/mine")


def test_open_clip_without_network_names_the_model_and_the_local_file_option(monkeypatch):
    import open_clip

    def offline(*args, **kwargs):
        raise OSError("offline")

    monkeypatch.setattr(open_clip, "create_model_and_transforms", offline)
    with pytest.raises(MissingModel, match="open_clip:ViT-B-32/openai could not.*OSError: offline.*local weights file"):
        load_encoder("open_clip:ViT-B-32/openai")


def test_open_clip_local_file_with_a_known_tag_keeps_its_preprocessing(monkeypatch, tmp_path):
    import open_clip

    seen = {}

    def create(name, **kwargs):
        seen.update(kwargs, name=name)
        return torch.nn.Module(), None, None

    (tmp_path / "a.pt").touch()
    monkeypatch.setattr(open_clip, "create_model_and_transforms", create)
    monkeypatch.setattr(encoders, "ImageTower", lambda model: model)
    load_encoder("open_clip:ViT-B-32/openai", weights=tmp_path / "a.pt", device="cpu")
    assert seen["name"] == "ViT-B-32" and seen["pretrained"] == str(tmp_path / "a.pt") and seen["force_quick_gelu"]


# All


@pytest.mark.parametrize("name", ["resnet18", "timm:", "open_clip:", "clip:ViT-B-32", ""])
def test_unknown_family_names_the_three(name):
    with pytest.raises(MissingModel, match=f"Unknown encoder '{name}'.*pixels.*timm:<model>.*open_clip:<model>/<tag>"):
        load_encoder(name)


@pytest.mark.parametrize("name", ["timm:resnet18", "open_clip:ViT-B-32/openai"])
def test_missing_weights_file(name, tmp_path):
    with pytest.raises(MissingModel, match=f"nowhere.pth does not exist.*{name}"):
        load_encoder(name, weights=tmp_path / "nowhere.pth")


def test_a_batch_too_large_for_the_memory_is_halved():
    class Greedy(torch.nn.Module):
        sizes = []

        def forward(self, x):
            self.sizes.append(len(x))
            if len(x) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return x * 2

    encoder = TorchEncoder("greedy", Greedy(), None, torch.device("cpu"))
    batch = [torch.full((2,), float(i)) for i in range(4)]
    assert encoder.encode(batch).tolist() == [[0, 0], [2, 2], [4, 4], [6, 6]]
    assert Greedy.sizes == [4, 2, 2]


def test_a_batch_is_halved_until_it_fits_on_a_cpu_too():
    class Greedy(torch.nn.Module):
        def forward(self, x):
            if len(x) > 1:
                raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")
            return x * 2

    encoder = TorchEncoder("greedy", Greedy(), None, torch.device("cpu"))
    assert encoder.encode([torch.full((2,), float(i)) for i in range(5)])[:, 0].tolist() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
@pytest.mark.parametrize(
    ("name", "module", "loader"),
    [
        ("timm:resnet18", "timm", "create_model"),
        ("timm:resnet18", "timm.models", "load_state_dict"),
        ("open_clip:ViT-B-32/openai", "open_clip", "create_model_and_transforms"),
    ],
)
def test_a_lack_of_memory_is_not_blamed_on_the_weights(tmp_path, monkeypatch, name, module, loader, error):
    def fail(*_, **__):
        raise error

    (tmp_path / "weights.pth").touch()
    monkeypatch.setattr(importlib.import_module(module), loader, fail)
    with pytest.raises(type(error)):
        load_encoder(name, weights=tmp_path / "weights.pth", device="cpu")


# One odd image


def encoder_of(transform, model=None):
    return TorchEncoder("tiny", model or torch.nn.Flatten(), transform, torch.device("cpu"))


@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000), (2000, 2)])
def test_a_thin_image_is_embedded_by_its_middle(photos, tmp_path, size):
    import timm

    transform = timm.data.create_transform(input_size=(3, 32, 32), is_training=False)
    Image.new("RGB", size, (9, 9, 9)).save(tmp_path / "strip.png")
    result = embed_images([photos[0], tmp_path / "strip.png", photos[2]], encoder_of(transform))
    assert result.ok.all() and np.isfinite(result.vectors).all()


def test_a_thin_image_that_cannot_be_prepared_costs_itself_alone(photos, tmp_path):
    import timm

    transform = timm.data.create_transform(input_size=(3, 32, 32), is_training=False, crop_mode="border")
    Image.new("RGB", (2000, 2), (9, 9, 9)).save(tmp_path / "strip.png")
    result = embed_images([photos[0], tmp_path / "strip.png", photos[2]], encoder_of(transform))
    assert result.ok.tolist() == [True, False, True]
    assert result.failures[1].startswith("cannot be prepared (2,000 x 2 pixels)")


def test_the_middle_is_what_is_left_of_a_thin_image():
    sizes = []

    def transform(image):
        sizes.append((image.size, image.getpixel((0, 0))[0]))
        return torch.zeros(3)

    wide = Image.new("RGB", (1000, 2))
    wide.paste((200, 0, 0), (400, 0, 600, 2))
    encoder = encoder_of(transform)
    for image in (wide, wide.transpose(Image.Transpose.ROTATE_90), Image.new("RGB", (200, 2))):
        encoder.transform(image)
    assert sizes == [((200, 2), 200), ((2, 200), 200), ((200, 2), 0)]


def test_an_image_that_the_encoder_fails_on_costs_itself_alone(photos):
    class Picky:
        batch_size = 10

        def transform(self, image):
            return float(np.asarray(image).mean())

        def encode(self, batch):
            if bad in batch:
                raise ValueError("an odd image")
            return np.array([[value] for value in batch], dtype=np.float32)

    picky = Picky()
    usable = [photos[0], photos[2], photos[3]]
    bad = picky.transform(Image.open(photos[3]))
    result = embed_images(usable, picky)
    assert result.ok.tolist() == [True, True, False]
    assert result.failures == {2: "the encoder failed on it: an odd image"}
    picky.batch_size = 2  # alone in the last batch
    assert embed_images(usable, picky).failures == result.failures
    with pytest.raises(ValueError, match="an odd image"):
        embed_images([photos[3]], picky)  # then it is the encoder


def test_vectors_of_another_length_are_left_out(photos):
    class Odd:
        batch_size = 1
        lengths = [2, 3, 2]

        def transform(self, image):
            return 0

        def encode(self, batch):
            return np.zeros((1, self.lengths.pop(0)), dtype=np.float32)

    result = embed_images([photos[0], photos[2], photos[3]], Odd())
    assert result.failures == {1: "the encoder gave a vector of length 3, not 2"}


def test_paths_may_come_one_by_one(photos):
    assert embed_images(iter(photos), "pixels").ok.tolist() == [True, False, True, True]


# Vectors from outside


def test_validate_vectors_excludes_with_a_reason():
    values = [
        [1, 2, 3],
        None,
        [1.0, np.nan, 3.0],
        np.array([1, np.inf, 3]),
        [1.0, 2.0],
        np.array([4, 5, 6], dtype=np.float16),
        [],
        ["a", "b", "c"],
        [1.0, None, 2.0],
        [[1, 2], [3]],
        np.array([[7], [8], [9]], dtype=np.float64),
        [1e300, 0.0, 0.0],
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = validate_vectors(values)
    assert result.vectors.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]] and result.vectors.dtype == np.float32
    assert np.flatnonzero(result.ok).tolist() == [0, 5, 10]
    assert result.failures[1] == result.failures[6] == "no vector"
    assert result.failures[4] == "vector of length 2, the others have 3"
    assert result.failures[9] == "vector of length 2, the others have 3"
    assert result.failures[7] == "not a vector of numbers"
    for index in (2, 3, 8, 11):
        assert result.failures[index] == "vector with NaN or infinite values"
    assert len(result.failures) == 9


def test_validate_vectors_takes_a_matrix_as_it_is():
    matrix = np.arange(6, dtype=np.float16).reshape(3, 2)
    result = validate_vectors(matrix)
    assert result.vectors.tolist() == matrix.tolist() and result.ok.all() and not result.failures


def test_validate_vectors_with_a_length_given():
    result = validate_vectors([[1, 2], [1, 2], [1, 2, 3]], expected_dim=3)
    assert result.ok.tolist() == [False, False, True]


@pytest.mark.parametrize("values", [[], [None, None], [[], None]])
@pytest.mark.parametrize("expected_dim", [None, 3])
def test_validate_vectors_without_any(values, expected_dim):
    with pytest.raises(InvalidInput, match="holds no vectors"):
        validate_vectors(values, expected_dim=expected_dim)


def test_validate_vectors_without_a_usable_one():
    with pytest.raises(InvalidInput, match="None of the 2 vectors is usable. The first: vector with NaN"):
        validate_vectors([[np.nan, 1.0], None])
