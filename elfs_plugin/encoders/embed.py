"""Images to embeddings.

An encoder is named by a string:

* ``pixels``: the image itself as a small thumbnail. No weights, no download; a baseline, and enough for digits.
* ``lite0``: EfficientNet-lite0 trained on ImageNet, from an installed package.
* ``timm:<model>``: pooled features of any timm model.
* ``open_clip:<model>/<tag>``: the image tower of any OpenCLIP model.

The last two take ``weights``, the path of a local checkpoint, and then need no network. ``auto`` chooses by the images,
see :mod:`.default`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from .. import scratch
from ..contracts import AnyPath, Array, Floats, Mask, Progress, Vectors
from ..devices import resolve_device
from ..engine.choose import current
from ..errors import InvalidInput, MissingModel
from ..progress import part, silent
from . import lite0
from .block_store import BLOCK, BlockStore
from .default import resolve_encoder
from .images import ImageError, read_image
from .inference import engine_of
from .known import AUTO
from .open_clip_models import ImageTower, check_open_clip, load_open_clip
from .provenance import Provenance, provenance_of
from .rows import Rows
from .spread import Poisoned, Recipe, Spread
from .streaming import HOPELESS, Encoder, NotEncoded, stream
from .timm_models import check_timm_model, load_timm
from .torch_encoder import TorchEncoder

PIXELS_SIZE = 8
"""Side of the thumbnail of the ``pixels`` encoder: 8 x 8 x 3 = 192 dimensions."""


@dataclass(frozen=True)
class Embeddings:
    """Vectors of the images that could be embedded.

    ``vectors`` (M, D) float32 in input order, ``ok`` (N,) bool with M true entries, ``failures`` maps the index of each
    excluded image to the reason. ``provenance`` says what made them, where that is known.
    """

    vectors: Vectors
    ok: Mask
    failures: dict[int, str] = field(default_factory=dict)
    provenance: Provenance | None = None


class PixelsEncoder:
    """Thumbnails of ``PIXELS_SIZE`` pixels, flattened, in [0, 1]. Grey images give three equal channels."""

    name = identity = "pixels"
    preprocessing = f"the middle, {PIXELS_SIZE} x {PIXELS_SIZE} pixels"
    batch_size = 1024

    def transform(self, image: Image.Image) -> Floats:
        small = ImageOps.fit(image, (PIXELS_SIZE, PIXELS_SIZE))
        return np.asarray(small, dtype=np.float32).ravel() / 255.0

    def encode(self, batch: list[Floats]) -> Vectors:
        return np.stack(batch)


def load_encoder(name: str, *, weights: AnyPath | None = None, device: str = "auto") -> Encoder:
    """Loads the encoder of that name.

    Args:
        name: ``pixels``, ``lite0``, ``timm:<model>`` or ``open_clip:<model>/<tag>``
        weights: a local checkpoint; without it timm and OpenCLIP fetch the weights that belong to the name

    Raises:
        MissingModel: for an unknown model, or weights that cannot be had or do not fit
    """
    if weights is not None and not Path(weights).expanduser().is_file():
        raise MissingModel(f"The weights file {weights} does not exist. Give the path of a local checkpoint of {name}.")
    weights = str(Path(weights).expanduser()) if weights is not None else None
    if name == "pixels":
        return PixelsEncoder()
    if name == lite0.NAME:
        network, transform = load_timm(lite0.ARCHITECTURE, lite0.checkpoint(), rename=True)
        return TorchEncoder(name, network, transform, resolve_device(device))
    family, _, model = name.partition(":")
    if family == "timm" and model:
        network, transform = load_timm(model, weights)
        return TorchEncoder(name, network, transform, resolve_device(device))
    if family == "open_clip" and model:
        clip, transform = load_open_clip(model, weights)
        return TorchEncoder(name, ImageTower(clip), transform, resolve_device(device))
    raise MissingModel(
        f"Unknown encoder {name!r}. Use 'pixels', 'lite0', 'timm:<model>' (for example "
        "timm:vit_base_patch16_224.dino), 'open_clip:<model>/<tag>' (for example open_clip:ViT-B-32/openai) or, on a "
        "FiftyOne dataset, 'zoo:<model>'."
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
    elif name == lite0.NAME:
        lite0.checkpoint()
    elif name not in ("pixels", AUTO):
        load_encoder(name)  # which says what there is


def embed_images(
    paths: Iterable[AnyPath],
    encoder: str | Encoder,
    *,
    weights: AnyPath | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    threads: int | None = None,
    kept: AnyPath | None = None,
    beside: str | None = None,
    on_problem: Callable[[str], None] | None = None,
    progress: Progress = silent,
) -> Embeddings:
    """Embeds image files. The vectors do not depend on how many threads there are.

    Args:
        paths: N file paths
        encoder: an encoder name (see the module) or an :class:`~.streaming.Encoder`
        weights: a local checkpoint for a named encoder
        batch_size: images per forward pass (default: the encoder's)
        threads: see :func:`~.streaming.stream`
        kept: a folder, made when there is none, for finished blocks of the vectors: the same call made again takes what
            is whole in it, and computes the rest (for named encoders, and those that have an ``identity``)
        beside: what has computed the vectors that these are to be used with, see :mod:`.inference`; it computes these
            too, where it can
        on_problem: is told, in a sentence, when a GPU cannot do all of it

    Returns:
        :class:`Embeddings`. Files that cannot be read, and images whose vector is not finite, are excluded and listed.
        Of more than :data:`~.rows.IN_MEMORY` images the vectors are memory-mapped.

    Raises:
        MissingModel: see :func:`load_encoder`
        InvalidInput: when there are no paths, or not one of them could be embedded
    """
    paths = list(paths)
    n = len(paths)
    if n == 0:
        raise InvalidInput("There are no images to embed. Choose a view that has some.")
    encoder = name = resolve_encoder(encoder, paths)
    engine = current()
    if isinstance(name, str):
        progress(0.0, f"loading {name}")
        encoder = load_encoder(name, weights=weights, device="cpu" if engine.distributed else device)
    if on_problem is not None and hasattr(encoder, "on_problem"):
        encoder.on_problem = on_problem
    store = _store(kept, paths, encoder)
    gathered = _Gathered(n, _folder_of(kept), part(progress, 0.0, 1.0))
    if engine.distributed:
        recipe = _recipe(name, weights, encoder, str(engine.device(device)))
        spread = Spread(engine, paths, recipe, _settle, batch_size, gathered.tick)
        job: _Job = _SpreadJob(paths, encoder, store, gathered, spread, on_problem)
    else:
        job = _Job(paths, encoder, store, gathered, batch_size=batch_size, threads=threads)
    job.run(beside)
    return replace(gathered.embeddings(), provenance=provenance_of(encoder, weights, job.inference))


WORTHWHILE = 512
"""From this many images on it is worth finding out which precision they need; fewer are embedded in float32."""

_SETTLED_BY = 16

_NOT_FINITE = "vector with NaN or infinite values"


def _recipe(name, weights, encoder, device):
    """How workers get the encoder that is loaded here."""
    identity = getattr(encoder, "identity", None)
    if not isinstance(name, str):
        return Recipe(None, None, encoder, device, identity, load_encoder)
    return Recipe(
        name, None if weights is None else str(Path(weights).expanduser()), None, device, identity, load_encoder
    )


def _store(kept, paths, encoder):
    identity = getattr(encoder, "identity", None) if kept is not None else None
    return BlockStore(None if identity is None else kept, paths, identity or "")


def _folder_of(kept):
    """The folder that ``kept`` is in, made when there is none, where files can be made in it."""
    if kept is None:
        return None
    parent = Path(kept).parent
    with contextlib.suppress(OSError):
        parent.mkdir(parents=True, exist_ok=True)
    return parent if os.access(parent, os.W_OK) else None


def _settle(encoder, paths):
    """Lets the encoder choose the quickest way by some of the images, evenly spaced."""
    settle = getattr(encoder, "settle", None)
    if settle is None:
        return
    few = 0
    if len(paths) >= WORTHWHILE or getattr(encoder, "beside_another_engine", False):
        few = min(_SETTLED_BY, len(paths))
    rows = np.linspace(0, len(paths) - 1, few).astype(int)
    ways = (None, getattr(encoder, "smaller_side", None))
    pairs = [[read_image(paths[row], encoder.transform, least_side=way) for way in ways] for row in rows]
    usable = [at for at, pair in enumerate(pairs) if not any(isinstance(value, ImageError) for value in pair)]
    settle([pairs[at][0] for at in usable], [pairs[at][1] for at in usable])
    settle_decoding = getattr(encoder, "settle_decoding", None)
    if settle_decoding is not None:
        settle_decoding([paths[rows[at]] for at in usable])


class _Job:
    """Takes the blocks that ``store`` has, and has the others computed and kept."""

    def __init__(self, paths, encoder, store, gathered, **options):
        self._paths, self._encoder, self._store, self._gathered = paths, encoder, store, gathered
        self._options = {**options, "done": gathered.report}
        self._settled, self._beside = False, None
        n = len(paths)
        self._blocks = [range(at, min(at + BLOCK, n)) for at in range(0, n, BLOCK)]
        self._look()

    @property
    def inference(self):
        """What has computed the vectors, in words; empty where the encoder does not say."""
        return (getattr(self._encoder, "inference", "") if self._settled else self._store.inference) or ""

    def _look(self):
        """Sees which blocks there are."""
        counts = {block: self._store.count(block) for block in self._blocks}
        self._ready = {block: count for block, count in counts.items() if count is not None}

    def _todo(self):
        return [block for block in self._blocks if block not in self._ready]

    def run(self, beside=None):
        self._beside = beside
        self._settle(self._todo())
        todo = self._todo()
        with contextlib.closing(self._computed(todo)) as computed:
            for block in self._blocks:
                if block not in self._ready:
                    self._keep(block, next(computed))
                else:
                    self._take(block)
            next(computed, None)  # where nothing could be encoded, it says why

    def _take(self, block):
        found = self._store.load(block)
        if found is not None:
            self._gathered.report(self._gathered.take(found))
            return
        del self._ready[block]  # it went or broke since it was looked at
        (found,) = self._computed([block])
        self._keep(block, found)

    def _computed(self, blocks):
        self._settle(blocks)
        yield from stream(self._paths, self._encoder, blocks, worked=self._worked(), **self._options)

    def _settle(self, blocks):
        """Has the encoder choose how it computes ``blocks``, if it is to compute any for the first time."""
        if not blocks or self._settled:
            return
        kept = self._store.inference if self._ready else None
        self._choose_way(sum(map(len, blocks)), self._beside if kept is None else kept)
        self._settled = True
        self._store.inference = self.inference
        if kept is not None and engine_of(kept) != engine_of(self.inference):
            self._look()  # what another engine has computed is computed again

    def _choose_way(self, count, kept):
        plan = getattr(self._encoder, "plan", None)
        if plan is not None:
            plan(count, kept)
        _settle(self._encoder, self._paths)

    def _worked(self):
        return self._gathered.count > 0 or any(self._ready.values())

    def _keep(self, block, found):
        taken = self._gathered.take(found)
        if self._lasts(found, taken):
            self._store.save(block, taken)

    def _lasts(self, found, taken):
        """Whether a block is kept. An encoder that has not worked yet may be to blame: once it is repaired, these
        images are to be tried again."""
        return self._worked() or not any(_by_encoder(value, kept) for (_, value), (_, kept) in zip(found, taken))


class _SpreadJob(_Job):
    """Has the blocks computed by workers. They come in any order: each is kept at once, and taken when its turn is."""

    def __init__(self, paths, encoder, store, gathered, spread, on_problem):
        super().__init__(paths, encoder, store, gathered)
        self._spread, self._tell, self._told = spread, on_problem or (lambda sentence: None), set()
        self._some_worked, self._error, self._saved, self._inference = False, None, set(), ""

    @property
    def inference(self):
        return (self._inference if self._settled else self._store.inference) or ""

    def _choose_way(self, count, kept):
        self._inference = self._spread.settle(count, kept)

    def _computed(self, blocks):
        self._settle(blocks)
        waiting: dict[range, Any] = {}
        with contextlib.closing(self._spread.computed(blocks)) as arriving:
            for block in blocks:
                while block not in waiting:
                    other, made = next(arriving)
                    waiting[other] = self._arrived(other, made)
                found = waiting.pop(block) or self._store.load(block)
                yield self._again(block) if found is None else found
            if not self._worked() and self._error is not None:
                raise self._error

    def _arrived(self, block, made):
        """Keeps a block, and then says so. Returns None where it lies in the store, and need not be held."""
        for sentence in made.said:
            if sentence not in self._told:
                self._told.add(sentence)
                self._tell(sentence)
        self._some_worked = self._some_worked or any(not isinstance(value, ImageError) for _, value in made.found)
        self._error = self._error or made.error
        if self._error is not None and not self._worked() and len(made.found) >= HOPELESS:
            raise self._error
        kept = self._kept(block, made.found)
        self._gathered.report(made.found)
        return None if kept else made.found

    def _kept(self, block, found):
        plain = self._gathered.plain(found)
        if not self._lasts(found, plain) or not self._store.save(block, plain):
            return False
        self._saved.add(block)
        return True

    def _lasts(self, found, taken):
        """Nor does a block with an image on which workers died: another time, or elsewhere, it may be read."""
        return super()._lasts(found, taken) and not any(isinstance(value, Poisoned) for _, value in found)

    def _again(self, block):
        """A block that has gone from the store since it was kept there."""
        self._saved.discard(block)
        ((_, made),) = self._spread.computed([block])
        return made.found

    def _worked(self):
        return self._some_worked or super()._worked()

    def _keep(self, block, found):
        if block in self._saved:
            self._gathered.take(found)
        else:
            super()._keep(block, found)


def _by_encoder(found, taken):
    """Whether it is the encoder, and not the file, that gave no vector."""
    return isinstance(taken, str) and (isinstance(found, NotEncoded) or not isinstance(found, ImageError))


class _Gathered:
    """What has been found of N images so far."""

    def __init__(self, n, folder, progress):
        self._n, self._done, self._failed, self._progress = n, 0, 0, progress
        self._rows = Rows(n, folder)
        self._ok = np.zeros(n, dtype=bool)
        self._failures = {}

    @property
    def count(self):
        """How many vectors there are."""
        return self._rows.count

    def take(self, found):
        """Takes (index, vector or error or reason) in order. Returns (index, vector or reason)."""
        return [(index, self._taken(index, value)) for index, value in found]

    def plain(self, found):
        """The same as :meth:`take` returns, and none of it taken."""
        reasons = [self._reason(value) for _, value in found]
        return [(index, value if reason is None else reason) for (index, value), reason in zip(found, reasons)]

    def _taken(self, index, value):
        reason = self._reason(value)
        if reason is None:
            self._rows.append(value)
            self._ok[index] = True
            return value
        self._failures[index] = reason
        return reason

    def _reason(self, value):
        if isinstance(value, (ImageError, str)):
            return str(value)
        if self._rows.length not in (None, len(value)):
            return f"the encoder gave a vector of length {len(value)}, not {self._rows.length}"
        return None if np.isfinite(value).all() else "the encoder gave a vector that is not finite"

    def report(self, found):
        """Shows that these (index, vector or error or reason) are finished, taken or not."""
        self._done += len(found)
        self._failed += sum(isinstance(value, (ImageError, str)) for _, value in found)
        self.tick()

    def tick(self):
        """Says again how far it is, which is where a job notices that it is to stop."""
        failed = f", {self._failed:,} failed" if self._failed else ""
        self._progress(self._done / self._n, f"{self._done:,} of {self._n:,} images{failed}")

    def embeddings(self):
        if not self._rows.count:
            first = self._failures[min(self._failures)].rstrip(".")
            raise InvalidInput(f"None of the {self._n:,} images could be embedded. The first failed because: {first}.")
        return Embeddings(self._rows.array(), self._ok, self._failures)


def flat(value: Any) -> Array:
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


def _as_matrix(values, expected_dim):
    """What :func:`validate_vectors` makes of a large matrix, or None where it has to look at every row by itself. The
    matrix is not copied if all of it can be used."""
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiub":
        return None
    if not scratch.is_large(values.shape) or expected_dim not in (None, values.shape[1]):
        return None
    ok = np.zeros(len(values), dtype=bool)
    with np.errstate(over="ignore"):  # too large for float32 counts as infinite
        for rows in scratch.blocks(len(values)):
            ok[rows] = np.isfinite(values[rows].astype(np.float32)).all(axis=1)
    if not ok.any():
        return None
    vectors = scratch.as_float32(values if ok.all() else scratch.taken(values, ok))
    return Embeddings(vectors, ok, dict.fromkeys(np.flatnonzero(~ok).tolist(), _NOT_FINITE))


def vector_fault(array: Array, dimensions: int) -> str | None:
    """Why a flat array is no usable vector of that many dimensions, or None."""
    if array.size == 0:
        return "no vector"
    if array.size != dimensions:
        return f"vector of length {array.size}, the others have {dimensions}"
    if array.dtype.kind not in "fiub":
        return "not a vector of numbers"
    return None if _finite(array) else _NOT_FINITE


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
    matrix = _as_matrix(values, expected_dim)
    if matrix is not None:
        return matrix
    n = len(values)
    arrays = [None if value is None else flat(value) for value in values]
    lengths = [a.size for a in arrays if a is not None and a.size]
    if not lengths:
        raise InvalidInput("The field holds no vectors in this view. Compute embeddings first.")
    if expected_dim is None:
        expected_dim = int(np.bincount(lengths).argmax())
    found = _usable(arrays, expected_dim)
    if not len(found.vectors):
        raise InvalidInput(f"None of the {n:,} vectors is usable. The first: {found.failures[0]}.")
    return found


def check_vectors(values: Sequence[Any], expected_dim: int) -> Embeddings:
    """The same of some of the vectors, of which none need be usable."""
    return _usable([None if value is None else flat(value) for value in values], expected_dim)


def lengths_of(values: Sequence[Any]) -> list[int]:
    """The lengths of vectors, without those that are empty or None."""
    return [size for size in (np.size(value) for value in values if value is not None) if size]


def most_common(lengths: Mapping[int, int]) -> int | None:
    """The length that most vectors have, of a number of vectors for each; the smallest where several do."""
    return min(lengths, key=lambda length: (-lengths[length], length), default=None)


def _usable(arrays, expected_dim):
    n = len(arrays)
    vectors = np.empty((n, expected_dim), dtype=np.float32)
    ok = np.zeros(n, dtype=bool)
    failures = {}
    filled = 0
    for index, array in enumerate(arrays):
        fault = "no vector" if array is None else vector_fault(array, expected_dim)
        if fault:
            failures[index] = fault
        else:
            vectors[filled] = array
            filled += 1
            ok[index] = True
    return Embeddings(vectors[:filled], ok, failures)
