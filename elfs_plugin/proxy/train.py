"""The proxy: a network trained on the pseudo-labels, watched while it learns.

``inputs`` decides the form: an (N, D) float matrix of embeddings trains an MLP (seconds); an (N, 3, S, S) uint8 array
or memory map of images trains a ResNet-18, as in the ELFS paper, or any timm model (a GPU is recommended), or some
small ResNets side by side (minutes on a CPU).
"""

from __future__ import annotations

import contextlib
import logging

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..arrays import as_array
from ..contracts import AnyPath, Array, Integers, OnBatch, Progress
from ..devices import autocast, resolve_device
from ..errors import InvalidInput
from ..gpu_memory import CPU, OUT_OF_MEMORY
from ..progress import silent
from ..seeds import identity
from ..training_checkpoint import TrainingCheckpoint, training_fingerprint
from ..validation import derived_seed
from . import kinds
from . import mlp as mlp_ensemble
from .config import ProxyConfig
from .dynamics import Dynamics, Recorder
from .image_source import ImageRows, Images
from .training import Training

logger = logging.getLogger(__name__)


def train_proxy(
    inputs: ArrayLike,
    labels: ArrayLike,
    *,
    num_classes: int | None = None,
    config: ProxyConfig | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    checkpoint: AnyPath | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Progress = silent,
) -> Dynamics:
    """Trains a proxy on all samples and returns how each was learnt.

    Args:
        inputs: (N, D) float embeddings or (N, 3, S, S) uint8 images (array or memory map)
        labels: (N,) int pseudo-labels in [0, num_classes)
        config: :class:`~.config.ProxyConfig` (default: the form that fits ``inputs``)
        checkpoint: a file that keeps the training while it runs: every ``checkpoint_seconds``, and when ``progress``
            raises :class:`~..errors.Cancelled`. The same call made again goes on from there with the same result (bit
            for bit on a CPU). A file of other inputs, settings or seed is ignored; after success it is removed.

    Returns:
        :class:`~.dynamics.Dynamics`; of images recorded on the training batches as they pass (augmented, before each
        step), as in AUM and ELFS; of embeddings after every epoch, see :func:`~.mlp.train`

    Raises:
        InvalidInput: for inputs or labels of the wrong kind, shape or range
        ElfsError: when the loss is no longer finite, with the step and the likely cause
    """
    device = resolve_device(device)
    inputs, seed = as_inputs(inputs), derived_seed(seed)
    config = config or default_config(inputs)
    labels = _checked_labels(labels, len(inputs), num_classes)
    if not config.on_images:
        # Seconds: nothing to resume.
        return mlp_ensemble.train(inputs, labels, num_classes, config, seed, device, progress)
    recorder = Recorder(len(labels), device, members=config.side_by_side)

    def record(indices, logits, labels):
        recorder.update(indices, logits if logits.ndim == 2 else logits.transpose(0, 1), labels)

    _train(
        inputs, labels, num_classes, config, seed, device, record, recorder, checkpoint, checkpoint_seconds, progress
    )
    return recorder.finalize()


def as_inputs(inputs: ArrayLike) -> Array | ImageRows:
    """What a proxy trains on as an array: (N, D) embeddings or (N, 3, S, S) images; images may stay on disk.

    Raises:
        InvalidInput: for what is no such array
    """
    if isinstance(inputs, ImageRows):
        return inputs
    array = as_array(inputs, "The inputs of a proxy", "inputs")
    if array.ndim not in (2, 4):
        raise InvalidInput(
            f"A proxy takes a matrix (N, D) of embeddings or (N, 3, S, S) images, not the shape {array.shape}.",
            "inputs",
        )
    return array


def default_config(inputs: Array | ImageRows) -> ProxyConfig:
    return ProxyConfig.of(kinds.ON_IMAGES if np.ndim(inputs) == 4 else kinds.ON_EMBEDDINGS)


def fit(
    inputs: ArrayLike,
    labels: ArrayLike,
    *,
    num_classes: int | None = None,
    config: ProxyConfig | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    on_batch: OnBatch | None = None,
    checkpoint: AnyPath | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Progress = silent,
) -> Classifier:
    """Trains a classifier on images; ``on_batch(indices, logits, labels)`` is called for every training batch. Logits
    are (B, C), or (B, M, C) of M networks side by side.

    ``checkpoint`` is as in :func:`train_proxy`; a resumed training calls ``on_batch`` for the remaining batches only.

    Returns:
        :class:`Classifier`
    """
    device = resolve_device(device)
    inputs, seed = as_inputs(inputs), derived_seed(seed)
    labels = _checked_labels(labels, len(inputs), num_classes)
    return _train(
        inputs, labels, num_classes, config, seed, device, on_batch, None, checkpoint, checkpoint_seconds, progress
    )


def _train(inputs, labels, num_classes, config, seed, device, on_batch, recorder, checkpoint, seconds, progress):
    config = config or ProxyConfig.of(kinds.ON_IMAGES)
    if not config.on_images:
        raise InvalidInput(f"A proxy of the kind {config.kind!r} learns from embeddings, and not from images.", "proxy")
    num_classes = num_classes or int(labels.max()) + 1
    source = Images(inputs, device)
    if len(labels) < 2:
        raise InvalidInput("A proxy on images needs two images at least. Choose a larger view.")
    settings = (num_classes, config.to_dict(), identity(seed))
    key = None if checkpoint is None else training_fingerprint(inputs, labels, *settings)
    training = Training(source, torch.from_numpy(labels), num_classes, config, seed, recorder, on_batch)
    model = training.run(TrainingCheckpoint(checkpoint, key, seconds), progress)
    return Classifier(model, source.to(training.device), config)


def _checked_labels(labels, n, num_classes) -> Integers:
    """The labels as an (N,) int64 array, or :class:`InvalidInput`."""
    labels = as_array(labels, "Labels", "labels")
    if np.size(labels) == 0 or len(labels) != n:
        raise InvalidInput(f"The proxy needs as many labels as inputs; there are {np.size(labels)} and {n}.")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InvalidInput(f"Labels are whole numbers in one row, not {labels.dtype} of shape {labels.shape}.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (num_classes is not None and high >= num_classes):
        upper = "" if num_classes is None else f" to {num_classes - 1}"
        raise InvalidInput(f"Labels must be from 0{upper}; there are labels from {low} to {high}.")
    if (num_classes or high + 1) < 2:
        raise InvalidInput("A proxy needs two classes at least: with one there is nothing to tell apart.")
    return labels.astype(np.int64)


class Classifier:
    """A trained network together with the way its inputs are prepared."""

    def __init__(self, model: torch.nn.Module, source: Images, config: ProxyConfig) -> None:
        self._model = model
        self._source = source
        self._autocast = config.precision == "auto"

    @torch.no_grad()
    def predict(self, inputs: Array | ImageRows, rows: int | None = None) -> Integers:
        """(N,) int64 classes of (N, 3, S, S) images, ``rows`` at once."""
        source = self._source.like(inputs)
        rows = rows or source.predict_rows
        classes, start = [], 0
        while start < len(inputs):
            block = torch.arange(start, min(start + rows, len(inputs)))
            try:
                classes.append(self._classes(source.batch(block)).cpu())
                start += len(block)
                continue
            except OUT_OF_MEMORY:
                if rows == 1 and source.device == CPU:
                    raise
            # Outside the handler, which holds on to the tensors of the failed pass.
            source, rows = (source, rows // 2) if rows > 1 else self._leave_gpu(inputs)
        return torch.cat(classes).numpy() if classes else np.empty(0, dtype=np.int64)

    def _classes(self, x):
        logits = self._logits(x)
        if logits.ndim == 3:  # networks side by side answer together
            logits = logits.float().softmax(dim=2).mean(dim=1)
        return logits.argmax(dim=1)

    def _leave_gpu(self, inputs):
        logger.warning("Not even one image fits into the memory of %s: the CPU predicts.", self._source.device)
        self._model, self._source = self._model.to(CPU), self._source.to(CPU)
        source = self._source.like(inputs)
        return source, source.predict_rows

    def _logits(self, x):
        with autocast(x.device) if self._autocast else contextlib.nullcontext():
            logits = self._model(x)
        if self._autocast and x.device.type == "cpu" and not logits.isfinite().all():
            return self._model(x)  # see Training._sound_passes
        return logits
