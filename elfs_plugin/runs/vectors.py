"""Embeddings of large runs: two files in the run's folder, the vectors and the ids they belong to.

The record names the pair that belongs to its results, so a new pair is written beside an older one, which goes when the
record has changed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoints import fingerprint
from ..contracts import AnyPath, Array, Mask, Vectors
from ..files import whole_file
from . import fields, index_vectors, samples
from .similarity_index import index_of_run

if TYPE_CHECKING:
    from .run import Run

LARGE = 200_000
"""Above this many vectors they are kept in such files instead of a field."""

_MOST_IN_A_QUERY = 100_000
"""Ids that are asked for in one query; MongoDB takes some 700,000."""

_NAME = re.compile(r"embedding(s|_ids)(-[0-9a-f]{12})?\.npy")


def paths(folder: AnyPath, token: str | None) -> tuple[Path, Path]:
    """The files of vectors and of ids. ``token`` is the record's ``vectors``: None for a run of an older
    version, empty for one that keeps its vectors in a field."""
    end = "" if token is None else f"-{token}"
    return Path(folder, f"embeddings{end}.npy"), Path(folder, f"embedding_ids{end}.npy")


def has_file(folder: AnyPath, token: str | None) -> bool:
    return all(path.is_file() for path in paths(folder, token))


def save(folder: AnyPath, ids: Sequence[str], vectors: Vectors) -> str:
    """Writes M vectors (M, D) with their ids. Returns the token of the pair."""
    token = fingerprint(np.array(ids), vectors)[:12]  # the same vectors have the same files
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path, array in zip(paths(folder, token), (vectors, np.array(ids, dtype="<U24"))):
        with whole_file(path, flush=True) as file:
            np.save(file, array)
    return token


def load(folder: AnyPath, token: str | None) -> tuple[Vectors, Array]:
    """(M, D) memory-mapped vectors, and their M ids (str array)."""
    vectors, ids = paths(folder, token)
    return np.load(vectors, mmap_mode="r"), np.load(ids)


def read(run: Run, ids: Sequence[str]) -> tuple[Vectors, Mask]:
    """The vectors of samples of a :class:`~.run.Run`, from its files, its field or its
    similarity index.

    Returns:
        (K, D) float32 of those of the M ids that have a usable one, in their order; and which have, (M,) bool
    """
    ids = list(ids)
    index = index_of_run(run.dataset, run.record)
    if index is not None and index.field is None:
        embeddings = index_vectors.read_index(run.dataset, index, ids)
        return embeddings.vectors, embeddings.ok
    if has_file(run.folder, run.record.vectors):
        found, stored_ids = load(run.folder, run.record.vectors)
        known = stored_ids.tolist()
    else:
        view = fields.writable(run.dataset)
        few = 2 * len(ids) <= view.count() and len(ids) <= _MOST_IN_A_QUERY
        field = run.record.embeddings_field if index is None else index.field
        read_ids, embeddings = samples.read_vectors(view.select(ids) if few else view, field)
        found, known = embeddings.vectors, [i for i, ok in zip(read_ids.ids, embeddings.ok) if ok]
    place = {i: row for row, i in enumerate(known)}
    rows = np.array([place.get(i, -1) for i in ids], dtype=np.int64)
    return np.asarray(found[rows[rows >= 0]], dtype=np.float32), rows >= 0


def extend(folder: AnyPath, token: str | None, ids: Sequence[str], new: Vectors) -> str:
    """Writes the vectors (Q, D) of further samples together with those of a pair of files. Returns the new token."""
    stored, known = load(folder, token)
    together = np.concatenate([stored[: len(known)], new.astype(stored.dtype)])
    return save(folder, [*known.tolist(), *ids], together)


def remove_others(folder: AnyPath, token: str | None) -> None:
    """Removes the pairs that do not belong to the record any more."""
    kept = set(paths(folder, token))
    for name in ("embeddings*.npy", "embedding_ids*.npy"):
        for path in Path(folder).glob(name):
            if _NAME.fullmatch(path.name) and path not in kept:
                with contextlib.suppress(OSError):
                    path.unlink()
