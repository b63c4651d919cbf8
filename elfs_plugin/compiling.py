"""Whether compiling a network pays: it takes half a minute, and a training may take less."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from pathlib import Path

import torch

logger = logging.getLogger(__name__)

FIRST_SECONDS = 30.0
"""Compiling a ResNet-18 with its backward for the first time on a machine: an estimate."""

AGAIN_SECONDS = 6.0
"""The same when the kernels are found on the disk or were made by this process."""

FOLDER = "TORCHINDUCTOR_CACHE_DIR"
"""The variable by which PyTorch is told where it keeps compiled kernels."""

_known: set[str] = set()
_lock = threading.Lock()


def pays(steps: int, saved: float, key: str) -> bool:
    """Whether ``steps`` times ``saved`` seconds are more than compiling costs.

    Args:
        key: of what is compiled; :func:`remember` has been called with it where that is known to be quick
    """
    return steps * saved > (AGAIN_SECONDS if known(key) else FIRST_SECONDS)


def known(key: str) -> bool:
    """Whether it was compiled before, by this process or into the folder on disk."""
    return key in _known or _marker(key).is_file()


def remember(key: str) -> None:
    """Notes that it has been compiled, on disk too where that can be written."""
    with _lock:
        _known.add(key)
        try:
            _marker(key).parent.mkdir(parents=True, exist_ok=True)
            _marker(key).touch()
        except OSError as error:
            logger.debug("%s cannot be written: %s", _marker(key), error)


def keep_on_disk() -> None:
    """Lets PyTorch keep what it compiles beside the plugin's own files and not in a temporary folder, unless the user
    has chosen a place or it cannot be written."""
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ.setdefault(FOLDER, str(folder))


def _folder():
    home = os.path.expanduser(os.environ.get("ELFS_HOME") or "~/.fiftyone/elfs")
    return Path(os.environ.get(FOLDER) or Path(home) / "compiled")


def _marker(key):
    digest = hashlib.sha256(f"{key} {torch.__version__}".encode()).hexdigest()[:16]
    return _folder() / f"elfs-{digest}.compiled"
