"""Images of more than 8 bits a value, made 8-bit ones without turning black or uniform.

* Grey (16 and 32 bits, signed and floating point): the image's own range of values is stretched to 0..255. What is no
  measurement does not count for the range: NaN, infinite values, values beyond :data:`BEYOND`, the no-data value that a
  GeoTIFF names, and a lowest or highest value far from all others (:data:`FAR`), which is how markers such as 0, -9999
  or 65535 look. NaN and named no-data become black, the others black or white.
* Colour (16 bits): all channels by one factor, the range of the fewest bits (8, 10, 12, 14 or 16) that hold the image's
  largest value, so that 12 bits in a 16-bit file do not turn out black and colours stay what they are.
"""

import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from ..contracts import Floats

BEYOND = 1e30
"""Values at least this large mark what is missing."""

FAR = 2
"""The lowest or highest value counts as a marker when its distance to the next is this many times the range of all
others (of which there must be :data:`_MANY` different ones: an image of few values has no markers)."""

_MANY = 16
_SAMPLE = 1 << 16
_FINEST = 512
_NO_DATA, _BITS, _SAMPLE_FORMAT = 42113, 258, 339  # TIFF tags
_COLOUR = re.compile("^(RGB|RGBX|RGBA|RGBa|CMYK|LA);16([BLN])$")
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def is_deep_grey(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def grey(image: Image.Image) -> Image.Image | None:
    """An 8-bit grey image of a deep grey one, or None where not one value is a number."""
    values, no_data = _values(image), _no_data(image)
    with np.errstate(invalid="ignore", over="ignore"):
        counts = np.isfinite(values) & (np.abs(values) < BEYOND) & (values != no_data)
        if not counts.any():
            return None
        low, high = value_range(values[counts])
        scaled = (values - low) * (255.0 / (high - low) if high > low else 0.0)
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255)
    scaled[values == no_data] = 0
    return Image.fromarray(scaled.round().astype(np.uint8))


def _values(image):
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    # Pillow takes unsigned 32 bits for signed ones.
    if image.mode == "I" and tags.get(_BITS) == (32,) and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1:
        values = values.view(np.uint32)
    return values.astype(np.float64)


def _no_data(image):
    """The value that means nothing, as GDAL writes it; NaN where there is none."""
    said = getattr(image, "tag_v2", {}).get(_NO_DATA)
    try:
        return float(str(said).strip("\0 "))
    except ValueError:
        return np.nan


def value_range(values: Floats) -> tuple[float, float]:
    """(lowest, highest) of finite values (V,), markers left out."""
    low, high = float(values.min()), float(values.max())
    beside = values[(values > low) & (values < high)]
    if beside.size == 0:
        return low, high
    first, last = float(beside.min()), float(beside.max())
    if len(np.unique(_some(beside))) >= _MANY:
        far = FAR * (last - first)
        low, high = first if first - low > far else low, last if high - last > far else high
    # Where nearly all values would fall into half a grey level, the range is theirs.
    bulk = np.percentile(_some(values), (0.5, 99.5))
    inner, outer = map(float, bulk)
    return (inner, outer) if 0 < outer - inner < (high - low) / _FINEST else (low, high)


def _some(values):
    return values[:: -(-len(values) // _SAMPLE)]


def deep_colour(image: ImageFile.ImageFile) -> str | None:
    """The raw mode of a 16-bit colour image that is not loaded yet, for :func:`colour`; None for other images."""
    raw = {_raw_mode(tile) for tile in image.tile}
    tags: Any = getattr(image, "tag_v2", {})
    if raw and raw <= set("RGBA") and image.mode in ("RGB", "RGBA") and set(tags.get(_BITS, ())) == {16}:
        # Channels one after the other: Pillow takes them for 8-bit ones.
        return f"{image.mode};16{'L' if tags.prefix == b'II' else 'B'}"
    first = next(iter(raw), "")
    return first if len(raw) == 1 and _COLOUR.match(first) else None


def colour(open_image: Callable[[], Image.Image], raw: str) -> Image.Image:
    """An 8-bit image of a 16-bit colour one. Pillow gives the high byte of every value; the low one comes from reading
    the file a second time in the other byte order.

    Args:
        open_image: opens the file, unloaded, with Pillow
        raw: as of :func:`deep_colour`
    """
    match = _COLOUR.match(raw)
    assert match is not None
    bands, order = match.groups()
    if bands == "LA":  # four bytes a pixel: both of the grey value, both of its alpha
        parts = np.asarray(_read(open_image, "RGBA")).astype(np.uint16)
        values = parts[..., ::2] << 8 | parts[..., 1::2]
    else:
        # Of colours multiplied by their alpha Pillow would divide single bytes.
        plain = "RGBA" if bands == "RGBa" else bands
        high, low = (np.asarray(_read(open_image, f"{plain};16{o}")) for o in (order, _OTHER_BYTE[order]))
        values = high.astype(np.uint16) << 8 | low
    count = {"LA": 1, "CMYK": 4}.get(bands, 3)
    colours, alpha = values[..., :count].astype(np.float32), values[..., count:].astype(np.float32)
    if bands == "RGBa":
        colours = np.minimum(colours * (65535 / np.maximum(alpha, 1)), 65535)
    largest = 65535 if bands == "CMYK" else colours.max(initial=0)
    top = next(top for bits in (8, 10, 12, 14, 16) if (top := (1 << bits) - 1) >= int(largest))
    scaled = np.concatenate([colours * (255 / top), alpha * (255 / 65535)], axis=2).round().astype(np.uint8)
    mode = {"LA": "LA", "CMYK": "CMYK"}.get(bands, "RGBA" if scaled.shape[2] == 4 else "RGB")
    return Image.merge(mode, [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(scaled, 2, 0)])


def _read(open_image, raw):
    with open_image() as image:
        image.tile = [_with_raw_mode(tile, raw) for tile in image.tile]
        image.load()
        return image


def _raw_mode(tile):
    raw = tile[3] if isinstance(tile[3], str) else tile[3][0] if tile[3] else ""
    return raw if isinstance(raw, str) else ""


def _with_raw_mode(tile, raw):
    if _raw_mode(tile) in tuple("RGBA"):
        raw = _raw_mode(tile) + raw[raw.index(";") :]
    arguments = raw if isinstance(tile[3], str) else (raw, *tile[3][1:])
    return tile._replace(args=arguments) if hasattr(tile, "_replace") else (*tile[:3], arguments)
