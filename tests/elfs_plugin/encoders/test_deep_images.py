import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from elfs_plugin.encoders.deep_images import value_range
from elfs_plugin.encoders.images import ImageError, load_rgb

SCENE = np.add.outer(np.arange(64.0), np.arange(64.0)).astype(np.float32)
GREY = SCENE * 255 / 126
"""What the scene looks like at its own range."""


def decoded(tmp_path, values, **options):
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    return np.asarray(load_rgb(tmp_path / "a.tif")).astype(int)


def looks_like(image, expected, but=()):
    """Whether all channels are as expected, a rounding aside; ``but``: pixels that do not count."""
    difference = np.abs(image - np.broadcast_to(np.asarray(expected).reshape(*image.shape[:2], -1), image.shape))
    for row, column in but:
        difference[row, column] = 0
    return difference.max() <= 1


# Grey


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -3.4e38, 1e38, -9999, -32768, 65535, 1e6])
def test_what_is_no_measurement_does_not_count_for_the_range(tmp_path, value):
    values = SCENE.copy()
    values[3, 5] = values[9, 9] = value
    image = decoded(tmp_path, values)
    assert looks_like(image, GREY, but=[(3, 5), (9, 9)])
    assert (image[3, 5] == (255 if value > 0 else 0)).all()


def test_no_data_at_both_ends(tmp_path):
    values = SCENE.copy()
    values[:20], values[-20:] = -9999, 65535
    assert decoded(tmp_path, values)[20:44].std() > 50


@pytest.mark.parametrize(
    ("dtype", "byteorder"),
    # Pillow does not read unsigned 32 bits in the other byte order.
    [(np.uint32, "<"), *((t, o) for t in (np.uint16, np.int16, np.int32, np.float32) for o in "<>")],
)
def test_all_types(tmp_path, dtype, byteorder):
    assert looks_like(decoded(tmp_path, SCENE.astype(dtype), byteorder=byteorder), GREY)


def test_signed_and_large_unsigned_values(tmp_path):
    assert looks_like(decoded(tmp_path, (SCENE - 60).astype(np.int16)), GREY)
    assert looks_like(decoded(tmp_path, (SCENE.astype(np.uint32) + 2_147_483_600)), GREY)


@pytest.mark.parametrize(("dtype", "marker"), [(np.uint16, 0), (np.uint16, 65535), (np.int16, -32768)])
def test_a_marker_of_a_narrow_range(tmp_path, dtype, marker):
    values = (SCENE + 20_000).astype(dtype)
    values[:32, :32] = marker
    image = decoded(tmp_path, values)
    assert (image[:32, :32] == (255 if marker > 0 else 0)).all()
    assert image[32:].std() > 30


def test_the_no_data_value_that_a_geotiff_names(tmp_path):
    values = SCENE.copy()
    values[2, 2] = 200
    image = decoded(tmp_path, values, extratags=[(42113, 2, 4, "200", True)])
    assert looks_like(image, GREY, but=[(2, 2)]) and (image[2, 2] == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -3.4e38])
def test_an_image_without_a_number_is_left_out(tmp_path, value):
    with pytest.raises(ImageError, match="not one of its values is a finite number"):
        decoded(tmp_path, np.full((8, 8), value, dtype=np.float32))


def test_many_wild_values(tmp_path):
    values = SCENE.copy()
    values[0, :8] = 10.0 ** np.arange(10, 18)
    assert decoded(tmp_path, values)[1:].std() > 40


def test_images_of_few_values_have_no_markers():
    assert value_range(np.array([0.0, 1, 2, 1000])) == (0, 1000)
    assert value_range(np.array([7.0])) == (7, 7)
    assert value_range(np.array([0.0, 65535])) == (0, 65535)


def test_bright_and_dark_are_no_markers():
    assert value_range(np.r_[0.0, 100:200, 350]) == (0, 350)
    assert value_range(np.r_[0.0, 100:200]) == (0, 199)
    assert value_range(np.r_[0.0, 1000:1100]) == (1000, 1099)


def test_the_same_image_is_always_the_same(tmp_path):
    values = np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32)
    assert (decoded(tmp_path, values) == decoded(tmp_path, values)).all()


# Colour

NOISE = np.random.default_rng(0).integers(0, 65536, (20, 30, 4)).astype(np.uint16)
NOISE[0, 0] = 65535
WHOLE = NOISE.astype(float) * 255 / 65535


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"compression": "zlib"},
        {"compression": "zlib", "byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"planarconfig": "separate"},
    ],
    ids=str,
)
def test_colour_tiff_of_fewer_bits_in_sixteen(tmp_path, options, bits):
    values = NOISE[..., :3] >> (16 - bits)
    given = np.moveaxis(values, 2, 0).copy() if "planarconfig" in options else values
    image = decoded(tmp_path, given, photometric="rgb", **options)
    assert looks_like(image, values.astype(float) * 255 / ((1 << bits) - 1))


@pytest.mark.parametrize("bits", [12, 16])
def test_colour_png(tmp_path, bits):
    values = NOISE[..., :3] >> (16 - bits)
    cv2.imwrite(str(tmp_path / "a.png"), values[..., ::-1])
    assert looks_like(np.asarray(load_rgb(tmp_path / "a.png")).astype(int), values * (255 / ((1 << bits) - 1)))


def test_colour_png_with_alpha_is_laid_on_white(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(NOISE, cv2.COLOR_RGBA2BGRA))
    alpha = WHOLE[..., 3:] / 255
    image = np.asarray(load_rgb(tmp_path / "a.png")).astype(int)
    assert np.abs(image - (WHOLE[..., :3] * alpha + 255 * (1 - alpha))).max() <= 2


def test_colour_multiplied_by_its_alpha(tmp_path):
    share = NOISE[..., 3:] / 65535
    values = np.concatenate([(NOISE[..., :3] * share).astype(np.uint16), NOISE[..., 3:]], axis=2)
    image = decoded(tmp_path, values, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(image - (WHOLE[..., :3] * share + 255 * (1 - share))).max() <= 2


def test_grey_png_with_alpha(tmp_path):
    import struct
    import zlib

    def chunk(name, data):
        return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))

    values = NOISE[..., :2].copy() >> np.array([4, 0], dtype=np.uint16)  # 12 bits of grey
    values[..., 1] = 65535
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">LLBBBBB", 30, 20, 16, 4, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    image = np.asarray(load_rgb(tmp_path / "a.png")).astype(int)
    assert looks_like(image, values[..., 0] * (255 / 4095))


def test_cmyk(tmp_path):
    ink = WHOLE[..., :3] + (255 - WHOLE[..., :3]) * WHOLE[..., 3:] / 255
    assert np.abs(decoded(tmp_path, NOISE, photometric="separated") - (255 - ink)).max() <= 2


def test_a_dark_full_range_photograph_keeps_its_colours(tmp_path):
    values = np.zeros((4, 4, 3), dtype=np.uint16)
    values[0, 0] = (60000, 30000, 0)
    image = decoded(tmp_path, values, photometric="rgb")
    assert image[0, 0].tolist() == [round(60000 / 257), round(30000 / 257), 0] and image[1:].max() == 0


def test_deep_colour_is_turned_upright(tmp_path):
    image = decoded(tmp_path, NOISE[..., :3], photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    assert image.shape == (30, 20, 3) and looks_like(image, np.rot90(WHOLE[..., :3], -1))


def test_eight_bits_stay_as_they_are(tmp_path):
    values = (NOISE[..., :3] >> 10).astype(np.uint8)
    assert (decoded(tmp_path, values, photometric="rgb") == values).all()
    Image.fromarray(values).save(tmp_path / "a.png")
    assert (np.asarray(load_rgb(tmp_path / "a.png")) == values).all()
