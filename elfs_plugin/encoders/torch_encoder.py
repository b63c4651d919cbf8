"""A network with its own preprocessing as an encoder: precision, batches, and what to do when a GPU cannot go on."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import logging
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..checkpoints import fingerprint
from ..contracts import AnyPath, Vectors
from ..devices import matmul_dtype
from ..errors import MissingModel, is_gpu_lost, is_out_of_memory
from ..text import first_line
from . import openvino_network
from .images import ImageError, read_image
from .inference import ON_GPU, PYTORCH, engine_of
from .jpeg_on_device import JpegDecoder, JpegFile
from .preprocessing import recognised

logger = logging.getLogger(__name__)

THINNEST = 100
"""Of an image more than this many times as long as wide the middle is embedded. Models' own preprocessing scales the
shorter side up first and then cuts the middle out; a strip of 60,000 x 1 pixels would take 10 GB for that."""

LEAST_COSINE = 0.999
"""Fewer bits are used when the vectors of a sample of the images are at least so similar to those of float32, each."""

MOST_NOISE = 0.015
"""And when they are off, on average, by at most this share of their distance from the mean vector: where all vectors
are similar, as those of an untrained network, the cosine says nothing. 99% of ten neighbours stay the same then."""

CPU_BATCH, GPU_BATCH = 8, 64
"""Images at a time. On a CPU, where each thread has a batch of its own, more would not fit into its cache."""


@dataclass(frozen=True)
class Way:
    """How a :class:`TorchEncoder` computes: in which ``numbers``, by which ``engine``, from JPEG files that are decoded
    ``smaller``, and ``on_gpu``."""

    numbers: str
    engine: str
    smaller: bool
    on_gpu: bool


class TorchEncoder:
    """A network with its own preprocessing, run on ``device``.

    It computes in float32 with PyTorch until :meth:`settle` has seen that bfloat16 (on a GPU also float16) gives the
    same, or that OpenVINO does. A GPU that has not enough memory gets smaller batches; one that cannot go on at all is
    replaced by the CPU. ``on_problem`` is told so, once each, in a sentence.

    Attributes:
        parallel: whether :meth:`encode` is to be called in several threads at a time, each using one processor
        least_side: see :func:`~.images.read_image`
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        transform: Callable[[Image.Image], Any] | None,
        device: torch.device,
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.on_problem = on_problem
        self._transform = transform
        self._preprocessing = recognised(transform)
        self._device = device
        self._exact = model.eval().requires_grad_(False).to("cpu").to(memory_format=torch.channels_last)
        self._model: Any = None
        self._use(torch.float32, self._exact)
        self._most: int | None = None
        self._told: set[str] = set()
        self._decodes_smaller = False
        self._jpegs: JpegDecoder | None = None
        self._count = 0
        self._kept: str | None = None
        self._alone = threading.RLock()

    @property
    def batch_size(self) -> int:
        return CPU_BATCH if self.parallel else GPU_BATCH

    @property
    def parallel(self) -> bool:
        return self._device.type == "cpu"

    @property
    def smaller_side(self) -> int | None:
        """The ``least_side`` that :meth:`settle` is to try."""
        return None if self._preprocessing is None else self._preprocessing.least_side

    @property
    def least_side(self) -> int | None:
        return self.smaller_side if self._decodes_smaller else None

    @property
    def identity(self) -> str:
        """A digest of the name, the weights and the preprocessing."""
        return fingerprint(self.name, self.checksum, repr(self._preprocessing or self._transform))

    @functools.cached_property
    def checksum(self) -> str:
        """SHA-256 of the names and values of all weights."""
        digest = hashlib.sha256()
        for name, value in self._exact.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @property
    def preprocessing(self) -> str:
        """What is done to an image, in words, or as the transform shows itself."""
        return str(self._preprocessing or self._transform)

    @property
    def inference(self) -> str:
        """What computes the vectors, such as "bfloat16 by PyTorch"; see :mod:`.inference`."""
        numbers = str(self._dtype).removeprefix("torch.")
        return f"{numbers}{'' if self._jpegs is None else f', {ON_GPU},'} by {self._engine}"

    def plan(self, count: int, kept: str | None) -> None:
        """Is told before :meth:`settle` how many images there are, and the :attr:`inference` of the vectors that there
        already are (None: there are none), beside which the others should not differ."""
        self._count, self._kept = count, kept

    @property
    def beside_another_engine(self) -> bool:
        """Whether PyTorch has not computed the vectors that :meth:`plan` was told of, so that :meth:`settle` is worth
        its time for few images too."""
        return self._kept is not None and engine_of(self._kept) != PYTORCH

    def transform(self, image: Image.Image) -> Any:
        image = _middle(image)
        if self._preprocessing is not None:
            return self._preprocessing.pixels(image)
        assert self._transform is not None
        return self._transform(image)

    @property
    def read(self) -> Callable[[AnyPath], Any] | None:
        """What makes of a file what :meth:`encode` takes, in several threads, where it is not :meth:`transform` of its
        image; as :func:`~.images.read_image` otherwise."""
        return None if self._jpegs is None else self._jpegs.read

    def settle_decoding(self, paths: list[AnyPath]) -> None:
        """After :meth:`settle`: has a GPU decode JPEG files too, where the vectors of these files, which can be read,
        stay the same, and it is quicker."""
        self._jpegs = None
        if self._device.type != "cuda" or self._preprocessing is None or not self._preprocessing.scales_on_device:
            return
        if self._kept is not None and ON_GPU not in self._kept:
            return
        try:
            self._jpegs = JpegDecoder(self._preprocessing, self._device, self._read_here)
            good = self._jpegs.agrees(paths, self.encode, agree, even_if_slower=self._kept is not None)
            why = "slower, or other vectors"
        except Exception as error:  # drivers and decoders raise nearly anything; memory may be short for it alone
            good, why = False, first_line(error)
        if not good:
            logger.info("%s: the CPU decodes JPEG files (%s)", self.name, why)
            self._jpegs = None

    def _read_here(self, path):
        """(H, W, 3) uint8 of a file, or an :class:`~.images.ImageError`, by the CPU."""
        return read_image(path, self.transform, least_side=self.least_side)

    def settle(self, values: list[Any], smaller: list[Any] | None = None) -> None:
        """Chooses the quickest way that gives the vectors of float32 and whole files, see :data:`LEAST_COSINE`.

        Args:
            values: transformed images, a dozen or two; with fewer than two nothing is tried
            smaller: the same decoded with :attr:`smaller_side`, if that is to be tried
        """
        self._use_exact()
        self._decodes_smaller = False
        if len(values) < 2:
            return
        try:
            exact = self.encode(values)
            self._decodes_smaller = self._agree_smaller(values, smaller or values, exact)
        except Exception as error:  # one odd image among them; it is found when all are embedded
            if is_out_of_memory(error):
                raise
            logger.info("%s stays in float32 (%s)", self.name, first_line(error))
            return
        if not any(self._agree_in(kind, values, exact) for kind in quick_kinds(self._device)):
            self._use_exact()
        if self._may_use_openvino():
            self._try_openvino(values, exact)

    def _may_use_openvino(self):
        engine = openvino_network.engine() if self.parallel else None
        if engine is None:
            return False
        return self._count >= openvino_network.WORTHWHILE if self._kept is None else engine == engine_of(self._kept)

    def _try_openvino(self, values, exact):
        """Uses it where the vectors are the same and it is quicker, or has computed others of the same job."""
        pytorch = self._model
        try:
            example = self._prepared(self._stacked(values[:2]), self._device)
            self._model = openvino_network.OpenVinoNetwork(self._exact, example, self._dtype)
            same = agree(exact, self.encode(values))
            faster = self._times_as_fast(pytorch, values) if same else 0.0
            if same and (faster >= openvino_network.FASTER or self._kept is not None):
                self._engine = openvino_network.engine()
                logger.info("%s is computed by %s, %.1f times as fast", self.name, self._engine, faster)
                return
            why = f"{faster:.1f} times as fast as PyTorch" if same else "other vectors"
            logger.info("%s is not computed by OpenVINO (%s)", self.name, why)
        except Exception as error:  # what cannot be converted is told in nearly any way, or memory is short
            logger.info("%s cannot be computed by OpenVINO (%s)", self.name, first_line(error))
        self._model = pytorch

    def _times_as_fast(self, pytorch, values):
        """The model in use beside another, on a batch of transformed images."""
        few = values[: self.batch_size]
        with torch.inference_mode():
            ways = [
                functools.partial(self._computed, self._stacked(few), m, self._dtype) for m in (pytorch, self._model)
            ]
            return openvino_network.times_as_fast(*ways)

    @property
    def settled(self) -> Way:
        """What :meth:`settle` and :meth:`settle_decoding` have chosen, for :meth:`settle_as` of the same encoder in
        another process."""
        numbers = str(self._dtype).removeprefix("torch.")
        return Way(numbers, self._engine or PYTORCH, self._decodes_smaller, self._jpegs is not None)

    def settle_as(self, way: Way, values: list[Any]) -> None:
        """Computes in the :class:`Way` that was chosen elsewhere.

        Args:
            values: two transformed images, or more, to convert the network with

        Raises:
            MissingModel: when the engine is not installed here
        """
        kind, self._decodes_smaller = getattr(torch, way.numbers), way.smaller
        self._use_exact()
        if kind != torch.float32:
            self._use(kind, with_weights_in(self._exact, kind))
        if way.engine != self._engine:
            if way.engine != openvino_network.engine():
                raise MissingModel(f"{way.engine}, which is to compute the vectors, is not installed.")
            example = self._prepared(self._stacked(values[:2]), self._device)
            self._model, self._engine = openvino_network.OpenVinoNetwork(self._exact, example, kind), way.engine
        self._jpegs = None
        if way.on_gpu and self._preprocessing is not None:
            self._jpegs = JpegDecoder(self._preprocessing, self._device, self._read_here)

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to this process. The network is taken as it was given: in float32, on the CPU."""
        own = ("_alone", "_model", "_jpegs", "on_problem")
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.on_problem, self._jpegs, self._alone = None, None, threading.RLock()
        self._use(torch.float32, self._exact)

    def _agree_in(self, kind, values, exact):
        """Whether ``kind`` of numbers gives the same; it is then in use."""
        try:
            self._use(kind, with_weights_in(self._exact, kind))
            return agree(exact, self.encode(values))
        except Exception as error:  # a layer that does not know it raises nearly anything, or memory is short
            logger.info("%s cannot be computed in %s (%s)", self.name, kind, first_line(error))
            return False

    def _use_exact(self):
        """Goes back to float32; where the GPU does not take it again, on the CPU."""
        device = self._device
        try:
            self._use(torch.float32, self._exact)
            return
        except Exception as error:
            if device.type == "cpu" or not (is_out_of_memory(error) or lost(error)):
                raise
            reason = first_line(error)
        self._leave(device, reason)

    def _agree_smaller(self, values, smaller, exact):
        """Judged by the images that are decoded smaller; where these are few there is nothing to gain."""
        rows = [row for row, (a, b) in enumerate(zip(values, smaller)) if not np.array_equal(a, b)]
        if len(rows) < max(2, len(values) // 4):
            return False
        return agree(exact[rows], self.encode([smaller[row] for row in rows]))

    def _use(self, dtype, model):
        self._dtype, self._engine = dtype, PYTORCH
        self._model = None  # a GPU may have no room for another copy beside this one
        self._model = model if self._device.type == "cpu" else copy.deepcopy(model).to(self._device)

    def encode(self, batch: list[Any]) -> Vectors:
        with torch.inference_mode():
            whole = batch if any(isinstance(value, JpegFile) for value in batch) else self._stacked(batch)
            most = self._most or len(whole)
            parts = [self._in_parts(whole[at : at + most]) for at in range(0, len(whole), most)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _stacked(self, batch):
        tensor = torch.from_numpy(np.stack(batch)) if isinstance(batch[0], np.ndarray) else torch.stack(batch)
        if self._device.type == "cuda":
            with contextlib.suppress(RuntimeError):  # it is quicker, and has a limit of its own
                return tensor.pin_memory()
        return tensor

    def _in_parts(self, batch):
        """A batch, which is a tensor or a list with files, whole, or halves of it where memory does not suffice, or at
        last on the CPU."""
        device = self._device
        try:
            return self._forward(batch)
        except Exception as error:  # a shortage of memory has many names; anything else is raised again
            short = is_out_of_memory(error)
            splits = short and len(batch) > 1
            if not splits and (device.type == "cpu" or not (short or lost(error))):
                raise
            reason = first_line(error)
        # Outside the handler: the exception holds on to the tensors of the failed attempt.
        if not splits:
            self._leave(device, reason)
            return self._in_parts(batch)
        half = len(batch) // 2
        if device.type == "cuda":
            torch.cuda.empty_cache()
            self._most = half
            self._say(f"The GPU has not enough memory for {len(batch)} images at a time, so there are fewer.")
        with self._alone:  # threads that are short of memory wait for each other
            return np.concatenate([self._in_parts(batch[:half]), self._in_parts(batch[half:])])

    def _forward(self, batch):
        tensor = batch if isinstance(batch, torch.Tensor) else self._from_files(batch)
        found = self._computed(tensor, self._model, self._dtype)
        off = ~np.isfinite(found).all(axis=1)
        if self._dtype != torch.float32 and off.any():
            # Fewer bits may be too few for the values inside of one network.
            found[off] = self._computed(tensor.cpu()[off], self._exact, torch.float32, torch.device("cpu"))
        return found

    def _from_files(self, batch):
        if self._jpegs is not None:
            return self._jpegs.numbers(batch)
        # They were read for a GPU that is gone.
        pixels = [self._read_here(value.path) if isinstance(value, JpegFile) else value for value in batch]
        for value in pixels:
            if isinstance(value, ImageError):
                raise value
        return self._stacked(pixels)

    def _computed(self, tensor, model, dtype, device=None):
        device = device or self._device
        tensor = self._prepared(tensor, device)
        reduced = torch.autocast(device.type, dtype) if dtype != torch.float32 else contextlib.nullcontext()
        with reduced:
            return model(tensor).float().cpu().numpy()

    def _prepared(self, tensor, device):
        tensor = tensor.to(device, non_blocking=True)
        if self._preprocessing is not None and tensor.dtype == torch.uint8:
            tensor = self._preprocessing.numbers(tensor)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor

    def _leave(self, device, reason):
        """Goes on with the CPU."""
        self._device, self._most = torch.device("cpu"), None
        if self._jpegs is not None:
            self._jpegs.give_up()
            self._jpegs = None
        self._use(torch.float32, self._exact)
        self._say(f"The device '{device}' could not go on ({reason}); the other images are embedded on the CPU.")

    def _say(self, sentence):
        kind = sentence[:12]
        if kind in self._told:
            return
        self._told.add(kind)
        logger.warning("%s", sentence)
        if self.on_problem is not None:
            self.on_problem(sentence)


def lost(error: BaseException) -> bool:
    """Whether an exception says that the GPU does not answer as it should: its driver, not the network."""
    known = isinstance(error, getattr(torch, "AcceleratorError", ())) or "CUDA error" in str(error)
    return known or is_gpu_lost(error)


def quick_kinds(device: torch.device) -> list[torch.dtype]:
    """Kinds of numbers that ``device`` computes with faster than with float32, the best first."""
    bfloat16 = [torch.bfloat16] if matmul_dtype(device) == torch.bfloat16 else []
    if device.type == "cuda":
        return [*bfloat16, torch.float16]
    if platform.machine().lower() in ("x86_64", "amd64"):
        # There PyTorch computes with it wherever there is AVX-512, which on older processors is slower than float32.
        known = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return bfloat16 if any(ask is not None and ask() for ask in known) else []
    return bfloat16


def with_weights_in(model: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """A copy whose products have their weights in ``dtype``, so that autocast need not convert them for each batch."""
    found = copy.deepcopy(model)
    for module in found.modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
            module.to(dtype)
    return found


def agree(exact: Vectors, other: Vectors) -> bool:
    """Whether vectors (B, D) can stand for the ``exact`` ones: by cosine, and by distances from their mean."""
    unit, other = _unit(exact), _unit(other)
    if not np.isfinite(other).all() or (unit * other).sum(axis=1).min() < LEAST_COSINE:
        return False
    spread = np.linalg.norm(unit - unit.mean(axis=0), axis=1)
    return bool(np.linalg.norm(other - unit, axis=1).mean() <= MOST_NOISE * spread.mean())


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _middle(image):
    """The image, or of a thin one as much around its middle as :data:`THINNEST` allows."""
    width, height = (min(side, THINNEST * min(image.size)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image if (width, height) == image.size else image.crop((left, top, left + width, top + height))
