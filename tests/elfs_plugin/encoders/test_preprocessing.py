import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.photographs import photographs
from elfs_plugin.encoders.images import read_image
from elfs_plugin.encoders.preprocessing import FINER, recognised


def timm_transform(**options):
    import timm

    return timm.data.create_transform(is_training=False, **options)


def open_clip_transform():
    from open_clip.transform import image_transform

    return image_transform(64, is_train=False)


TRANSFORMS = {
    "timm": lambda: timm_transform(input_size=(3, 64, 64), interpolation="bicubic", crop_pct=0.875),
    "whole": lambda: timm_transform(input_size=(3, 48, 48), interpolation="bilinear", crop_pct=1.0),
    "lanczos": lambda: timm_transform(input_size=(3, 50, 50), interpolation="lanczos", mean=(0.1, 0.5, 0.9)),
    "open_clip": open_clip_transform,
}
HIGH_AND_WIDE = [(75, 150), (75, 152), (90, 210), (300, 640), (100, 3000), (210, 90), (3000, 100)]


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize(
    "size", [(64, 64), (73, 73), (500, 333), (333, 500), (40, 21), (9, 700), (64, 90), (1, 1), *HIGH_AND_WIDE]
)
def test_what_is_recognised_gives_the_same_but_for_roundings(name, size):
    transform = TRANSFORMS[name]()
    found = recognised(transform)
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    given = found.numbers(torch.from_numpy(np.stack([found.pixels(image)])))
    difference = (given[0] - transform(image)).abs() * torch.tensor(found.std)[:, None, None] * 255
    assert given.is_contiguous(memory_format=torch.channels_last)
    assert difference.max() < 2.01 and difference.mean() < 0.5


@pytest.mark.parametrize("name", ["timm", "whole", "open_clip"])
@pytest.mark.parametrize("size", [(64, 64), (73, 73), (500, 333), (333, 500), (40, 21), (64, 90), (1, 1), (150, 75)])
def test_what_is_scaled_as_a_tensor_is_the_same_but_for_roundings(name, size):
    found = recognised(TRANSFORMS[name]())
    assert found.scales_on_device and not recognised(TRANSFORMS["lanczos"]()).scales_on_device
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size[::-1], 3), dtype=np.uint8)
    given = found.scaled(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy()
    expected = np.stack([found.pixels(Image.fromarray(image)) for image in pixels])
    assert given.shape == expected.shape
    assert np.abs(given - expected).max() <= 2 and np.abs(given - expected).mean() < 0.1


def test_other_preprocessing_is_left_alone():
    from torchvision import transforms

    assert recognised(None) is None
    assert recognised(lambda image: torch.zeros(3)) is None
    assert recognised(timm_transform(input_size=(3, 32, 32), crop_mode="squash")) is None
    assert recognised(timm_transform(input_size=(3, 32, 32), crop_mode="border")) is None
    usual = TRANSFORMS["timm"]().transforms
    assert recognised(transforms.Compose(usual)) is not None
    assert recognised(transforms.Compose([*usual, torch.nn.Identity()])) is None
    limited = transforms.Resize(usual[0].size, usual[0].interpolation, max_size=1000)
    assert recognised(transforms.Compose([limited, *usual[1:]])) is None
    assert recognised(transforms.Compose([usual[0], usual[1], lambda image: torch.zeros(3, 64, 64), usual[3]])) is None


@pytest.mark.parametrize("high", [True, False])
def test_what_is_different_for_high_or_for_wide_images_alone_is_left_alone(high):
    from torchvision import transforms

    class Odd(transforms.Resize):
        def forward(self, image):
            shorter, longer = (image.width, image.height) if high else (image.height, image.width)
            return super().forward(image.rotate(180) if longer > 2 * shorter else image)

    usual = TRANSFORMS["timm"]().transforms
    odd = Odd(usual[0].size, usual[0].interpolation)
    assert recognised(transforms.Compose([odd, *usual[1:]])) is None


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8))
    large = noise.resize((1800, 1200), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.jpg", quality=95)
    large.save(tmp_path / "large.png")
    found = recognised(TRANSFORMS["timm"]())
    assert found.least_side == FINER * 73
    whole = read_image(tmp_path / "large.jpg", lambda image: image)
    smaller = read_image(tmp_path / "large.jpg", lambda image: image, least_side=found.least_side)
    assert whole.size == (1800, 1200) and smaller.size == (225, 150)
    assert read_image(tmp_path / "large.png", lambda image: image, least_side=found.least_side).size == whole.size
    difference = found.pixels(whole).astype(float) - found.pixels(smaller)
    assert np.abs(difference).mean() < 1.5


def test_a_small_jpeg_is_decoded_as_it_is(tmp_path):
    (path,) = photographs(tmp_path, 1, sides=(100, 110))
    assert read_image(path, lambda image: image.size, least_side=146) == Image.open(path).size
