"""The proxy: a network trained on the pseudo-labels, watched while it learns.

``inputs`` decides the form: an (N, D) float matrix of embeddings trains an MLP (seconds); an (N, 3, S, S) uint8 array
or memory map of images trains a ResNet-18, as in the ELFS paper, or any timm model (a GPU is recommended), or some
small ResNets side by side (minutes on a CPU).
"""

import contextlib
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from ..arrays import as_array
from ..devices import autocast, one_thread, resolve_device
from ..errors import InvalidInput
from ..progress import silent
from ..seeds import identity
from ..training_checkpoint import TrainingCheckpoint, training_fingerprint
from ..validation import derived_seed
from . import mlp as mlp_ensemble
from .dynamics import Recorder
from .mlp import EnsembleConfig
from .networks import OUT_OF_MEMORY, ImageRows, Images, check_timm_model, initialise, seeded_construction
from .training import Training

KINDS = ("mlp", "resnet8", "resnet18", "timm")
FAST_EPOCHS = 30


@dataclass(frozen=True)
class ProxyConfig:
    """How a proxy is trained: SGD with Nesterov momentum 0.9 and a cosine schedule.

    ``steps``, when given, fixes the number of optimiser steps whatever the number of samples (the paper trains on every
    coreset equally long); otherwise ``epochs`` decides.

    For embeddings: the score is the mean over ``members`` MLPs trained at once, of which ``left_out`` do not train on a
    sample and are the ones to score it; see :class:`~.mlp.EnsembleConfig`, which holds the defaults.

    For images: of the kind ``"resnet8"`` the score is the mean over ``members`` networks, too, but all of them train on
    every sample. ``model`` names the timm model of the kind ``"timm"`` and ``weights`` a local checkpoint of it
    (without it the network starts at random; nothing is ever downloaded). ``image_size`` is the side that image files
    are decoded to. ``precision`` is ``"auto"`` (bfloat16 where the hardware is quicker at it) or ``"float32"``.
    ``deterministic`` makes a GPU give the same result for the same seed, at some cost; a CPU always does. ``compile``
    is ``"auto"``, ``"off"`` or a mode of ``torch.compile``, on a GPU only.
    """

    kind: str
    epochs: int
    batch_size: int
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    hidden: int = EnsembleConfig.hidden
    steps: int | None = None
    members: int = EnsembleConfig.members
    left_out: int = EnsembleConfig.left_out
    model: str | None = None
    weights: str | None = None
    image_size: int | None = None
    precision: str = "auto"
    deterministic: bool = False
    compile: str = "auto"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InvalidInput(f"Unknown kind of proxy {self.kind!r}. Use one of: {', '.join(KINDS)}.", "proxy")
        if (self.kind == "timm") != bool(self.model) or (self.weights and self.kind != "timm"):
            raise InvalidInput(
                "A model name, and weights, belong to proxies of the kind 'timm', and to no other.", "proxy"
            )
        for name in ("epochs", "batch_size", "hidden", "steps", "members"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"The proxy's {name.replace('_', ' ')} must be 1 or more, not {value}.", name)
        if not self.on_images:
            mlp_ensemble.check_left_out(self)
        if self.on_images and self.batch_size < 2:
            raise InvalidInput("Batch normalisation needs batches of two images or more.", "batch_size")
        if self.precision not in ("auto", "float32"):
            raise InvalidInput(f"precision must be 'auto' or 'float32', not {self.precision!r}.", "precision")

    @classmethod
    def mlp(cls, **changes):
        """The fast proxy: an ensemble of small MLPs, for few and gentle epochs. One trained long, and on the samples it
        scores, fits nearly every pseudo-label, which leaves the easy half of the AUMs in an arbitrary order."""
        return cls(**{**EnsembleConfig().to_dict(), **changes})

    @classmethod
    def resnet8(cls, **changes):
        """The small image proxy: four :class:`~.small_resnets.ResNet8` for 10 epochs, otherwise as :meth:`resnet18`.
        Chosen because their mean ranks as that does; benchmarks/image_proxy.py measures how closely."""
        return cls(**{**_settings("resnet8", 10, 0.1), "members": 4, **changes})

    @classmethod
    def resnet18(cls, **changes):
        """The paper's proxy: 200 epochs, batch 256, learning rate 0.1 to 1e-4, weight decay 5e-4."""
        return cls(**{**_settings("resnet18", 200, 0.1), **changes})

    @classmethod
    def resnet18_fast(cls, **changes):
        """The paper's proxy for 30 epochs (as many as DUAL, ICML 2025, takes): a seventh of the time."""
        return cls.resnet18(**{"epochs": FAST_EPOCHS, **changes})

    @classmethod
    def timm(cls, model="resnet34", *, image_size=224, weights=None, **changes):
        """Any timm model. The default is the paper's for ImageNet: ResNet-34 for 60 epochs.

        Raises:
            MissingModel: for a model that timm does not have, with close names
        """
        check_timm_model(model)
        names = {"model": model, "image_size": image_size, "weights": None if weights is None else str(weights)}
        return cls(**{**_settings("timm", 60, 0.1), **names, **changes})

    @property
    def on_images(self):
        """Whether it takes images and not embeddings."""
        return self.kind != "mlp"

    @property
    def side_by_side(self):
        """How many networks are trained on images at once."""
        return self.members if self.kind == "resnet8" else 1

    def to_dict(self):
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """The opposite of :meth:`to_dict`, for what a run has kept: what a newer version wrote beside is left out, and
        what is missing, or all of it, is the MLP's."""
        known = {name: value for name, value in (values or {}).items() if name in cls.__dataclass_fields__}
        return cls(**{**cls.mlp().to_dict(), **known})


def _settings(kind, epochs, learning_rate):
    return {
        "kind": kind,
        "epochs": epochs,
        "batch_size": 256,
        "learning_rate": learning_rate,
        "final_learning_rate": 1e-4,
        "weight_decay": 5e-4,
    }


def train_proxy(
    inputs,
    labels,
    *,
    num_classes=None,
    config=None,
    seed=0,
    device="auto",
    checkpoint=None,
    checkpoint_seconds=60.0,
    progress=silent,
):
    """Trains a proxy on all samples and returns how each was learnt.

    Args:
        inputs: (N, D) float embeddings or (N, 3, S, S) uint8 images (array or memory map)
        labels: (N,) int pseudo-labels in [0, num_classes)
        config: :class:`ProxyConfig` (default: the form that fits ``inputs``)
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


def as_inputs(inputs):
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


def default_config(inputs):
    return ProxyConfig.resnet18() if np.ndim(inputs) == 4 else ProxyConfig.mlp()


def fit(
    inputs,
    labels,
    *,
    num_classes=None,
    config=None,
    seed=0,
    device="auto",
    on_batch=None,
    checkpoint=None,
    checkpoint_seconds=60.0,
    progress=silent,
):
    """Trains a classifier; ``on_batch(indices, logits, labels)`` is called for every training batch. Logits are (B, C),
    or (B, M, C) of M networks side by side.

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
    config = config or default_config(inputs)
    num_classes = num_classes or int(labels.max()) + 1
    source = Images(inputs, device) if config.on_images else _Embeddings(inputs, device)
    if config.on_images and len(labels) < 2:
        raise InvalidInput("A proxy on images needs two images at least. Choose a larger view.")
    settings = (num_classes, config.to_dict(), identity(seed))
    key = None if checkpoint is None else training_fingerprint(inputs, labels, *settings)
    kept = TrainingCheckpoint(checkpoint, key, seconds)
    with contextlib.nullcontext() if config.on_images else one_thread(device):
        training = Training(source, torch.from_numpy(labels), num_classes, config, seed, recorder)
        model = training.run(kept, on_batch=on_batch, progress=progress)
    return Classifier(model, training.source, config)


def _checked_labels(labels, n, num_classes):
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

    def __init__(self, model, source, config=None):
        self._model = model
        self._source = source
        self._autocast = config is not None and config.on_images and config.precision == "auto"

    @torch.no_grad()
    def predict(self, inputs, rows=None):
        """(N,) int64 classes of inputs of the kind it was trained on, ``rows`` at once."""
        source = self._source.like(inputs)
        rows = rows or source.predict_rows
        found, start = [], 0
        while start < len(inputs):
            block = torch.arange(start, min(start + rows, len(inputs)))
            try:
                with autocast(source.device) if self._autocast else contextlib.nullcontext():
                    logits = self._model(source.batch(block))
                if logits.ndim == 3:  # networks side by side answer together
                    logits = logits.float().softmax(dim=2).mean(dim=1)
                found.append(logits.argmax(dim=1))
            except OUT_OF_MEMORY:
                if rows == 1:
                    raise
                rows = max(1, rows // 2)
                continue
            start += len(block)
        return torch.cat(found).cpu().numpy() if found else np.empty(0, dtype=np.int64)


class _Embeddings:
    """Embeddings, standardised per dimension by the training set's statistics."""

    batch_norm = False
    resident = True
    predict_rows = 2048

    def __init__(self, inputs, device, statistics=None):
        values = torch.as_tensor(np.asarray(inputs, dtype=np.float32), device=device)
        if values.ndim != 2:
            raise InvalidInput(f"An MLP proxy takes an (N, D) matrix, not shape {tuple(values.shape)}.")
        self.device = device
        self._statistics = statistics or (values.mean(dim=0), values.std(dim=0, correction=0).clamp_min(1e-6))
        self._values = (values - self._statistics[0]) / self._statistics[1]

    def like(self, inputs):
        return _Embeddings(inputs, self.device, self._statistics)

    def to(self, device):
        if device == self.device:
            return self
        moved = object.__new__(_Embeddings)
        moved.device = device
        moved._statistics = tuple(s.to(device) for s in self._statistics)
        moved._values = self._values.to(device)
        return moved

    def draw(self, n, rng):
        return None

    def batch(self, indices, draws=None):
        return self._values[indices.to(self.device)]

    def finite(self):
        return bool(torch.isfinite(self._values).all())

    def network(self, num_classes, config, seed):
        dims = [self._values.shape[1], config.hidden, num_classes]
        with seeded_construction(seed):
            model = nn.Sequential(nn.Linear(dims[0], dims[1]), nn.ReLU(), nn.Linear(dims[1], dims[2]))
        return initialise(model, seed)
