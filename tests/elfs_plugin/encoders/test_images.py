import errno
import os
import struct
import tempfile
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from elfs_plugin import files
from elfs_plugin.encoders import images
from elfs_plugin.encoders.images import ImageError, decode, load_pixels, load_rgb
from elfs_plugin.errors import InvalidInput

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
    with pytest.raises(ImageError, match="a folder, a pipe or a device, not a file"):
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


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 300 + ".png"])
def test_impossible_names(tmp_path, name):
    with pytest.raises(ImageError, match="cannot be opened|not found"):
        load_rgb(str(tmp_path / name))


# Large images


def test_the_variable_allows_more_and_pillows_limit_stays(tmp_path, monkeypatch):
    path = save(tmp_path / "big.tif", Image.new("RGB", (40, 40), RED))  # TIFF looks at the limit as it loads, too
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="40 x 40.*resize it, or set the environment variable ELFS_MAX_IMAGE_PIXELS"):
        load_rgb(path)
    monkeypatch.setenv(images.MOST_PIXELS_VARIABLE, "1_600")
    monkeypatch.setattr(images, "LARGE_PIXELS", 100)
    assert pixel(path) == RED
    assert Image.MAX_IMAGE_PIXELS == 100


def test_the_limit(monkeypatch):
    assert images.pixel_limit() == images.MOST_PIXELS > 200_000_000
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert images.pixel_limit() is None
    monkeypatch.setenv(images.MOST_PIXELS_VARIABLE, "1000")
    assert images.pixel_limit() == 1000


@pytest.mark.parametrize("said", ["many", "-5", "0", "1.5"])
def test_a_variable_that_makes_no_sense_is_refused_before_any_file(monkeypatch, said):
    monkeypatch.setenv(images.MOST_PIXELS_VARIABLE, said)
    with pytest.raises(InvalidInput, match="ELFS_MAX_IMAGE_PIXELS must be a number of pixels"):
        next(decode(["nowhere.png"], lambda image: image))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_of_large_images_a_smaller_version_is_made(tmp_path, monkeypatch, suffix):
    image = Image.new("RGB", (200, 100), GREEN)
    image.paste(RED, (100, 0, 200, 100))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / f"a.{suffix}", image, exif=exif)
    assert load_rgb(path).size == (100, 200)
    monkeypatch.setattr(images, "LARGE_PIXELS", 10_000)
    monkeypatch.setattr(images, "REDUCED_SIDE", 20)
    small = load_rgb(path)
    assert small.size in ((25, 50), (20, 40))  # JPEG halves, others any whole factor
    assert small.getpixel((10, 2))[1] > 240 and small.getpixel((10, small.height - 3))[0] > 240


def test_a_few_pixels_at_a_time(tmp_path, monkeypatch):
    paths = [save(tmp_path / f"{i}.png", Image.new("L", (40, 40), i)) for i in range(30)]
    share = images._Share(3200)
    monkeypatch.setattr(images, "_pixels_at_once", share)
    least = []

    def transform(image):
        least.append(share._free)
        return image.getpixel((0, 0))[0]

    assert [value for _, value in decode(paths, transform, threads=8)] == list(range(30))
    assert min(least) >= 0 and max(least) <= 1600 and share._free == 3200
    monkeypatch.setattr(images, "_pixels_at_once", images._Share(10))  # each larger than all there is
    assert [value for _, value in decode(paths, transform, threads=8)] == list(range(30))


# Damaged metadata

TURNED = (274, 3, 1, struct.pack("<HH", 6, 0))


def exif_of(*entries, data=b""):
    head = b"II*\0" + struct.pack("<L", 8) + struct.pack("<H", len(entries))
    body = b"".join(struct.pack("<HHL", tag, kind, count) + value for tag, kind, count, value in sorted(entries))
    return b"Exif\0\0" + head + body + struct.pack("<L", 0) + data


def png_chunk(name, data, wrong=0):
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data) ^ wrong)


@pytest.mark.parametrize(
    "exif",
    [
        exif_of(TURNED, (282, 10, 1, struct.pack("<L", 38)), data=struct.pack("<ll", -1, 0)),
        exif_of(TURNED, (282, 7, 3, b"\xff\xff\xff\0")),
        exif_of(TURNED, (282, 2, 3, b"72\0\0")),
        exif_of(TURNED, (700, 11, 1, struct.pack("<f", 1.0))),
        exif_of(TURNED, (34853, 8, 1, struct.pack("<hh", -1, 0))),
    ],
    ids=["rational -1/0", "bytes", "text", "XMP as a float", "pointer before the file"],
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_odd_exif_data_turns_the_image_all_the_same(tmp_path, suffix, exif):
    path = save(tmp_path / f"a.{suffix}", Image.new("RGB", (30, 20), GREEN), exif=exif)
    assert load_rgb(path).size == (20, 30)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense", exif_of(TURNED)[:24]])
def test_unreadable_exif_data_leaves_the_image_as_it_is(tmp_path, exif):
    assert load_rgb(save(tmp_path / "a.jpg", Image.new("RGB", (30, 20), GREEN), exif=exif)).size == (30, 20)


@pytest.mark.parametrize(
    "entry",
    [
        (274, 2, 4, b"six\0"),
        (274, 11, 1, struct.pack("<f", 6.5)),
        (274, 3, 1, struct.pack("<HH", 9, 0)),
        (274, 3, 1, struct.pack("<HH", 0, 0)),
    ],
)
def test_orientations_that_are_none(tmp_path, entry):
    exif = exif_of(entry)
    assert load_rgb(save(tmp_path / "a.jpg", Image.new("RGB", (30, 20), GREEN), exif=exif)).size == (30, 20)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_is_turned_as_pillow_turns_it(tmp_path, orientation, compression):
    values = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    options = {} if compression is None else {"compression": compression}
    path = save(tmp_path / "a.tif", Image.fromarray(values), tiffinfo={274: orientation}, **options)
    with Image.open(path) as image:
        image.load()
        expected = np.asarray(image)
    assert (np.asarray(load_rgb(path)) == expected).all()


@pytest.mark.parametrize("at", [33, -12], ids=["before the pixels", "behind them"])
@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"eXIf", b"\0\x08\0\x02\x01\x12\0\x03"),
        png_chunk(b"tEXt", b"a\0b", wrong=1),
        png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20 << 20))),
        png_chunk(b"zTXt", b"a\0\x07"),
        png_chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(20 << 20))),
        png_chunk(b"pHYs", b"1"),
        png_chunk(b"iCCP", b"a\0\7"),
    ],
    ids=["eXIf", "checksum", "long text", "unknown compression", "long text in UTF-8", "pHYs", "iCCP"],
)
def test_damaged_png_metadata_costs_no_image(tmp_path, chunk, at):
    path = save(tmp_path / "a.png", Image.new("RGB", (4, 4), RED))
    data = path.read_bytes()
    path.write_bytes(data[:at] + chunk + data[at:])
    assert pixel(path) == RED


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


def test_lab(tmp_path):
    path = save(tmp_path / "a.tif", Image.new("LAB", (4, 4), (255, 128, 128)))
    assert min(pixel(path)) > 250
    assert max(pixel(save(tmp_path / "b.tif", Image.new("LAB", (4, 4), (0, 128, 128))))) < 5


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


def paths_of(folder, n=6):
    return [save(folder / f"{i}.png", Image.new("L", (2, 2), i)) for i in range(n)]


@pytest.mark.parametrize("error", [ValueError("height and width must be > 0"), ZeroDivisionError(), KeyError("x")])
def test_a_transform_that_fails_on_one_image_costs_that_image(tmp_path, error):
    def transform(image):
        if image.getpixel((0, 0))[0] == 3:
            raise error
        return 1

    results = [value for _, value in decode(paths_of(tmp_path), transform)]
    assert results.count(1) == 5 and isinstance(results[3], ImageError)
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    assert str(results[3]) == f"cannot be prepared (2 x 2 pixels): {said}"


def out_of_memory_for(value, errors):
    def transform(image):
        if image.getpixel((0, 0))[0] == value and errors:
            raise errors.pop()
        return 1

    return transform


NO_MEMORY = [
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=["Python", "PyTorch"])
def test_an_image_that_needs_too_much_memory_costs_itself_alone(tmp_path, error):
    results = [value for _, value in decode(paths_of(tmp_path), out_of_memory_for(3, [error] * 2))]
    assert results.count(1) == 5 and str(results[3]) == "it needs more memory than there is"


def test_where_all_threads_together_took_too_much_it_is_tried_alone(tmp_path):
    results = [value for _, value in decode(paths_of(tmp_path), out_of_memory_for(3, [MemoryError()]))]
    assert results == [1] * 6


@pytest.mark.parametrize("error", NO_MEMORY, ids=["Python", "PyTorch"])
def test_a_true_shortage_of_memory_is_reported(tmp_path, monkeypatch, error):
    monkeypatch.setattr(images, "_ORDINARY_BYTES", 1 << 60)
    with pytest.raises(type(error)):
        list(decode(paths_of(tmp_path), out_of_memory_for(3, [error] * 2)))


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


def test_no_room_for_a_large_set_is_found_before_decoding(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(images, "MEMORY_LIMIT_BYTES", 10)
    monkeypatch.setattr(files.os, "posix_fallocate", fail)
    monkeypatch.setattr(images, "decode", lambda *_, **__: pytest.fail("decoding was begun"))
    with pytest.raises(OSError) as caught:
        load_pixels([tmp_path / "a.png"] * 3, 4)
    assert caught.value.filename == tempfile.gettempdir()


def test_default_threads():
    assert 1 <= images.default_threads() <= 16
    assert images.default_threads() <= 2 * (os.cpu_count() or 1)


def test_what_is_no_file_is_left_out_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "pipe.png", tmp_path / "folder.png", "/dev/null"):
        with pytest.raises(ImageError, match="a folder, a pipe or a device, not a file"):
            load_rgb(path)
