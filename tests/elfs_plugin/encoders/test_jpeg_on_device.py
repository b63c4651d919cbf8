import os

import numpy as np
import pytest
import torch
import torchvision
from PIL import ExifTags, Image

from benchmarks.photographs import photographs
from elfs_plugin.encoders import jpeg_on_device, openvino_network, torch_encoder
from elfs_plugin.encoders.embed import WORTHWHILE, embed_images
from elfs_plugin.encoders.images import ImageError, read_image
from elfs_plugin.encoders.inference import ON_GPU
from elfs_plugin.encoders.jpeg_on_device import JpegDecoder, JpegFile, decoded_on, jpeg_file
from elfs_plugin.encoders.preprocessing import recognised
from elfs_plugin.encoders.torch_encoder import TorchEncoder, agree

CPU = torch.device("cpu")


def transform(side=48):
    import timm

    return timm.data.create_transform(input_size=(3, side, side), is_training=False, interpolation="bicubic")


PREPROCESSING = recognised(transform())


def on_cpu(path):
    return read_image(path, PREPROCESSING.pixels)


def photograph(path, **options):
    (source,) = photographs(path.parent / f"source of {path.name}", 1, sides=(150, 200))
    Image.open(source).save(path, quality=95, **options)
    return path


def expected(paths):
    pixels = np.stack([on_cpu(path) for path in paths])
    return PREPROCESSING.numbers(torch.from_numpy(pixels))


def levels(one, other):
    """Differences in 255 levels."""
    return (one - other).abs() * torch.tensor(PREPROCESSING.std)[:, None, None] * 255


@pytest.fixture
def decoder():
    return JpegDecoder(PREPROCESSING, CPU, on_cpu)


def test_only_whole_baseline_files_of_an_ordinary_shape_are_for_the_gpu(tmp_path, monkeypatch):
    usual = photograph(tmp_path / "usual.jpg")
    grey, deep = tmp_path / "grey.jpg", tmp_path / "cmyk.jpg"
    Image.open(usual).convert("L").save(grey)
    Image.open(usual).convert("CMYK").save(deep)
    for path in (usual, grey):
        assert jpeg_file(path).pixels == np.prod(Image.open(path).size)
    assert bytes(jpeg_file(usual).data.numpy()) == usual.read_bytes()
    progressive = photograph(tmp_path / "progressive.jpg", progressive=True)
    png, long = tmp_path / "image.png", tmp_path / "long.jpg"
    Image.open(usual).save(png)
    Image.new("RGB", (410, 100)).save(long)
    half, empty, text = (tmp_path / name for name in ("half.jpg", "empty.jpg", "text.jpg"))
    half.write_bytes(usual.read_bytes()[:3000])
    empty.touch()
    text.write_text("no image")
    others = [progressive, deep, png, long, half, empty, text, tmp_path / "missing.jpg", tmp_path]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        others.append(tmp_path / "pipe.jpg")
    assert [jpeg_file(path) for path in others] == [None] * len(others)
    monkeypatch.setattr(jpeg_on_device, "MOST_BYTES", usual.stat().st_size - 1)
    assert jpeg_file(usual) is None


def test_channels_that_are_not_as_usual_are_for_the_cpu(tmp_path):
    path = tmp_path / "rgb.jpg"
    Image.open(photograph(tmp_path / "usual.jpg")).save(path, keep_rgb=True)
    assert Image.open(path).mode == "RGB" and jpeg_file(path) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_turned_upright(tmp_path, decoder, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = photograph(tmp_path / "turned.jpg", exif=exif)
    file = decoder.read(path)
    assert isinstance(file, JpegFile)
    given = levels(decoder.numbers([file]), expected([path]))
    assert given.max() < 3 and given.mean() < 0.1
    if orientation > 1:
        assert levels(expected([path]), expected([photograph(tmp_path / "upright.jpg")])).mean() > 5


def test_files_and_pixels_stay_in_order(tmp_path, decoder, monkeypatch):
    monkeypatch.setattr(jpeg_on_device, "AT_ONCE", 60_000)
    paths = photographs(tmp_path, 9, sides=(100, 300))
    paths[2] = photograph(tmp_path / "progressive.jpg", progressive=True)
    paths[5] = paths[4]
    values = [decoder.read(path) for path in paths]
    assert [isinstance(value, JpegFile) for value in values] == [at != 2 for at in range(9)]
    given = decoder.numbers(values)
    assert given.is_contiguous(memory_format=torch.channels_last)
    assert levels(given, expected(paths)).mean() < 0.1
    portions = list(decoder._portions(values))
    assert [row for rows in portions for row in rows] == [0, 1, *range(3, 9)] and len(portions) > 2
    assert all(len(rows) == 1 or sum(values[row].pixels for row in rows) <= 60_000 for rows in portions)


def test_the_device_is_given_all_files_at_once_as_colour(monkeypatch):
    asked = []
    monkeypatch.setattr(
        torchvision.io, "decode_jpeg", lambda files, **options: asked.append((files, options)) or "them"
    )
    files, gpu = [torch.zeros(3, dtype=torch.uint8)], torch.device("cuda")
    assert decoded_on(gpu, files) == "them"
    assert asked == [(files, {"mode": torchvision.io.ImageReadMode.RGB, "device": gpu})]


def refusing(*paths, error="nvjpegDecode failed: 5"):
    """As :func:`decoded_on`, which fails on these files."""
    odd = [bytes(path.read_bytes()) for path in paths]

    def decoded(device, files):
        if any(bytes(file.numpy()) in odd for file in files):
            raise RuntimeError(error)
        return decoded_on(device, files)

    return decoded


def test_what_the_device_refuses_is_decoded_on_the_cpu(tmp_path, decoder, monkeypatch, caplog):
    paths = photographs(tmp_path, 6, sides=(100, 150))
    monkeypatch.setattr(jpeg_on_device, "decoded_on", refusing(paths[1], paths[4]))
    given = decoder.numbers([decoder.read(path) for path in paths])
    assert levels(given, expected(paths)).mean() < 0.1 and decoder.refused == 2
    assert torch.equal(given[[1, 4]], expected([paths[1], paths[4]]))
    assert caplog.text.count("nvjpegDecode failed") == 1


def test_a_torchvision_without_the_decoder_leaves_it_to_the_cpu(tmp_path, decoder, monkeypatch):
    paths = photographs(tmp_path, jpeg_on_device.FEW_REFUSED + 1, sides=(60, 70))
    monkeypatch.delattr(torchvision.io, "decode_jpeg")
    files = [decoder.read(path) for path in paths]
    assert torch.equal(decoder.numbers(files[:-1]), expected(paths[:-1])) and not decoder.gave_up
    decoder.numbers(files[-1:])
    assert decoder.gave_up and isinstance(decoder.read(paths[0]), np.ndarray)


def test_a_few_refused_among_many_do_not_end_it(tmp_path, decoder, monkeypatch):
    paths = photographs(tmp_path, 8, sides=(60, 70))
    files = [decoder.read(path) for path in paths]
    monkeypatch.setattr(jpeg_on_device, "FEW_REFUSED", 0)
    monkeypatch.setattr(jpeg_on_device, "decoded_on", refusing(paths[0]))
    decoder.numbers(files)
    assert decoder.refused == 1 and not decoder.gave_up
    decoder.numbers(files[:1])
    assert decoder.gave_up


def test_a_file_that_can_be_decoded_nowhere_has_its_reason(tmp_path, monkeypatch):
    decoder = JpegDecoder(PREPROCESSING, CPU, lambda path: ImageError("corrupt or truncated: so it is"))
    (path,) = photographs(tmp_path, 1)
    monkeypatch.setattr(jpeg_on_device, "decoded_on", refusing(path))
    with pytest.raises(ImageError, match="so it is"):
        decoder.numbers([decoder.read(path)])


@pytest.mark.parametrize("error", ["CUDA out of memory. Tried to allocate 2 GiB", "CUDA error: launch failure"])
def test_memory_and_a_lost_gpu_are_not_the_files_matter(tmp_path, decoder, monkeypatch, error):
    (path,) = photographs(tmp_path, 1)
    monkeypatch.setattr(jpeg_on_device, "decoded_on", refusing(path, error=error))
    with pytest.raises(RuntimeError, match=error[:9]):
        decoder.numbers([decoder.read(path)])
    assert decoder.refused == 0


# As a part of an encoder


class OnGpu(TorchEncoder):
    """Thinks that it is on a GPU."""

    def __init__(self, on_problem=None):
        torch.manual_seed(0)
        layers = [torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()]
        super().__init__("small", torch.nn.Sequential(*layers), transform(), CPU, on_problem)
        self._device = torch.device("cuda")

    def _use(self, dtype, model):
        device, self._device = getattr(self, "_device", CPU), CPU
        super()._use(dtype, model)
        self._device = device

    def _computed(self, tensor, model, dtype, device=None):
        return super()._computed(tensor, model, dtype, CPU)


@pytest.fixture
def gpu(monkeypatch):
    """Decoding on the CPU stands for decoding on a GPU, which is quicker. Returns how many files were decoded so."""
    counted, ticks = [], iter(range(10**6))

    def decoded(device, files):
        counted.append(len(files))
        return decoded_on(CPU, files)

    def timed(compute):
        found = compute()
        return found, next(ticks) % 3 != 2  # decoding and encoding one after the other takes no time

    monkeypatch.setattr(jpeg_on_device, "decoded_on", decoded)
    monkeypatch.setattr(jpeg_on_device, "_timed", timed)
    monkeypatch.setattr(torch_encoder, "JpegDecoder", lambda *given: JpegDecoder(given[0], CPU, given[2]))
    monkeypatch.setattr(torch_encoder, "quick_kinds", lambda device: [])
    return counted


@pytest.fixture
def files(tmp_path):
    """Photographs, of which some are no JPEG files, some broken, one turned."""
    found = photographs(tmp_path / "files", WORTHWHILE, sides=(100, 140))
    for at in (7, 300):
        found[at].write_bytes(found[at].read_bytes()[:2000])
    Image.open(found[9]).save(found[9].with_suffix(".png"))
    found[9] = found[9].with_suffix(".png")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(found[11]).save(found[11], exif=exif)
    return found


def in_float32(paths):
    encoder = OnGpu()
    encoder._device = CPU
    encoder.settle = lambda *values: None
    return embed_images(paths, encoder)


def test_embedding_with_a_gpu_that_decodes_gives_the_same(files, gpu):
    encoder = OnGpu()
    found, plain = embed_images(files, encoder), in_float32(files)
    assert found.failures == plain.failures and set(found.failures) == {7, 300}
    assert found.provenance.inference == f"float32, {ON_GPU}, by PyTorch"
    assert sum(gpu) > len(files) - 4 and max(gpu) == encoder.batch_size
    assert not np.array_equal(found.vectors, plain.vectors) and agree(plain.vectors, found.vectors)


def test_few_images_and_other_encoders_are_decoded_on_the_cpu(files, gpu, monkeypatch):
    few = embed_images(files[: WORTHWHILE - 1], OnGpu())
    assert few.provenance.inference == "float32 by PyTorch" and gpu == []
    encoder = OnGpu()
    encoder._device = CPU
    embed_images(files, encoder)
    own = OnGpu()
    own._preprocessing = None  # as where the transform is not known
    embed_images(files, own)
    assert gpu == []


def settled(files, kept=None):
    encoder = OnGpu()
    encoder.plan(len(files), kept)
    encoder.settle_decoding(files)
    assert (encoder.read is not None) == (ON_GPU in encoder.inference)
    return encoder.read is not None


def test_the_gpu_decodes_only_where_the_vectors_are_the_same_and_sooner(tmp_path, gpu, monkeypatch):
    paths = photographs(tmp_path, 8, sides=(100, 140))
    assert settled(paths)
    with monkeypatch.context() as changed:
        changed.setattr(jpeg_on_device, "decoded_on", lambda device, files: [i.flip(1) for i in decoded_on(CPU, files)])
        assert not settled(paths)
    with monkeypatch.context() as changed:
        changed.setattr(jpeg_on_device, "decoded_on", refusing(paths[3]))
        assert not settled(paths)
    with monkeypatch.context() as changed:
        changed.setattr(jpeg_on_device, "decoded_on", refusing(*paths, error="CUDA out of memory"))
        assert not settled(paths)
    png = [path.with_suffix(".png") for path in paths[:7]]
    for path in png:
        Image.new("RGB", (90, 90)).save(path)
    assert not settled([*png, paths[7]])
    monkeypatch.setattr(jpeg_on_device, "_timed", lambda compute: (compute(), 1.0))
    assert not settled(paths)


def test_what_has_decoded_the_kept_ones_decodes_the_others(tmp_path, gpu, monkeypatch):
    paths = photographs(tmp_path, 8, sides=(100, 140))
    assert not settled(paths, kept="bfloat16 by PyTorch")
    monkeypatch.setattr(jpeg_on_device, "_timed", lambda compute: (compute(), 1.0))
    assert settled(paths, kept=f"float32, {ON_GPU}, by PyTorch")


@pytest.mark.parametrize("error", ["CUDA out of memory", "CUDA error: launch failure", "CUDA driver error: gone"])
def test_no_image_is_lost_with_the_gpu(files, gpu, monkeypatch, error):
    decoded, told = jpeg_on_device.decoded_on, []

    def fails(device, data):
        if sum(gpu) > 100:
            raise RuntimeError(error)
        return decoded(device, data)

    monkeypatch.setattr(jpeg_on_device, "decoded_on", fails)
    monkeypatch.setattr(openvino_network, "engine", lambda: None)
    encoder = OnGpu()
    found, plain = embed_images(files, encoder, on_problem=told.append), in_float32(files)
    assert found.failures == plain.failures and agree(plain.vectors, found.vectors)
    assert encoder.parallel and encoder.inference == "float32 by PyTorch"
    assert len([text for text in told if "on the CPU" in text]) == 1


def test_a_file_that_only_the_decoder_finds_broken_costs_itself_alone(files, gpu, monkeypatch):
    odd = files[200]

    def here(self, path):
        return ImageError("so it is") if path == odd else read_image(path, self.transform)

    monkeypatch.setattr(jpeg_on_device, "decoded_on", refusing(odd))
    monkeypatch.setattr(TorchEncoder, "_read_here", here)
    found = embed_images(files, OnGpu())
    assert found.failures[200] == "so it is" and set(found.failures) == {7, 200, 300}
