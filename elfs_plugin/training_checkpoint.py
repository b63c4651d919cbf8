"""A training in progress on disk, so that one that was cancelled or died goes on where it stopped."""

import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .checkpoints import KeptFile, fingerprint
from .contracts import AnyPath
from .errors import is_out_of_memory
from .files import disk_error, whole_file

logger = logging.getLogger(__name__)

WHOLE_BYTES = 256 << 20
"""Up to this size inputs enter a fingerprint whole; of larger ones :data:`SAMPLED_ROWS` evenly spaced rows do."""

SAMPLED_ROWS = 1024


def training_fingerprint(inputs: Any, *parts: Any) -> str:
    """A digest of what decides a training's result: its inputs, and ``parts`` (labels, configuration, seed, …)."""
    shape, dtype = np.shape(inputs), str(getattr(inputs, "dtype", ""))
    if getattr(inputs, "nbytes", 0) > WHOLE_BYTES:
        inputs = inputs[np.unique(np.linspace(0, len(inputs) - 1, SAMPLED_ROWS).astype(np.int64))]
    return fingerprint(shape, dtype, np.asarray(inputs), *parts)


class TrainingCheckpoint:
    """One file with the state of one training; with ``path=None`` it keeps nothing.

    Args:
        path: the file; it is written under another name and then renamed, so it is always whole. Where it cannot be
            written the training goes on; a :class:`~.checkpoints.KeptFile` is told, of another path it is logged once
        key: the training's fingerprint; a file with another one is ignored and overwritten
        seconds: the least time between two timed writes
    """

    def __init__(self, path: AnyPath | None, key: str | None, seconds: float = 60.0) -> None:
        self._given = path
        self._path = None if path is None else Path(path)
        self._key = key
        self._seconds = seconds
        self._written = time.monotonic()
        self._failed = False

    @property
    def due(self) -> bool:
        return self._path is not None and time.monotonic() - self._written >= self._seconds

    def beside(self, suffix: str) -> AnyPath | None:
        """The path of a checkpoint with ``.suffix`` behind this one's name, or None."""
        if self._path is None:
            return None
        return self._given.beside(suffix) if isinstance(self._given, KeptFile) else f"{self._path}.{suffix}"

    def load(self, device: str | torch.device) -> dict[str, Any] | None:
        """The saved state (a dict, tensors on ``device``), or None when there is none of this training."""
        if self._path is None:
            return None
        try:
            saved = torch.load(self._path, map_location=device, weights_only=True)
            return saved["state"] if saved["key"] == self._key else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:  # a damaged file raises nearly anything
            if is_out_of_memory(error):
                raise
            logger.warning("%s is no usable checkpoint (%s); the training starts anew.", self._path, error)
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Writes ``state``: a dict of tensors, numbers, strings, lists and dicts. A file that cannot be written is
        reported once and does not stop the training."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self._path, flush=True) as file:
                torch.save({"key": self._key, "state": state}, file)
        except (OSError, RuntimeError) as error:  # PyTorch's writer turns a full disk into a RuntimeError
            self._report(disk_error(error) or error)
        self._written = time.monotonic()

    def _report(self, error):
        if isinstance(self._given, KeptFile):
            self._given.report(error)
        elif not self._failed:
            logger.warning("No checkpoint can be written to %s (%s); the training goes on.", self._path, error)
        self._failed = True

    def remove(self) -> None:
        if self._path is not None:
            with contextlib.suppress(OSError):  # a folder that cannot be written; another training ignores the file
                self._path.unlink()


_PLAIN = (torch.Tensor, int, float, str, list, tuple, dict, type(None))


def recorder_state(recorder: Any) -> dict[str, Any]:
    """What a recorder has gathered: its own ``state()``, else its tensors, numbers and containers by name."""
    if hasattr(recorder, "state"):
        return recorder.state()
    return {name: value for name, value in vars(recorder).items() if isinstance(value, _PLAIN)}


def restore_recorder(recorder: Any, state: Mapping[str, Any]) -> None:
    """The opposite of :func:`recorder_state`."""
    if hasattr(recorder, "restore"):
        recorder.restore(state)
        return
    for name, value in state.items():
        setattr(recorder, name, value)


def moved(state: Any, device: str | torch.device) -> Any:
    """``state`` with every tensor in it on ``device``, and named devices replaced by it."""
    if isinstance(state, torch.Tensor):
        return state.to(device)
    if isinstance(state, torch.device):
        return torch.device(device)
    if isinstance(state, dict):
        return {key: moved(value, device) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(moved(value, device) for value in state)
    return state
