"""Blocks of images to vectors on the workers of an engine, as this process would have computed them.

A block is computed whole by one worker, in the same batches and with the same kind of numbers as here, so its vectors
are the same bits on processors of the same kind. A block on which workers die is taken apart until the image is found.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..contracts import AnyPath
from ..engine.base import Crashed, Piece
from ..errors import EngineFailed, InvalidInput, MissingModel
from ..text import first_line
from . import lite0
from .images import ImageError, read_image
from .inference import PYTORCH
from .streaming import Encoder, stream

WORKERS_A_NODE = 8
"""At most, on processors: each holds the network."""
EXAMPLES = 8
"""Images that workers are told of, to convert the network with the first two of them that can be read."""
LOOKED_FOR = 32
"""Image files that each node is asked for before work begins."""
DEATHS = 3
"""Of workers on one image alone, before it is to blame: a worker may also be killed for lack of memory."""
POISONED = "its worker process died each time it was read or embedded"

Found = list[tuple[int, Any]]
"""(index, vector or ImageError) of a block's images."""


class Poisoned(ImageError):
    """On this image workers have died."""


@dataclass(frozen=True)
class Recipe:
    """How a worker gets the encoder: by its ``name`` and ``weights``, or as the ``encoder`` itself.

    ``identity`` is the encoder's here, where it has one; ``settled`` what was chosen for all workers, see
    :meth:`~.torch_encoder.TorchEncoder.settle`, and ``examples`` are images that can be read; ``load`` loads an encoder
    by its name.
    """

    name: str | None
    weights: str | None
    encoder: Any
    device: str
    identity: str | None
    load: Callable[..., Encoder]
    settled: Any = None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Computed:
    """Of a block: what was ``found``, the ``error`` that the encoder raised where it worked for no image, and what it
    ``said`` to the user."""

    found: Found
    error: Exception | None
    said: list[str]


class Spread:
    """Has blocks computed by the workers of an engine.

    Args:
        engine: one that is ``distributed``
        paths: N files
        recipe: a :class:`Recipe`
        settle: ``settle(encoder, paths)`` lets an encoder choose the quickest way
        tick: called several times a second; may raise to stop all of it
    """

    def __init__(
        self,
        engine: Any,
        paths: Sequence[AnyPath],
        recipe: Recipe,
        settle: Callable[[Any, Sequence[AnyPath]], None],
        batch_size: int | None,
        tick: Callable[[], None],
    ) -> None:
        self._engine, self._paths, self._recipe = engine, [os.fspath(path) for path in paths], recipe
        self._settle, self._batch_size, self._tick = settle, batch_size, tick
        self._inference = getattr(recipe.encoder, "inference", "")
        gpu = recipe.device == "cuda"
        widest, cpus = engine.widest, engine.cpus
        self._gpus = 1.0 if gpu else 0.0
        self._threads = max(1, min(widest, cpus // max(engine.gpus, 1))) if gpu else -(-widest // WORKERS_A_NODE)

    def settle(self, count: int, kept: str | None) -> str:
        """Has one worker choose for all how they compute; before the first :meth:`computed`.

        Args:
            count, kept: see :meth:`~.torch_encoder.TorchEncoder.plan`

        Returns:
            what is going to compute the vectors, in words; empty where the encoder does not say

        Raises:
            InvalidInput, MissingModel: when a node has not what is needed
        """
        self._look()
        piece = Piece(settled_by, (self._recipe, self._settle, self._paths, count, kept))
        for _, result in self._attempt([piece]):
            if not isinstance(result, Crashed):  # else an image of the few is deadly: float32, and whole files
                self._recipe, self._inference = result
        return self._inference

    def computed(self, blocks: Sequence[range]) -> Iterator[tuple[range, Computed]]:
        """(block, :class:`Computed`) of each, as they are finished.

        Raises:
            InvalidInput: when a node has not what is needed, and which
            MissingModel: when its weights are others
            EngineFailed: when the workers cannot go on, or die on a block and on no single image of it
        """
        if not blocks:
            return
        recipe = self._recipe
        by_start = {block.start: block for block in blocks}
        make = Piece(worker_of, (recipe, self._batch_size, self._threads))
        items = [(block.start, self._of(block)) for block in blocks]
        died = []
        made = self._engine.each(make, items, self._tick, threads=self._threads, gpus=self._gpus)
        with contextlib.closing(made):
            for start, result in made:
                if isinstance(result, Crashed):
                    died.append(by_start[start])
                elif isinstance(result, Exception):
                    raise result
                else:
                    yield by_start[start], shifted(result, start)
        for block in died:
            yield block, shifted(self._taken_apart(block, recipe), block.start)

    def _of(self, block):
        return [self._paths[index] for index in block]

    def _look(self):
        """Refuses nodes that lack what this machine has."""
        rows = np.unique(np.linspace(0, len(self._paths) - 1, LOOKED_FOR).astype(int))
        here = [self._paths[row] for row in rows if os.path.exists(self._paths[row])]
        # No GPU is needed to look: what uses them may be at work.
        recipe = replace(self._recipe, encoder=None, device="cpu")
        lacking = self._engine.on_each_node(Piece(lacks, (recipe, here)), self._ticks)
        said = [f"the node {node} lacks {' and '.join(things)}" for node, things in lacking.items() if things]
        if said:
            text = "; ".join(said)
            raise InvalidInput(
                f"{text[0].upper()}{text[1:]}. All nodes need the same files under the same names (a shared file "
                "system), and the same packages."
            )

    def _attempt(self, pieces):
        return self._engine.attempt(pieces, self._ticks, threads=self._threads, gpus=self._gpus)

    def _ticks(self, fraction, detail=""):
        """A progress that only says where a job notices that it is to stop."""
        self._tick()

    def _taken_apart(self, block, recipe):
        """A block on which workers have died: again alone, then batch by batch, then image by image. What is found to
        blame is left out, and the rest computed as if that could not be read."""
        paths = self._of(block)
        result = self._whole(paths, recipe)
        if not isinstance(result, Crashed):
            return result
        poisoned = self._deadly(paths, recipe)
        result = self._whole(["" if i in poisoned else path for i, path in enumerate(paths)], recipe)
        if isinstance(result, Crashed):  # not the fault of single images
            raise EngineFailed(
                f"Workers died each time on the images {block.start:,} to {block.stop - 1:,}, also without those "
                f"on which they die alone. {result.reason}"
            )
        found = [(i, Poisoned(POISONED) if i in poisoned else value) for i, value in result.found]
        return Computed(found, result.error, result.said)

    def _whole(self, paths, recipe):
        ((_, result),) = self._attempt([Piece(embedded, (recipe, paths, self._batch_size, self._threads))])
        return result

    def _deadly(self, paths, recipe):
        """The indices of the images on which a worker dies each time, though it has nothing else to do."""

        def dies(places):
            pieces = [Piece(embedded, (recipe, [paths[i] for i in some], self._batch_size, 1)) for some in places]
            return [places[k] for k, result in self._attempt(pieces) if isinstance(result, Crashed)]

        batches = dies([range(at, min(at + 8, len(paths))) for at in range(0, len(paths), 8)])
        suspects = [[i] for batch in batches for i in batch]
        for _ in range(DEATHS):
            suspects = dies(suspects)
        return {i for (i,) in suspects}


def shifted(computed: Computed, start: int) -> Computed:
    """The same with the indices of a block that begins at ``start``."""
    return Computed([(start + index, value) for index, value in computed.found], computed.error, computed.said)


def opened(recipe: Recipe) -> Encoder:
    """The encoder of a recipe, in a worker.

    Raises:
        MissingModel: when it cannot be had there, or has other weights
        InvalidInput: when the examples cannot be read there
    """
    if recipe.name is None:
        encoder = recipe.encoder
    else:
        try:
            encoder = recipe.load(recipe.name, weights=recipe.weights, device=recipe.device)
        except MissingModel as error:
            raise MissingModel(f"On the node {_node()}: {error}") from None
    if recipe.identity is not None and encoder.identity != recipe.identity:
        raise MissingModel(
            f"On the node {_node()} the encoder {getattr(encoder, 'name', '')} has other weights or another "
            "preprocessing than here. Use the same file and the same packages on all nodes."
        )
    if recipe.settled is not None:
        try:
            encoder.settle_as(recipe.settled, _examples(recipe, encoder))
        except MissingModel as error:
            raise MissingModel(f"On the node {_node()}: {error}") from None
    return encoder


def _examples(recipe, encoder):
    """Two transformed images; a single one that can be read is taken twice."""
    read = (read_image(path, encoder.transform) for path in recipe.examples)
    found = list(itertools.islice((value for value in read if not isinstance(value, ImageError)), 2))
    if recipe.examples and not found:
        raise InvalidInput(f"On the node {_node()} the image {recipe.examples[0]} and others cannot be read any more.")
    return found if len(found) != 1 else 2 * found


def settled_by(
    recipe: Recipe, settle: Callable[..., None], paths: Sequence[str], count: int, kept: str | None, report: Any
) -> tuple[Recipe, str]:
    """(the recipe with what the encoder has chosen on a worker, its inference in words)."""
    encoder: Any = opened(recipe)
    if hasattr(encoder, "plan"):
        encoder.plan(count, kept)
    settle(encoder, paths)
    settled = getattr(encoder, "settled", None)
    examples: tuple[str, ...] = ()
    if settled is not None and settled.engine != PYTORCH:
        readable = (p for p in paths if not isinstance(read_image(p, encoder.transform), ImageError))
        examples = tuple(itertools.islice(readable, EXAMPLES))
    chosen = replace(recipe, settled=settled, examples=examples)
    return chosen, getattr(encoder, "inference", "")


def worker_of(recipe: Recipe, batch_size: int | None, threads: int) -> Callable[[list[str]], Computed]:
    """What a worker calls with the paths of one block after the other."""
    encoder = opened(recipe)
    said: list[str] = []
    if hasattr(encoder, "on_problem"):
        encoder.on_problem = said.append
    return lambda paths: _computed(encoder, paths, batch_size, threads, said)


def embedded(recipe: Recipe, paths: list[str], batch_size: int | None, threads: int, report: Any) -> Computed:
    """One block, or a part of one, by a worker that ends with it."""
    return worker_of(recipe, batch_size, threads)(paths)


def _computed(encoder, paths, batch_size, threads, said):
    block, error = range(len(paths)), None
    options = {"batch_size": batch_size, "threads": threads}
    try:
        (found,) = stream(paths, encoder, [block], **options)
    except Exception as raised:  # an encoder that works for none of them raises nearly anything
        error = raised
        (found,) = stream(paths, encoder, [block], worked=True, **options)
    told, said[:] = list(said), []
    return Computed(found, error, told)


def lacks(recipe: Recipe, paths: Sequence[str], report: Any) -> list[str]:
    """What a node has not of the files, in words; an empty list is good."""
    found = []
    if recipe.weights is not None and not os.path.isfile(recipe.weights):
        found.append(f"the weights file {recipe.weights}")
    if recipe.name is not None and recipe.weights is None:
        try:
            # The file of lite0 is looked for, any other encoder is loaded: what a hub has may be in a folder here.
            lite0.checkpoint() if recipe.name == lite0.NAME else opened(recipe)
        except MissingModel as error:
            found.append(f"the weights of {recipe.name} ({first_line(error)})")
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        found.append(f"{len(missing)} of {len(paths)} image files that were looked for (first: {missing[0]})")
    return found


def _node():
    return socket.gethostname()
