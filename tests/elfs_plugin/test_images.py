import os
import warnings

import numpy as np
import pytest
from PIL import Image

from elfs_plugin import images
from elfs_plugin.images import ImageError, decode, load_pixels, load_rgb

RED, GREEN, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (255, 255, 255), (0, 0, 0)


def save(path, image, **options):
    image.save(path, **options)
    return path


def pixel(path, at=(0, 0)):
    image = load_rgb(path)
    assert image.mode == "RGB"
    return image.getpixel(at)


# Files that cannot be used


def test_missing_file(tmp_path):
    with pytest.raises(ImageError, match="^file not found$"):
        load_rgb(tmp_path / "nowhere.png")


def test_empty_file(tmp_path):
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(ImageError, match="empty file"):
        load_rgb(path)


def test_folder(tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match="cannot be opened"):
        load_rgb(tmp_path / "folder.png")


def test_file_that_is_no_image(tmp_path):
    path = tmp_path / "text.jpg"
    path.write_text("this is not an image")
    with pytest.raises(ImageError, match="not an image"):
        load_rgb(path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_file(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"cut.{suffix}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match="corrupt or truncated"):
        load_rgb(path)


def test_corrupt_file(tmp_path):
    path = save(tmp_path / "bad.png", Image.new("RGB", (32, 32), RED))
    data = bytearray(path.read_bytes())
    at = data.index(b"IDAT") + 4
    data[at : at + 8] = bytes(8)
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match="corrupt or truncated"):
        load_rgb(path)


@pytest.mark.parametrize("side", [12, 20])  # Pillow warns above the limit (144 > 100) and raises above twice it (400)
def test_decompression_bomb(tmp_path, monkeypatch, side):
    path = save(tmp_path / "bomb.png", Image.new("RGB", (side, side)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(ImageError, match="more than 100 pixels"):
            load_rgb(path)


def test_running_out_of_memory_is_not_blamed_on_the_file(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", Image.new("RGB", (4, 4)))

    def fail(image):
        raise MemoryError

    monkeypatch.setattr(images, "_to_rgb", fail)
    with pytest.raises(MemoryError):
        load_rgb(path)


# Kinds of images


def test_grey(tmp_path):
    assert pixel(save(tmp_path / "a.png", Image.new("L", (4, 4), 77))) == (77, 77, 77)


def test_one_bit(tmp_path):
    image = Image.new("1", (4, 4), 0)
    image.putpixel((1, 0), 1)
    path = save(tmp_path / "a.png", image)
    assert pixel(path) == BLACK and pixel(path, (1, 0)) == WHITE


def test_transparency_is_laid_on_white(tmp_path):
    image = Image.new("RGBA", (3, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    path = save(tmp_path / "a.png", image)
    assert pixel(path) == RED and pixel(path, (1, 0)) == WHITE
    assert pixel(path, (2, 0)) == (127, 127, 127)  # 255 * (1 - 128 / 255)


def test_grey_with_alpha(tmp_path):
    image = Image.new("LA", (2, 1), (10, 255))
    image.putpixel((1, 0), (10, 0))
    path = save(tmp_path / "a.png", image)
    assert pixel(path) == (10, 10, 10) and pixel(path, (1, 0)) == WHITE


def test_palette(tmp_path):
    image = Image.new("P", (2, 1), 0)
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    path = save(tmp_path / "a.png", image)
    assert pixel(path) == RED and pixel(path, (1, 0)) == GREEN


def test_palette_with_a_transparent_colour(tmp_path):
    image = Image.new("P", (2, 1), 0)
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    path = save(tmp_path / "a.png", image, transparency=1)
    assert pixel(path) == RED and pixel(path, (1, 0)) == WHITE


def test_cmyk(tmp_path):
    # Cyan and nothing else: no red, full green and blue.
    path = save(tmp_path / "a.tif", Image.new("CMYK", (4, 4), (255, 0, 0, 0)))
    assert pixel(path) == (0, 255, 255)
    red, green, blue = pixel(save(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (255, 0, 0, 0)), quality=100))
    assert red < 10 and green > 245 and blue > 245


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_stretched(tmp_path, suffix):
    # 12 bits in a 16-bit file: 0, 2048, 4095 become 0, 2048 * 255 / 4095 = 127.5, 255.
    values = np.array([[0, 2048, 4095]], dtype=np.uint16)
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(values))
    assert [pixel(path, (x, 0))[0] for x in range(3)] == [0, 128, 255]


def test_flat_sixteen_bit_image_is_black(tmp_path):
    assert pixel(save(tmp_path / "a.png", Image.fromarray(np.full((2, 2), 900, dtype=np.uint16)))) == BLACK


def test_float_image_with_nan(tmp_path):
    values = np.array([[-1.0, 1.0, np.nan]], dtype=np.float32)
    path = save(tmp_path / "a.tif", Image.fromarray(values))
    assert [pixel(path, (x, 0))[0] for x in range(3)] == [0, 255, 0]


@pytest.mark.parametrize(
    ("orientation", "size", "red_at"),
    [(1, (3, 2), (0, 0)), (3, (3, 2), (2, 1)), (6, (2, 3), (1, 0)), (8, (2, 3), (0, 2))],
)
def test_exif_orientation(tmp_path, orientation, size, red_at):
    image = Image.new("RGB", (3, 2), GREEN)
    image.putpixel((0, 0), RED)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = load_rgb(save(tmp_path / "a.png", image, exif=exif))
    assert upright.size == size and upright.getpixel(red_at) == RED


def test_only_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert pixel(path) == RED


# Many files


def test_decode_keeps_the_order_and_passes_errors_on(tmp_path):
    paths = [save(tmp_path / f"{i}.png", Image.new("L", (2, 2), i)) for i in range(100)]
    paths[41] = tmp_path / "nowhere.png"
    results = list(decode(paths, lambda image: image.getpixel((0, 0))[0], threads=2))
    assert [index for index, _ in results] == list(range(100))
    assert [value for index, value in results if index != 41] == [i for i in range(100) if i != 41]
    assert isinstance(results[41][1], ImageError)


def test_decode_leaves_the_warning_filters_alone(tmp_path):
    path = save(tmp_path / "a.png", Image.new("L", (2, 2)))
    before = list(warnings.filters)
    assert sum(1 for _ in decode([path] * 400, lambda image: 0, threads=8)) == 400
    assert list(warnings.filters) == before


def test_load_pixels_excludes_what_cannot_be_read(tmp_path):
    good = save(tmp_path / "red.png", Image.new("RGB", (10, 10), RED))
    other = save(tmp_path / "green.png", Image.new("RGB", (10, 10), GREEN))
    (tmp_path / "empty.png").touch()
    reports = []
    pixels = load_pixels(
        [good, tmp_path / "empty.png", tmp_path / "nowhere.png", other],
        4,
        progress=lambda fraction, detail="": reports.append(fraction),
    )
    assert pixels.values.shape == (2, 3, 4, 4) and pixels.values.dtype == np.uint8
    assert pixels.ok.tolist() == [True, False, False, True]
    assert pixels.failures == {1: "empty file (0 bytes)", 2: "file not found"}
    assert pixels.values[:, :, 0, 0].tolist() == [list(RED), list(GREEN)]
    assert reports == [0.25, 0.5, 0.75, 1.0]


def test_load_pixels_crops_the_centre(tmp_path):
    image = Image.new("RGB", (12, 4), GREEN)
    image.paste(RED, (4, 0, 8, 4))
    pixels = load_pixels([save(tmp_path / "wide.png", image)], 4)
    assert (pixels.values[0] == np.array(RED)[:, None, None]).all()


def test_large_sets_go_to_a_temporary_file(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", Image.new("RGB", (4, 4), RED))
    monkeypatch.setattr(images, "MEMORY_LIMIT_BYTES", 10)
    values = load_pixels([path] * 3, 4).values
    assert isinstance(values.base if not isinstance(values, np.memmap) else values, np.memmap)
    assert values.shape == (3, 3, 4, 4) and (values[:, 0] == 255).all()


def test_default_threads():
    assert 1 <= images.default_threads() <= 16
    assert images.default_threads() <= 2 * (os.cpu_count() or 1)
