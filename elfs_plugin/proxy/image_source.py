"""The images that a proxy learns from: where they are kept, how they are augmented and normalised.

Images are an (N, 3, H, W) uint8 array or ``np.memmap``; the whole of it is never copied in main memory. On a GPU it is
kept in the GPU's memory when it fits there, else every batch is read from the array through pinned memory.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from ..contracts import Array, Integers
from ..contracts import Images as ImageArray
from ..errors import InvalidInput
from ..gpu_memory import OUT_OF_MEMORY

if TYPE_CHECKING:
    from .config import ProxyConfig


logger = logging.getLogger(__name__)

MIN_SIZE = 8
"""Below 8 pixels nothing is left after the three halvings of a small-image ResNet."""

RESIDENT_SHARE = 0.4
"""Share of the free GPU memory that images may take; the rest is for the network and its activations."""

Normalization: TypeAlias = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of each channel, of values in [0, 1]."""

PLAIN: Normalization = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
"""Mean and standard deviation that images are normalised with when a network has none of its own."""

_UPLOAD_BYTES = 256 << 20


class ImageRows:
    """The images ``rows`` (M,) of an array or memory map of N, read when they are asked for and never all copied."""

    def __init__(self, images: ImageArray | ImageRows, rows: Integers) -> None:
        self._images, self._rows = images, rows
        self.dtype: np.dtype[np.uint8] = images.dtype
        self.shape: tuple[int, ...] = (len(rows), *images.shape[1:])
        self.ndim = len(self.shape)
        self.nbytes = int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> ImageArray:
        return self._images[self._rows[rows]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self._images[self._rows], dtype=dtype)


class Images:
    """N images of one size, given out as normalised float32 batches in channels-last order on ``device``.

    Args:
        inputs: (N, 3, H, W) uint8 array, memory map or :class:`ImageRows`
        normalization: (mean, standard deviation) per channel, of values in [0, 1]
    """

    def __init__(
        self, inputs: ImageArray | ImageRows, device: torch.device, normalization: Normalization = PLAIN
    ) -> None:
        shape, dtype = np.shape(inputs), getattr(inputs, "dtype", None)
        if len(shape) != 4 or shape[1] != 3 or dtype != np.uint8:
            raise InvalidInput(
                f"An image proxy, such as ResNet-18, takes (N, 3, S, S) uint8 images, not shape {shape} of {dtype}."
            )
        if min(shape[2:]) < MIN_SIZE:
            raise InvalidInput(f"Images of {shape[2]} x {shape[3]} pixels are too small; use {MIN_SIZE} at least.")
        self._inputs = inputs
        self.device = device
        self._normalise_by(normalization)
        self._resident = self._upload()
        height, width = shape[2:]
        # An eighth of the side, as 4 of CIFAR's 32 pixels.
        self._pad = (height // 8, width // 8)
        self.predict_rows = max(1, min(2048, (2048 << 10) // (height * width)))

    def _normalise_by(self, normalization):
        self._normalization = normalization
        mean, std = (torch.tensor(values, device=self.device).view(1, 3, 1, 1) * 255 for values in normalization)
        self._mean, self._scale = mean, 1 / std

    @property
    def resident(self) -> bool:
        """Whether the images are kept on the device."""
        return self._resident is not None

    def like(self, inputs: ImageArray | ImageRows) -> Images:
        """Other images, prepared in the same way."""
        return Images(inputs, self.device, self._normalization)

    def to(self, device: torch.device) -> Images:
        if device == self.device:
            return self
        return Images(self._inputs, device, self._normalization)

    def draw(self, n: int, rng: torch.Generator) -> torch.Tensor:
        """Random augmentations of n images: (n, 3) int64 of a shift down, a shift right and 1 for a flip."""
        limits = (2 * self._pad[0] + 1, 2 * self._pad[1] + 1, 2)
        return torch.stack([torch.randint(limit, (n,), generator=rng) for limit in limits], dim=1)

    def pixels(self, indices: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) uint8: the images at ``indices`` (B,), on the device."""
        if self.resident:
            return self._resident[indices.to(self.device)]
        return self._gather(indices.cpu().numpy())

    def batch(self, indices: torch.Tensor, draws: torch.Tensor | None = None) -> torch.Tensor:
        """(B, 3, H, W) float32: the images at ``indices`` (B,), augmented by ``draws`` (B, 3) where given.

        Both may be on the CPU or on the device; nothing waits for the device unless the images are not resident.
        """
        if draws is None:
            return self.normalise(self.pixels(indices))
        if self.resident:
            data, rows = self._resident, indices.to(self.device)
        else:
            data, rows = self._gather(indices.cpu().numpy()), torch.arange(len(indices), device=self.device)
        return self.normalise(crop_and_flip(data, rows, draws.to(self.device), self._pad))

    def normalise(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) values in 0..255 as the network takes them: float32, channels-last."""
        x = x.contiguous(memory_format=torch.channels_last)
        return x.float().sub_(self._mean).mul_(self._scale)

    def network(self, num_classes: int, config: ProxyConfig, seed: int) -> torch.nn.Module:
        """A fresh network for these images, on the CPU; from now on they are normalised as it expects."""
        size = tuple(self._inputs.shape[2:])
        model, normalization = config.row.make_network(num_classes, size, seed, config)
        self._normalise_by(normalization)
        return model.to(memory_format=torch.channels_last)

    def _gather(self, rows):
        """The images at ``rows`` as a tensor on the device; only they are read."""
        pinned = self.device.type == "cuda"
        held = torch.empty((len(rows), *self._inputs.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
        flags = getattr(self._inputs, "flags", None)
        if flags is not None and flags.c_contiguous:
            # mode="clip" writes straight into ``held``; indices in range are the caller's promise.
            np.take(self._inputs, rows, axis=0, out=held.numpy(), mode="clip")
        else:
            held.numpy()[...] = self._inputs[rows]
        # PyTorch's allocator keeps a pinned block from being reused until the copy has been made.
        return held.to(self.device, non_blocking=True)

    def _upload(self):
        """The whole array on the device, or None where it does not fit or the device is the CPU."""
        size = int(np.prod(self._inputs.shape))
        if not fits_on(self.device, size):
            return None
        try:
            data = torch.empty(self._inputs.shape, dtype=torch.uint8, device=self.device)
            rows = max(1, _UPLOAD_BYTES // max(1, size // max(1, len(data))))
            for start in range(0, len(data), rows):
                data[start : start + rows] = torch.from_numpy(np.array(self._inputs[start : start + rows]))
        except OUT_OF_MEMORY:
            data = None
        logger.info(
            "%s images (%.2f GB) are %s.",
            f"{len(self._inputs):,}",
            size / 1e9,
            f"kept on {self.device}" if data is not None else "read batch by batch from main memory or disk",
        )
        return data


def fits_on(device: torch.device, size: int) -> bool:
    """Whether ``size`` bytes may be kept on ``device``; never on the CPU, where the array itself is at hand."""
    if device.type != "cuda":
        return False
    return size <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


def crop_and_flip(data: torch.Tensor, rows: torch.Tensor, draws: torch.Tensor, pad: tuple[int, int]) -> torch.Tensor:
    """Pads by reflection, crops at random and flips, as one gather.

    Args:
        data: (N, C, H, W); rows: (B,) indices into it
        draws: (B, 3) int64: the crop's top in [0, 2 pad], its left, and 1 for a horizontal flip
        pad: (vertical, horizontal) pixels, less than H and W

    Returns:
        (B, C, H, W) of data's type, channels-last in memory
    """
    height, width = data.shape[2:]
    y = _reflect(draws[:, 0:1] - pad[0] + torch.arange(height, device=data.device), height)
    x = _reflect(draws[:, 1:2] - pad[1] + torch.arange(width, device=data.device), width)
    x = torch.where(draws[:, 2:3] == 1, x.flip(1), x)
    return data[rows[:, None, None], :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)


def _reflect(positions, size):
    """Positions outside [0, size) mirrored at the first and last pixel."""
    return (size - 1) - ((size - 1) - positions.abs()).abs()
