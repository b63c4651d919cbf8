"""Images to embeddings.

An encoder is named by a string:

* ``pixels``: the image itself as a small thumbnail. No weights, no download; a baseline, and enough for digits.
* ``timm:<model>``: pooled features of any timm model.
* ``open_clip:<model>/<tag>``: the image tower of any OpenCLIP model.

The last two take ``weights``, the path of a local checkpoint, and then need no network.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image, ImageOps

from ..contracts import AnyPath, Array, Floats, Mask, Progress, Vectors
from ..devices import autocast, resolve_device
from ..errors import InvalidInput, MissingModel, is_out_of_memory
from ..progress import part, silent
from ..text import first_line
from .images import ImageError, decode
from .open_clip_models import ImageTower, check_open_clip, load_open_clip
from .timm_models import check_timm_model, load_timm_checkpoint, weights_unavailable

THINNEST = 100
"""Of an image more than this many times as long as wide the middle is embedded. Models' own preprocessing scales the
shorter side up first and then cuts the middle out; a strip of 60,000 x 1 pixels would take 10 GB for that."""

PIXELS_SIZE = 8
"""Side of the thumbnail of the ``pixels`` encoder: 8 x 8 x 3 = 192 dimensions."""


@dataclass(frozen=True)
class Embeddings:
    """Vectors of the images that could be embedded.

    ``vectors`` (M, D) float32 in input order, ``ok`` (N,) bool with M true entries, ``failures`` maps the index of each
    excluded image to the reason.
    """

    vectors: Vectors
    ok: Mask
    failures: dict[int, str] = field(default_factory=dict)


class Encoder(Protocol):
    """What turns images into vectors; ``batch_size`` images at a time suit it."""

    batch_size: int

    def transform(self, image: Image.Image) -> Any:
        """An image as :meth:`encode` takes it; called in several threads."""

    def encode(self, batch: list[Any]) -> Vectors:
        """(B, D) of B transformed images."""


class PixelsEncoder:
    """Thumbnails of ``PIXELS_SIZE`` pixels, flattened, in [0, 1]. Grey images give three equal channels."""

    name = "pixels"
    batch_size = 1024

    def transform(self, image: Image.Image) -> Floats:
        small = ImageOps.fit(image, (PIXELS_SIZE, PIXELS_SIZE))
        return np.asarray(small, dtype=np.float32).ravel() / 255.0

    def encode(self, batch: list[Floats]) -> Vectors:
        return np.stack(batch)


class TorchEncoder:
    """A network with its own preprocessing, run on ``device`` under autocast when that is a GPU."""

    batch_size = 64

    def __init__(
        self, name: str, model: torch.nn.Module, transform: Callable[[Image.Image], torch.Tensor], device: torch.device
    ) -> None:
        self.name = name
        self._transform = transform
        self._device = device
        self._model = model.eval().requires_grad_(False).to(device)

    def transform(self, image: Image.Image) -> torch.Tensor:
        return self._transform(_middle(image))

    def encode(self, batch: list[torch.Tensor]) -> Vectors:
        return self._in_parts(torch.stack(batch))

    @torch.inference_mode()
    def _in_parts(self, tensor):
        """The whole batch at once, or halves of it where memory does not suffice."""
        try:
            return self._forward(tensor)
        except Exception as error:  # a shortage of memory has many names; anything else is raised again
            if len(tensor) == 1 or not is_out_of_memory(error):
                raise
        # Outside the handler: the exception holds on to the tensors of the failed attempt.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        half = len(tensor) // 2
        return np.concatenate([self._in_parts(tensor[:half]), self._in_parts(tensor[half:])])

    def _forward(self, tensor):
        tensor = tensor.to(self._device, non_blocking=True)
        if self._device.type == "cuda":
            with autocast(self._device):
                return self._model(tensor).float().cpu().numpy()
        return self._model(tensor).float().numpy()


def _middle(image):
    """The image, or of a thin one as much around its middle as :data:`THINNEST` allows."""
    width, height = (min(side, THINNEST * min(image.size)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image if (width, height) == image.size else image.crop((left, top, left + width, top + height))


def load_encoder(name: str, *, weights: AnyPath | None = None, device: str = "auto") -> Encoder:
    """Loads the encoder of that name.

    Args:
        name: ``pixels``, ``timm:<model>`` or ``open_clip:<model>/<tag>``
        weights: a local checkpoint; without it timm and OpenCLIP fetch the weights that belong to the name

    Raises:
        MissingModel: for an unknown model, or weights that cannot be had or do not fit
    """
    if weights is not None and not Path(weights).expanduser().is_file():
        raise MissingModel(f"The weights file {weights} does not exist. Give the path of a local checkpoint of {name}.")
    weights = str(Path(weights).expanduser()) if weights is not None else None
    if name == "pixels":
        return PixelsEncoder()
    family, _, model = name.partition(":")
    if family == "timm" and model:
        network, transform = _load_timm(model, weights)
        return TorchEncoder(name, network, transform, resolve_device(device))
    if family == "open_clip" and model:
        clip, transform = load_open_clip(model, weights)
        return TorchEncoder(name, ImageTower(clip), transform, resolve_device(device))
    raise MissingModel(
        f"Unknown encoder {name!r}. Use 'pixels', 'timm:<model>' (for example timm:vit_base_patch16_224.dino), "
        "'open_clip:<model>/<tag>' (for example open_clip:ViT-B-32/openai) or, on a FiftyOne dataset, 'zoo:<model>'."
    )


def check_encoder(name: str, *, weights: AnyPath | None = None) -> None:
    """Refuses the name of an encoder that does not exist, without loading one.

    Raises:
        MissingModel: as :func:`load_encoder`
    """
    family, _, model = name.partition(":")
    if family == "timm" and model:
        check_timm_model(model)
    elif family == "open_clip" and model:
        check_open_clip(model, weights)
    elif name != "pixels":
        load_encoder(name)  # which says what there is


def _load_timm(model_name, weights):
    import timm

    check_timm_model(model_name)
    try:
        model = timm.create_model(model_name, pretrained=weights is None, num_classes=0)
    except Exception as error:  # hub clients raise many kinds
        if is_out_of_memory(error):
            raise
        raise weights_unavailable(f"timm:{model_name}", "the model hub", error) from error
    if weights is not None:
        load_timm_checkpoint(model, model_name, weights)
    config = timm.data.resolve_model_data_config(model)
    return model, timm.data.create_transform(**config, is_training=False)


def embed_images(
    paths: Iterable[AnyPath],
    encoder: str | Encoder,
    *,
    weights: AnyPath | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> Embeddings:
    """Embeds image files.

    Args:
        paths: N file paths
        encoder: an encoder name (see the module) or an object with ``transform``, ``encode`` and ``batch_size``
        weights: a local checkpoint for a named encoder
        batch_size: images per forward pass (default: the encoder's)

    Returns:
        :class:`Embeddings`. Files that cannot be read, and images whose vector is not finite, are excluded and listed.

    Raises:
        MissingModel: see :func:`load_encoder`
        InvalidInput: when there are no paths, or not one of them could be embedded
    """
    paths = list(paths)
    n = len(paths)
    if n == 0:
        raise InvalidInput("There are no images to embed. Choose a view that has some.")
    if isinstance(encoder, str):
        progress(0.0, f"loading {encoder}")
        encoder = load_encoder(encoder, weights=weights, device=device)
    batch_size = batch_size or encoder.batch_size
    report = part(progress, 0.0, 1.0)
    ok = np.zeros(n, dtype=bool)
    failures = {}
    vectors = None
    filled = 0
    batch: list[Any] = []
    indices: list[int] = []

    def flush():
        nonlocal vectors, filled
        if not batch:
            return
        for index, vector in zip(indices, _encoded(encoder, batch, worked=vectors is not None)):
            if isinstance(vector, ImageError):
                failures[index] = str(vector)
                continue
            if vectors is None:
                vectors = np.empty((n, len(vector)), dtype=np.float32)
            if len(vector) != vectors.shape[1]:
                failures[index] = f"the encoder gave a vector of length {len(vector)}, not {vectors.shape[1]}"
            elif np.isfinite(vector).all():
                vectors[filled] = vector
                filled += 1
                ok[index] = True
            else:
                failures[index] = "the encoder gave a vector that is not finite"
        batch.clear()
        indices.clear()

    for index, value in decode(paths, encoder.transform, threads=threads):
        if isinstance(value, ImageError):
            failures[index] = str(value)
        else:
            batch.append(value)
            indices.append(index)
            if len(batch) == batch_size:
                flush()
        report((index + 1) / n, f"{index + 1:,} of {n:,} images" + (f", {len(failures):,} failed" if failures else ""))
    flush()
    if vectors is None or filled == 0:
        first = failures[min(failures)].rstrip(".")
        raise InvalidInput(f"None of the {n:,} images could be embedded. The first failed because: {first}.")
    return Embeddings(vectors[:filled], ok, failures)


def _encoded(encoder, batch, worked):
    """A vector, or an :class:`ImageError`, for each of a batch; one image that the encoder fails on costs no other.

    Where it fails on every one, and has not ``worked`` before, it is not the images: its error is raised.
    """
    try:
        return list(np.asarray(encoder.encode(batch), dtype=np.float32))
    except Exception as error:  # models raise nearly anything on an odd image
        if is_out_of_memory(error):
            raise
        whole = error
    found = []
    for item in batch:
        try:
            found += list(np.asarray(encoder.encode([item]), dtype=np.float32))
        except Exception as error:  # of this image; when it is of all, the first is raised below
            if is_out_of_memory(error):
                raise
            found.append(ImageError(f"the encoder failed on it: {first_line(error)}"))
    if not worked and all(isinstance(item, ImageError) for item in found):
        raise whole
    return found


def _flat(value):
    """One value as a flat array; numbers that come as objects (Decimal, whole numbers beyond 64 bits) as floats."""
    try:
        array = np.asarray(value).ravel()
    except ValueError:  # ragged lists
        array = np.asarray(value, dtype=object).ravel()
    if array.dtype == object:
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            return array
    return array


def _finite(array):
    with np.errstate(over="ignore"):  # too large for float32 counts as infinite
        return np.isfinite(array.astype(np.float32)).all()


def validate_vectors(values: Sequence[Any] | Array, *, expected_dim: int | None = None) -> Embeddings:
    """Makes one matrix of vectors that come from outside (a field of a dataset, a file).

    Args:
        values: N items, each a vector or None
        expected_dim: D; by default the most common length

    Returns:
        :class:`Embeddings`: missing, wrong-length and non-finite vectors are excluded and listed with the reason.

    Raises:
        InvalidInput: when not one vector is usable
    """
    n = len(values)
    arrays = [None if value is None else _flat(value) for value in values]
    lengths = [a.size for a in arrays if a is not None and a.size]
    if not lengths:
        raise InvalidInput("The field holds no vectors in this view. Compute embeddings first.")
    if expected_dim is None:
        expected_dim = int(np.bincount(lengths).argmax())
    vectors = np.empty((n, expected_dim), dtype=np.float32)
    ok = np.zeros(n, dtype=bool)
    failures = {}
    filled = 0
    for index, array in enumerate(arrays):
        if array is None or array.size == 0:
            failures[index] = "no vector"
        elif array.size != expected_dim:
            failures[index] = f"vector of length {array.size}, the others have {expected_dim}"
        elif array.dtype.kind not in "fiub":
            failures[index] = "not a vector of numbers"
        elif not _finite(array):
            failures[index] = "vector with NaN or infinite values"
        else:
            vectors[filled] = array
            filled += 1
            ok[index] = True
    if filled == 0:
        raise InvalidInput(f"None of the {n:,} vectors is usable. The first: {failures[0]}.")
    return Embeddings(vectors[:filled], ok, failures)
