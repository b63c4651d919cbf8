"""Finished stages on disk, so that a job that died resumes from the last one."""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)


def fingerprint(*parts):
    """A hex digest of arrays, strings, numbers and JSON-like structures: equal inputs, equal digest."""
    digest = hashlib.sha256()
    for item in parts:
        if isinstance(item, np.ndarray) and item.dtype != object:
            digest.update(f"{item.dtype.str}{item.shape}".encode())
            digest.update(np.ascontiguousarray(item).data)
        else:
            item = item.tolist() if isinstance(item, np.ndarray) else item  # str() of an array leaves out its middle
            digest.update(json.dumps(item, sort_keys=True, default=str).encode())
        digest.update(b"\0")
    return digest.hexdigest()


class StageStore:
    """Keeps the arrays of each finished stage in a folder, under the fingerprint of what they were made from.

    With ``folder=None`` nothing is kept. A stage is written to a temporary file that is then renamed, so a crash leaves
    either the whole stage or none of it.
    """

    def __init__(self, folder=None):
        self._folder = Path(folder) if folder is not None else None

    def load(self, stage, key):
        """The arrays of a stage as a dict, or None when it is absent, of another fingerprint, or unreadable."""
        if self._folder is None:
            return None
        path = self._folder / f"{stage}.npz"
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                if str(file["fingerprint"]) != key:
                    return None
                return {name: file[name] for name in file.files if name != "fingerprint"}
        except MemoryError:
            raise
        except Exception as error:  # a damaged archive raises nearly anything, zipfile.BadZipFile among others
            logger.warning("%s cannot be read (%s); the stage is computed again.", path, error)
            return None

    def save(self, stage, key, arrays):
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{stage}.partial"
        try:
            with open(partial, "wb") as file:
                np.savez(file, fingerprint=np.array(key), **arrays)
            os.replace(partial, self._folder / f"{stage}.npz")
        finally:
            partial.unlink(missing_ok=True)

    def clear(self):
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
