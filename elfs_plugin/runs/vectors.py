"""Embeddings of large runs: two files in the run's folder, the vectors and the ids they belong to.

The record names the pair that belongs to its results, so a new pair is written beside an older one, which goes when the
record has changed.
"""

import contextlib
import re
from pathlib import Path

import numpy as np

from ..checkpoints import fingerprint
from ..files import whole_file

LARGE = 200_000
"""Above this many vectors they are kept in such files instead of a field."""

_NAME = re.compile(r"embedding(s|_ids)(-[0-9a-f]{12})?\.npy")


def paths(folder, token):
    """The files of vectors and of ids. ``token`` is the record's ``vectors``: None for a run of an older
    version, empty for one that keeps its vectors in a field."""
    end = "" if token is None else f"-{token}"
    return Path(folder, f"embeddings{end}.npy"), Path(folder, f"embedding_ids{end}.npy")


def has_file(folder, token):
    return all(path.is_file() for path in paths(folder, token))


def save(folder, ids, vectors):
    """Writes M vectors (M, D) with their ids. Returns the token of the pair."""
    token = fingerprint(np.array(ids), vectors)[:12]  # the same vectors have the same files
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path, array in zip(paths(folder, token), (vectors, np.array(ids, dtype="<U24"))):
        with whole_file(path, flush=True) as file:
            np.save(file, array)
    return token


def load(folder, token):
    """(M, D) memory-mapped vectors, and their M ids (str array)."""
    vectors, ids = paths(folder, token)
    return np.load(vectors, mmap_mode="r"), np.load(ids)


def remove_others(folder, token):
    """Removes the pairs that do not belong to the record any more."""
    kept = set(paths(folder, token))
    for name in ("embeddings*.npy", "embedding_ids*.npy"):
        for path in Path(folder).glob(name):
            if _NAME.fullmatch(path.name) and path not in kept:
                with contextlib.suppress(OSError):
                    path.unlink()
