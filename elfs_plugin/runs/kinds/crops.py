"""Boxes of objects, and pictures of what is in them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from PIL import Image

from ...contracts import AnyPath
from ...encoders.images import read_image

QUALITY = 92

NO_AREA = "its box has no area"
OUTSIDE = "its box lies outside the image"

Box = list[float]
"""x, y of the upper left corner, width and height, as shares of the image's."""


def box_of(label: dict[str, Any]) -> Box | None:
    """The box of a label as MongoDB keeps it: a detection's, or around the points of a polyline. None: there is none
    that is made of finite numbers."""
    box = label.get("bounding_box")
    if not box and label.get("points"):
        box = _around(label["points"])
    try:
        found = [float(value) for value in box or ()]
    except (TypeError, ValueError):
        return None
    return found if len(found) == 4 and all(map(math.isfinite, found)) else None


def _around(points):
    try:
        x, y = ([point[axis] for shape in points for point in shape] for axis in (0, 1))
        return [min(x), min(y), max(x) - min(x), max(y) - min(y)]
    except (TypeError, ValueError, IndexError):
        return None


def clipped(box: Box | None) -> Box | str:
    """The part of a box that is inside the image, or why there is none: :data:`NO_AREA` or :data:`OUTSIDE`."""
    if box is None or box[2] <= 0 or box[3] <= 0:
        return NO_AREA
    if box[0] >= 0 and box[1] >= 0 and box[0] + box[2] <= 1 and box[1] + box[3] <= 1:
        return box
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    right, bottom = min(box[0] + box[2], 1.0), min(box[1] + box[3], 1.0)
    if right <= left or bottom <= top:
        return OUTSIDE
    return [left, top, right - left, bottom - top]


def crops(
    path: AnyPath, boxes: Sequence[Box], longest_side: int, margin: float
) -> list[tuple[bytes, tuple[int, int]]] | str:
    """(a JPEG, its width and height) of each box of an image file that has been turned upright, or why it cannot be
    read.

    Args:
        boxes: inside the image, see :func:`clipped`
        longest_side: pixels; larger crops are made smaller, smaller ones stay as they are
        margin: added on each side, as a share of the longer side of the box, as far as the image reaches

    Raises:
        MemoryError: when there is not enough memory for an ordinary image
    """
    found = read_image(path, lambda image: [_crop(image, box, longest_side, margin) for box in boxes])
    return found if isinstance(found, list) else str(found)


def _crop(image, box, longest_side, margin):
    width, height = image.size
    left, top, right, bottom = box[0] * width, box[1] * height, (box[0] + box[2]) * width, (box[1] + box[3]) * height
    more = margin * max(right - left, bottom - top)
    x0, y0 = (max(0, math.floor(value - more + 1e-6)) for value in (left, top))
    x1, y1 = min(width, math.ceil(right + more - 1e-6)), min(height, math.ceil(bottom + more - 1e-6))
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    crop = image.crop((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))
    if max(crop.size) > longest_side:
        scale = longest_side / max(crop.size)
        size = tuple(max(1, round(side * scale)) for side in crop.size)
        crop = crop.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    file = io.BytesIO()
    crop.save(file, "JPEG", quality=QUALITY)
    return file.getvalue(), crop.size
