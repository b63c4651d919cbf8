"""Vectors out of a similarity index, by the ids of the samples.

Back ends answer in an order of their own and leave out ids they do not know; some fail at them, and some read all they
have at each question. So they are asked for some ids at a time, and what they answer is put in its place by id.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import scratch
from ..contracts import Progress, Vectors
from ..errors import InvalidInput, is_out_of_memory
from ..progress import silent
from ..text import first_line
from . import own
from .fiftyone_types import Dataset
from .similarity_index import Index

if TYPE_CHECKING:
    from ..encoders.embed import Embeddings

_READS_ALL = ("sklearn", "lancedb", "mosaic")
"""Back ends that go through all their vectors for whatever ids they are asked."""

_ASKED, _ASKED_OF_THESE = 5_000, 100_000
"""Ids in a question, and in one to a back end that reads all."""

_MOST_FAILURES = 50
"""Questions that may fail before an index counts as unreadable; each failure halves what is asked."""

_PACKAGES = {
    "elasticsearch": "elasticsearch",
    "lancedb": "lancedb",
    "milvus": "pymilvus",
    "mosaic": "databricks-ai-search",
    "pgvector": "psycopg2-binary",
    "pinecone": "pinecone",
    "qdrant": "qdrant-client",
    "redis": "redis",
}
"""What pip calls the packages of the back ends."""

_SEVERAL = "several vectors in the similarity index"


def read_index(
    dataset: Dataset, index: Index, ids: Sequence[str], *, dimensions: int | None = None, progress: Progress = silent
) -> Embeddings:
    """The vectors of N samples in an index that a back end keeps.

    Args:
        dimensions: D; by default the most common length in the first answer

    Returns:
        :class:`~..encoders.embed.Embeddings`: what is missing or no usable vector is excluded and listed

    Raises:
        InvalidInput: when the back end does not answer or its package is missing, and when no vector is usable
    """
    from ..encoders.embed import Embeddings

    reader = _Reader(index, _opened(dataset, index))
    step = _ASKED_OF_THESE if index.method in _READS_ALL else _ASKED
    rows = _Rows(len(ids), dimensions)
    for start in range(0, len(ids), step):
        some = ids[start : start + step]
        rows.add(*reader.read(some))
        done = start + len(some)
        progress(done / len(ids), f"{done:,} of {len(ids):,} images of the similarity index '{index.key}'")
    if not rows.filled:
        raise InvalidInput(_none_usable(index, rows.failures), "similarity_index")
    return Embeddings(rows.vectors[: rows.filled], rows.ok, rows.failures)


def _none_usable(index, failures):
    if failures and set(failures.values()) != {_absent(index)}:
        first = next(reason for reason in failures.values() if reason != _absent(index))
        return f"The similarity index '{index.key}' holds no usable vector of these images. The first: {first}."
    return (
        f"The similarity index '{index.key}' holds none of these {len(failures):,} images: it is of another view or "
        "dataset, or they were added since. Add them to it, or take other vectors."
    )


def _absent(index):
    return f"not in the similarity index '{index.key}'"


class _Rows:
    """The usable vectors of N samples in one matrix, which is made when their length is known."""

    vectors: Vectors

    def __init__(self, n: int, dimensions: int | None) -> None:
        self.ok, self.filled = np.zeros(n, dtype=bool), 0
        self.failures: dict[int, str] = {}
        self._n, self._dimensions, self._at = n, dimensions, 0

    def add(self, values: Sequence[Any], reasons: Sequence[str]) -> None:
        """Adds the next samples: of each its vector, or None and the reason."""
        from ..encoders.embed import flat, vector_fault

        arrays = [None if value is None else flat(value) for value in values]
        self._make(arrays)
        for array, reason in zip(arrays, reasons):
            fault = reason if array is None else vector_fault(array, self._dimensions)
            if fault:
                self.failures[self._at] = fault
            else:
                self.vectors[self.filled] = array
                self.ok[self._at] = True
                self.filled += 1
            self._at += 1

    def _make(self, arrays):
        lengths = [array.size for array in arrays if array is not None and array.size]
        if self._dimensions is None and lengths:
            self._dimensions = int(np.bincount(lengths).argmax())
        if self._dimensions is not None and not hasattr(self, "vectors"):
            self.vectors = scratch.empty((self._n, self._dimensions))


class _Reader:
    """Asks an index for vectors by ids."""

    def __init__(self, index: Index, opened: Any) -> None:
        self._index, self._opened, self._failures = index, opened, 0
        known = opened.sample_ids  # where the back end can say; scikit-learn's fails when it knows none of those asked
        self._known = None if known is None else set(map(str, known))

    def read(self, ids: Sequence[str]) -> tuple[list[Any], list[str]]:
        """Of each sample its vector, or None; and why it has none."""
        found: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        self._ask([i for i in ids if self._known is None or i in self._known], found, reasons)
        absent = _absent(self._index)
        return [None if i in reasons else found.get(i) for i in ids], [reasons.get(i, absent) for i in ids]

    def _ask(self, ids, found, reasons):
        """Asks for all ids at once; where that fails, for a half of them at a time, so that one costs no other."""
        if not ids:
            return
        try:
            vectors, answered, _ = self._opened.get_embeddings(sample_ids=ids, allow_missing=True, warn_missing=False)
        except Exception as error:  # each back end has its own
            self._failures += 1
            if is_out_of_memory(error) or _is_connection(error) or self._failures > _MOST_FAILURES:
                raise _unreadable(self._index, error) from error
            if len(ids) == 1:
                reasons[ids[0]] = f"the similarity index gives no vector ({first_line(error)})"
                return
            half = len(ids) // 2
            self._ask(ids[:half], found, reasons)
            self._ask(ids[half:], found, reasons)
            return
        wanted = set(ids)
        for name, vector in zip(map(str, answered), vectors):
            if name not in wanted:
                continue
            if name in found or _is_several(vector):
                reasons[name] = _SEVERAL
            found[name] = vector


def _is_several(vector):
    """Whether it is no vector but several: rows, or as LanceDB has them, vectors as the members of an array."""
    array = np.asarray(vector)
    return array.ndim > 1 or (array.dtype == object and any(np.ndim(item) for item in array))


def _is_connection(error):
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    return isinstance(error, OSError) or "Connection" in names or "Timeout" in names


def _opened(dataset, index):
    """FiftyOne's object for the index, on a dataset of its own: it may save its configuration, and keeps a view."""
    key, method = index.key, index.method
    try:
        if index.backend:  # FiftyOne would go on with a base class where this cannot be imported
            importlib.import_module(index.backend.rpartition(".")[0])
        found = own.own_dataset(dataset).load_brain_results(key, cache=False, load_view=False)
        empty = found is not None and found.total_index_size == 0
    except Exception as error:  # each back end has its own
        if is_out_of_memory(error):
            raise
        missing = _missing_package(error)
        raise (_without_package(index, missing) if missing else _unreachable(index, error)) from error
    if found is None:
        raise InvalidInput(
            f"The similarity index '{key}' has no results: its computation has not ended. Make it again.",
            "similarity_index",
        )
    if empty:
        raise InvalidInput(
            f"The similarity index '{key}' is empty where FiftyOne looks for it ({method}). {_settings(method)}",
            "similarity_index",
        )
    return found


def _missing_package(error):
    """The ImportError among the causes of an error, or None."""
    while error is not None and not isinstance(error, ImportError):
        error = error.__cause__
    return error


def _without_package(index, error):
    package = _PACKAGES.get(index.method) or error.name or index.method
    return InvalidInput(
        f"The similarity index '{index.key}' is kept by {index.method}, whose Python package is not installed here. "
        f"Install it: pip install {package}.",
        "similarity_index",
    )


def _unreachable(index, error):
    return InvalidInput(
        f"The similarity index '{index.key}' cannot be opened: {index.method} does not answer ({first_line(error)}). "
        f"{_settings(index.method)}",
        "similarity_index",
    )


def _settings(method):
    return (
        "FiftyOne keeps neither addresses nor passwords with a dataset: set those of the back end in its brain "
        f"configuration, or as FIFTYONE_BRAIN_SIMILARITY_{method.upper()}_… in the environment."
    )


def _unreadable(index, error):
    return InvalidInput(
        f"The similarity index '{index.key}' ({index.method}) cannot be read: {first_line(error)}. If the back end is "
        "well, the index may hold several vectors for an image, or have been changed by others: make it again.",
        "similarity_index",
    )
