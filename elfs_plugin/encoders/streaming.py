"""Images to vectors as a stream: files are read and decoded while others are in the network.

On a CPU each thread takes a batch through all of it, from the file to the vector, on one processor: threads that share
a batch wait for each other at every layer, the longer the more others are at work. For a GPU, and for encoders that say
nothing about threads, threads decode ahead and the calling one encodes.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from ..contracts import AnyPath, Vectors
from ..devices import cpu_threads, one_thread, reuse_heap
from ..errors import is_out_of_memory
from ..text import first_line
from .images import ImageError, decode, pixel_limit, read_image

HOPELESS = 64
"""An encoder that has failed on so many images, one by one, and on no other, is to blame, and not they."""

_AHEAD = 2
"""Batches that a thread may be ahead of the first unfinished one."""

_CPU = torch.device("cpu")


class Encoder(Protocol):
    """What turns images into vectors; ``batch_size`` images at a time suit it.

    It may have more attributes: ``least_side`` (see :func:`~.images.read_image`), ``parallel`` (True: ``encode`` may be
    called in several threads, and each call is to use one processor), ``identity`` (a text that is another one when the
    vectors are), ``settle(values, smaller)`` (is given some transformed images before the first call of ``encode``, and
    the same decoded with its ``smaller_side``), ``settle_decoding``, ``read``, ``plan`` and ``inference`` (see
    :class:`~.torch_encoder.TorchEncoder`), and ``on_problem``, which is called with sentences for the user.
    """

    @property
    def batch_size(self) -> int:
        """Images at a time."""

    def transform(self, image: Image.Image) -> Any:
        """An image as :meth:`encode` takes it; called in several threads."""

    def encode(self, batch: list[Any]) -> Vectors:
        """(B, D) of B transformed images."""


@dataclass
class _Batch:
    """Found of some images: (index, vector or :class:`~.images.ImageError`) in order. ``error`` is what the encoder
    raised where it failed on each of them."""

    found: list[tuple[int, Any]]
    error: Exception | None = None

    @property
    def worked(self):
        return any(not isinstance(value, ImageError) for _, value in self.found)


def stream(
    paths: Sequence[AnyPath],
    encoder: Encoder,
    blocks: Sequence[range],
    *,
    batch_size: int | None = None,
    threads: int | None = None,
    worked: bool = False,
    done: Callable[[list[tuple[int, Any]]], None] = lambda found: None,
) -> Iterator[list[tuple[int, Any]]]:
    """Yields, for each of ``blocks`` (ranges of indices of ``paths``), what was found for its images: (index, vector or
    :class:`~.images.ImageError`) in order.

    No batch has images of two blocks, so that a block is the same whatever is computed beside it and on however many
    threads.

    Args:
        threads: default: as many as PyTorch uses, or, where they only decode, :func:`~.images.default_threads`
        worked: whether it is known that the encoder works for some image
        done: called with (index, vector or error) of the images that are finished since the last call

    Raises:
        Exception: what the encoder raises, when it fails on :data:`HOPELESS` images, or all, and works for none
    """
    if not blocks:
        return
    pixel_limit()  # a variable that makes no sense concerns all images
    size = batch_size or encoder.batch_size
    make = _side_by_side if getattr(encoder, "parallel", False) else _one_encoding
    batches = make(paths, encoder, blocks, size, threads)
    failed = _Failures()
    with contextlib.closing(batches), reuse_heap(_CPU):
        for block in blocks:
            found: list[tuple[int, Any]] = []
            while len(found) < len(block):
                batch = next(batches)
                worked = worked or batch.worked
                if not worked:
                    failed.add(batch)
                found += batch.found
                done(batch.found)
            yield found
    if not worked:
        failed.raise_first()


class _Failures:
    """Of an encoder that has not worked yet."""

    def __init__(self):
        self._count, self._first = 0, None

    def add(self, batch):
        if batch.error is not None:
            self._first = self._first or batch.error
            self._count += sum(1 for _, value in batch.found if isinstance(value, NotEncoded))
        if self._count >= HOPELESS:
            self.raise_first()

    def raise_first(self):
        if self._first is not None:
            raise self._first


class NotEncoded(ImageError):
    """The encoder, not the file, is why there is no vector."""


def _side_by_side(paths, encoder, blocks, size, threads):
    """Each thread takes whole batches."""
    least_side = getattr(encoder, "least_side", None)

    def work(indices):
        values = [(index, read_image(paths[index], encoder.transform, least_side=least_side)) for index in indices]
        with one_thread(_CPU):
            return _encoded(encoder, values)

    threads = threads or cpu_threads()
    parts = (block[at : at + size] for block in blocks for at in range(0, len(block), size))
    with ThreadPoolExecutor(threads, thread_name_prefix="embed") as pool:
        window: deque[Future[_Batch]] = deque()
        try:
            for indices in parts:
                window.append(pool.submit(work, indices))
                if len(window) > threads * _AHEAD:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _one_encoding(paths, encoder, blocks, size, threads):
    """Threads decode, this one encodes full batches."""
    order = itertools.chain.from_iterable(blocks)
    least_side = getattr(encoder, "least_side", None)
    read = getattr(encoder, "read", None)
    files = (paths[index] for index in order)
    decoded = decode(files, encoder.transform, threads=threads, least_side=least_side, read=read)
    with contextlib.closing(decoded):
        for block in blocks:
            values: list[tuple[int, Any]] = []
            usable = 0
            for index in block:
                _, value = next(decoded)
                values.append((index, value))
                usable += not isinstance(value, ImageError)
                if usable == size:
                    yield _encoded(encoder, values)
                    values, usable = [], 0
            if values:
                yield _encoded(encoder, values)


def _encoded(encoder, values):
    """A :class:`_Batch` of (index, transformed image or ImageError); one image that the encoder fails on costs no
    other."""
    usable = [value for _, value in values if not isinstance(value, ImageError)]
    error = None
    try:
        vectors = iter(_vectors(encoder, usable) if usable else [])
    except Exception as whole:  # models raise nearly anything on an odd image
        if is_out_of_memory(whole):
            raise
        error = None if isinstance(whole, ImageError) else whole
        vectors = iter([_alone(encoder, value) for value in usable])
    batch = _Batch([(index, value if isinstance(value, ImageError) else next(vectors)) for index, value in values])
    batch.error = None if batch.worked else error
    return batch


def _vectors(encoder, values):
    found = list(np.asarray(encoder.encode(values), dtype=np.float32))
    if len(found) != len(values):
        raise ValueError(f"it gave {len(found)} vectors for {len(values)} images")
    return found


def _alone(encoder, value):
    try:
        return _vectors(encoder, [value])[0]
    except ImageError as error:  # of its file, which is decoded only now
        return error
    except Exception as error:  # of this image; when it is of all, the caller raises the first
        if is_out_of_memory(error):
            raise
        return NotEncoded(f"the encoder failed on it: {first_line(error)}")
