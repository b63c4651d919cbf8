"""A model's own preprocessing, quicker: only what is left of an image after cropping is computed, as bytes that the
network's side makes numbers of, a whole batch at a time.

What is taken over is the usual chain of torchvision's steps, as timm and OpenCLIP make it (shorter side to a size, the
middle cut out, mean and standard deviation); any other preprocessing stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..contracts import Array
from ..seeds import Stream, rng

FINER = 2
"""A JPEG may be decoded with a shorter side this many times the one that is asked for, where the vectors are then the
same; those of some networks are not."""

_AS_RGB = {"_convert_to_rgb", "_convert_image_to_rgb", "MaybeConvertMode"}
"""Steps that leave an RGB image as it is."""
_SAME = 2.01 / 255
"""Two roundings, of which each may go the other way."""
HIGH = 2
"""Images more than this many times as high as wide are made smaller as a whole, and then cropped."""

_REACH = 4
"""Pixels beside its own that one of the result is made of, at most, with any of Pillow's filters."""


_ON_DEVICE = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}
"""Pillow's filters that PyTorch has too."""


@dataclass(frozen=True)
class Preprocessing:
    """Shorter side to ``side``, the middle ``crop`` (height, width) of it; ``mean`` and ``std`` of the channels."""

    side: int
    crop: tuple[int, int]
    resample: Image.Resampling
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        height, width = self.crop
        mean, std = (" ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return (
            f"shorter side {self.side} pixels ({self.resample.name.lower()}), middle {height} x {width}, mean {mean}, "
            f"standard deviation {std}"
        )

    @property
    def least_side(self) -> int:
        """The shorter side in pixels from which on a larger image adds nothing."""
        return FINER * self.side

    def pixels(self, image: Image.Image) -> Array:
        """(H, W, 3) uint8 of an RGB image."""
        width, height = self._resized(image.size)
        rows, columns = self.crop
        # As torchvision rounds them.
        left, top = round((width - columns) / 2), round((height - rows) / 2)
        # To enlarge it takes little time, and is then the same to the bit. Of a high image Pillow, in some versions,
        # makes the columns shorter before the rows, and what it rounds in between differs.
        if width >= image.width or image.height > HIGH * image.width:
            image = image.resize((width, height), self.resample)
            return np.asarray(image.crop((left, top, left + columns, top + rows)))
        across, down = image.width / width, image.height / height
        first, last = top * down, (top + rows) * down
        # Rows before columns, as Pillow does it with whole images: what is rounded in between is then the same.
        reach = _REACH * max(1.0, down)
        above, below = max(0, int(first - reach)), min(image.height, int(last + reach) + 1)
        part = (left * across, above, min((left + columns) * across, image.width), below)
        narrow = image.resize((columns, below - above), self.resample, box=part)
        part = (0, first - above, columns, min(last - above, narrow.height))
        return np.asarray(narrow.resize((columns, rows), self.resample, box=part))

    @property
    def scales_on_device(self) -> bool:
        """Whether :meth:`scaled` knows the filter."""
        return self.resample in _ON_DEVICE

    def scaled(self, images: torch.Tensor) -> torch.Tensor:
        """(B, H', W', 3) float32 in [0, 255] of (B, 3, H, W) uint8 RGB images on any device: as :meth:`pixels`, but for
        roundings."""
        width, height = self._resized((images.shape[3], images.shape[2]))
        rows, columns = self.crop
        left, top = round((width - columns) / 2), round((height - rows) / 2)
        # One side after the other, as Pillow does it: it cuts off what is beyond black and white after each.
        found = self._interpolated(images.float(), (images.shape[2], width))[:, :, :, left : left + columns]
        found = self._interpolated(found, (height, columns))[:, :, top : top + rows]
        return found.permute(0, 2, 3, 1)

    def _interpolated(self, images, size):
        mode = _ON_DEVICE[self.resample]
        return (
            torch.nn.functional.interpolate(images, size, mode=mode, antialias=True).add_(0.5).floor_().clamp_(0, 255)
        )

    def _resized(self, size):
        width, height = size
        if width <= height:
            return self.side, int(self.side * height / width)
        return int(self.side * width / height), self.side

    def numbers(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) float32, channels last in memory, of (B, H, W, 3) uint8, or float32 in [0, 255], which is used
        up, on any device."""
        scale = torch.tensor([1 / (255 * s) for s in self.std], device=pixels.device)
        shift = torch.tensor([-m / s for m, s in zip(self.mean, self.std)], device=pixels.device)
        return pixels.float().mul_(scale).add_(shift).permute(0, 3, 1, 2)


def recognised(transform: Callable[[Image.Image], Any] | None) -> Preprocessing | None:
    """The :class:`Preprocessing` that gives the same as ``transform``, or None where none is known to."""
    found = _steps(transform)
    return found if found is not None and all(_agree(found, transform, image) for image in _probes(found)) else None


def _steps(transform):
    from torchvision import transforms

    steps = [step for step in getattr(transform, "transforms", ()) if _name(step) not in _AS_RGB]
    if len(steps) != 4:
        return None
    resize, crop, _, normalize = steps
    if not (isinstance(resize, transforms.Resize) and isinstance(crop, transforms.CenterCrop)):
        return None
    if not isinstance(normalize, transforms.Normalize) or resize.max_size is not None:
        return None
    side, cut = _one(resize.size), tuple(crop.size)
    resample = getattr(Image.Resampling, str(getattr(resize.interpolation, "value", "")).upper(), None)
    if side is None or resample is None or max(cut) > side:
        return None
    return Preprocessing(side, cut, resample, _floats(normalize.mean), _floats(normalize.std))


def _name(step):
    return getattr(step, "__name__", type(step).__name__)


def _one(size):
    """A shorter side; None where a size of its own is given for both sides."""
    if isinstance(size, Sequence):
        return int(size[0]) if len(size) == 1 else None
    return int(size)


def _floats(values):
    return tuple(float(value) for value in torch.as_tensor(values).flatten())


def _probes(found):
    """Images wider, higher, larger and smaller than what is made of them, some of them much."""
    draws = rng(0, Stream.PROBE_IMAGES)
    side = found.side
    sizes = [(side * 2 + 7, side + 30), (side - side // 3, side), (side, side + 9)]
    for height, width in (*sizes, (side * 3, side + 30), (side + 30, side * 3)):
        yield Image.fromarray(draws.integers(0, 256, (height, width, 3), dtype=np.uint8))


def _agree(found, transform, image):
    """Whether both give the same but for roundings."""
    try:
        expected = transform(image)
    except Exception:  # a transform of one's own may want anything; it is then left alone
        return False
    given = found.numbers(torch.from_numpy(found.pixels(image).copy())[None])[0]
    if not isinstance(expected, torch.Tensor) or expected.shape != given.shape:
        return False
    return bool(((expected - given).abs().amax(dim=(1, 2)) * torch.tensor(found.std) < _SAME).all())
