"""Values of many samples from the database: some thousand at a time, or by ids in queries of a bounded size.

A query that lists ids may have no more than MongoDB's 16 MB, some 700,000 of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ..contracts import Array, Floats
from . import fields
from .fiftyone_types import Collection, Dataset

AT_ONCE = 10_000
"""Samples whose values are held as Python's objects."""

ASKED = 50_000
"""Ids in a query."""

MOST_LISTED = 500_000
"""Ids that a view can list: a query, and a saved view, is at most 16 MB."""


def streamed(collection: Collection, paths: Sequence[str]) -> Iterator[tuple[list[str], list[list[Any]]]]:
    """Yields (ids, a list of values for each path as MongoDB keeps them) of :data:`AT_ONCE` samples after the other, in
    the order of the collection. Memory does not grow with the number of samples."""
    stored = {f"v{at}": f"${collection._handle_db_field(path)}" for at, path in enumerate(paths)}
    pipeline = collection._pipeline(post_pipeline=[{"$project": stored}])
    documents = collection._dataset._sample_collection.aggregate(pipeline, allowDiskUse=True)
    with documents:
        while some := list(islice(documents, AT_ONCE)):
            yield [str(one["_id"]) for one in some], [[one.get(name) for one in some] for name in stored]


def numbers(collection: Collection, paths: Sequence[str]) -> tuple[Array, dict[str, Floats]]:
    """Ids (N,) ``S24`` in order, and {path: (N,) float64} with NaN for what is not there."""
    ids: list[Array] = [np.empty(0, dtype="S24")]
    columns: dict[str, list[Floats]] = {path: [np.empty(0)] for path in paths}
    for some, values in streamed(collection, paths):
        ids.append(np.array(some, dtype="S24"))
        for path, column in zip(paths, values):
            columns[path].append(np.array(column, dtype=np.float64))
    together = np.concatenate(ids)
    order = np.argsort(together, kind="stable")
    return together[order], {path: np.concatenate(column)[order] for path, column in columns.items()}


def places(known: Array, wanted: Array) -> Array:
    """(M,) int64 the place of each of M ids among N distinct ones that are in order, -1 for those that are not there;
    both ``S24``."""
    if not len(known):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.searchsorted(known, wanted)
    at[at == len(known)] = 0
    return np.where(known[at] == wanted, at, -1)


def by_id(dataset: Dataset, ids: Iterable[str], path: str, *, raw: bool = False) -> dict[str, Any]:
    """{id: value} of those of the samples that exist, asked for in queries of a bounded size; ``raw``: as MongoDB keeps
    them."""
    found: dict[str, Any] = {}
    view, wanted = fields.writable(dataset), list(ids)
    for start in range(0, len(wanted), ASKED):
        some, values = view.select(wanted[start : start + ASKED]).values(["id", path], _raw=raw)
        found.update(zip(map(str, some), values))
    return found
