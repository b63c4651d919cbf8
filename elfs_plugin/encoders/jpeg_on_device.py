"""JPEG files decoded and made smaller on a GPU, by nvJPEG in torchvision; others, and what it refuses, on the CPU."""

from __future__ import annotations

import io
import logging
import os
import stat
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..contracts import AnyPath, Vectors
from ..errors import is_gpu_lost, is_out_of_memory
from ..text import first_line
from .image_metadata import orientation
from .images import LARGE_PIXELS, ImageError, default_threads
from .preprocessing import Preprocessing

logger = logging.getLogger(__name__)

MOST_BYTES = 4 << 20
"""Larger files are decoded on the CPU, so that those that wait for the GPU do not fill the memory."""

MOST_OBLONG = 4
"""So are images more than this many times as long as wide: what is made of them is mostly cut off."""

AT_ONCE = 32_000_000
"""Pixels that are decoded at a time, 3 bytes each."""

FEW_REFUSED, SHARE_REFUSED = 32, 0.125
"""With more than so many refused, beside so large a share of all, the CPU decodes the others too."""

_END = b"\xff\xd9"
_TURNED: dict[Any, Callable[[torch.Tensor], torch.Tensor]] = {
    None: lambda image: image,
    Image.Transpose.FLIP_LEFT_RIGHT: lambda image: image.flip(-1),
    Image.Transpose.FLIP_TOP_BOTTOM: lambda image: image.flip(-2),
    Image.Transpose.ROTATE_90: lambda image: image.rot90(1, (-2, -1)),
    Image.Transpose.ROTATE_180: lambda image: image.rot90(2, (-2, -1)),
    Image.Transpose.ROTATE_270: lambda image: image.rot90(3, (-2, -1)),
    Image.Transpose.TRANSPOSE: lambda image: image.transpose(-2, -1),
    Image.Transpose.TRANSVERSE: lambda image: image.transpose(-2, -1).rot90(2, (-2, -1)),
}


@dataclass(frozen=True)
class JpegFile:
    """The ``data`` (bytes,) uint8 of a file with so many ``pixels``; ``turn`` makes it upright."""

    path: AnyPath
    data: torch.Tensor
    turn: Image.Transpose | None
    pixels: int


def jpeg_file(path: AnyPath) -> JpegFile | None:
    """A whole baseline JPEG file of ordinary size and shape, grey or in colour; None for any other, and for what cannot
    be read."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= MOST_BYTES:
            return None
        with open(path, "rb") as file:
            data = bytearray(file.read())
        with Image.open(io.BytesIO(data)) as image:
            if not _is_usual(image) or not data[-64:].rstrip(b"\0").endswith(_END):
                return None
            return JpegFile(path, torch.frombuffer(data, dtype=torch.uint8), orientation(image), _area(image))
    except Exception as error:  # parsers raise nearly anything; the reason is told where the CPU reads it
        if is_out_of_memory(error):
            raise
        return None


def _is_usual(image):
    if image.format != "JPEG" or image.mode not in ("L", "RGB") or "progressive" in image.info:
        return False
    if image.mode == "RGB" and image.info.get("adobe_transform", 1) != 1:  # its channels are no YCbCr
        return False
    return _area(image) <= LARGE_PIXELS and max(image.size) <= MOST_OBLONG * min(image.size)


def _area(image):
    return image.width * image.height


class JpegDecoder:
    """Makes of files what a network takes, on ``device``.

    Args:
        on_cpu: gives (H, W, 3) uint8, prepared, of a file, or an :class:`~.images.ImageError`

    Attributes:
        refused: how many files have been decoded on the CPU instead
    """

    def __init__(self, preprocessing: Preprocessing, device: torch.device, on_cpu: Callable[[AnyPath], Any]) -> None:
        self._preprocessing, self._device, self._on_cpu = preprocessing, device, on_cpu
        self._taken = self.refused = 0
        self._ended = False

    @property
    def gave_up(self) -> bool:
        """Whether all files go to the CPU: so many have been refused, or :meth:`give_up` was called."""
        return self._ended or self.refused > max(FEW_REFUSED, SHARE_REFUSED * self._taken)

    def give_up(self) -> None:
        """From now on :meth:`read` gives what the CPU makes of the files."""
        self._ended = True

    def agrees(
        self,
        paths: Sequence[AnyPath],
        encode: Callable[[list[Any]], Vectors],
        agree: Callable[[Vectors, Vectors], bool],
        *,
        even_if_slower: bool = False,
    ) -> bool:
        """Whether files have the same vectors as those of the CPU's pixels, and sooner, if that matters. The device
        decodes and encodes in turn, while the CPU decodes on all processors as the device encodes.

        Args:
            paths: files that can be read
            encode: gives (B, D) of B of what :meth:`read` gives
            agree: whether vectors can stand for others
        """
        files = [file for file in map(jpeg_file, paths) if file is not None]
        if len(files) < max(2, len(paths) // 4):
            return False
        pixels, decoding = _timed(lambda: [self._on_cpu(file.path) for file in files])
        for batch in (pixels, files):
            encode(batch)  # what a GPU does for the first time takes long
        exact, encoding = _timed(lambda: encode(pixels))
        found, both = _timed(lambda: encode(files))
        if self.refused or not agree(exact, found):
            return False
        on_cpu = max(decoding / min(default_threads(), os.cpu_count() or 1), encoding)
        logger.info("JPEG files decoded and encoded on the GPU take %.2f of the time of the CPU's", both / on_cpu)
        return even_if_slower or both < on_cpu

    def read(self, path: AnyPath) -> Any:
        """A :class:`JpegFile` for :meth:`numbers`, or what the CPU makes of the file; called in several threads."""
        file = None if self.gave_up else jpeg_file(path)
        return self._on_cpu(path) if file is None else file

    def numbers(self, batch: Sequence[Any]) -> torch.Tensor:
        """(B, 3, H, W) float32 on the device, of B of what :meth:`read` gives.

        Raises:
            ImageError: when one of the files can be decoded nowhere
            MemoryError: (or what PyTorch raises for it, or for a GPU that is lost)
        """
        found: list[Any] = [None if isinstance(value, JpegFile) else self._moved(value) for value in batch]
        for rows in self._portions(batch):
            for row, pixels in zip(rows, self._scaled([batch[row] for row in rows])):
                found[row] = pixels
        return self._preprocessing.numbers(torch.stack(found))

    def _moved(self, pixels):
        return torch.from_numpy(np.array(pixels)).to(self._device).float()

    def _portions(self, batch) -> Iterator[list[int]]:
        """The places of the files in a batch, by portions of at most :data:`AT_ONCE` pixels or one file."""
        rows: list[int] = []
        pixels = 0
        for row, file in enumerate(batch):
            if not isinstance(file, JpegFile):
                continue
            if rows and pixels + file.pixels > AT_ONCE:
                yield rows
                rows, pixels = [], 0
            rows.append(row)
            pixels += file.pixels
        if rows:
            yield rows

    def _scaled(self, files):
        """(H, W, 3) float32 of each; those of the same size are scaled together."""
        found = self._decoded(files)
        by_shape: dict[Any, list[int]] = {}
        for row, image in enumerate(found):
            if image.ndim == 3 and image.dtype == torch.uint8:
                by_shape.setdefault(tuple(image.shape), []).append(row)
        for rows in by_shape.values():
            scaled = self._preprocessing.scaled(torch.stack([found[row] for row in rows]))
            for row, pixels in zip(rows, scaled):
                found[row] = pixels
        return found

    def _decoded(self, files):
        """(3, H, W) uint8 of each, upright, or (H, W, 3) float32 of those that the CPU has prepared."""
        self._taken += len(files)
        try:
            decoded = decoded_on(self._device, [file.data for file in files])
        except Exception as error:  # one of them spoils all; memory and the GPU itself are the encoder's matter
            if is_out_of_memory(error) or is_gpu_lost(error):
                raise
            if len(files) > 1:
                self._taken -= len(files)
                return [image for file in files for image in self._decoded([file])]
            return [self._otherwise(files[0], error)]
        return [_TURNED[file.turn](image) for file, image in zip(files, decoded)]

    def _otherwise(self, file, error):
        if not self.refused:
            logger.warning("The GPU does not decode some JPEG files (%s); the CPU does.", first_line(error))
        self.refused += 1
        pixels = self._on_cpu(file.path)
        if isinstance(pixels, ImageError):
            raise pixels
        return self._moved(pixels)


def _timed(compute):
    start = time.perf_counter()
    return compute(), time.perf_counter() - start


def decoded_on(device: torch.device, files: list[torch.Tensor]) -> list[torch.Tensor]:
    """(3, H, W) uint8 on ``device`` of each of the files' bytes, not turned.

    Raises:
        Exception: of any kind, when one of them cannot be decoded, or this torchvision cannot do it
    """
    from torchvision import io as torchvision_io

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is to move to another package
        return torchvision_io.decode_jpeg(files, mode=torchvision_io.ImageReadMode.RGB, device=device)
