"""Values on their way into a dataset: collections of their own, with the values of many samples in each document.

Fewer documents are quicker to insert and to count. The database takes them apart again, see :mod:`.carry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import bson
import numpy as np
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from fiftyone.core import odm

from ..contracts import Integers, Verify
from .fiftyone_types import Dataset

if TYPE_CHECKING:
    from .fields import Column

_TOGETHER = 100
"""Samples in a document. They are encoded at once: so many objects that live on would set Python's garbage collector to
work, for longer than everything else takes."""

_SENT = 20
"""Documents that are sent at once."""

_BYTES = 8_000_000
"""Most in a document, far below MongoDB's 16 MB: of long vectors fewer are together."""

_ID_ALONE = b"\x16\x00\x00\x00\x07_id\x00"
"""How a document begins that holds an ObjectId as its ``_id``, and nothing else."""

Row = dict[str, Any]


def of_columns(key: str, ids: Sequence[str], columns: Mapping[str, Column | None]) -> Iterator[list[Row]]:
    """The values of all columns for the samples ``ids``, lists of rows that go into one document.

    A row is the sample's ``_id``, an entry ``key`` that holds the sub-fields of the run, and one for each other path.
    A sample that a column does not have, and all samples of a path without a column, get None.
    """
    places = _places(ids, columns.values())
    own = [path.removeprefix(f"{key}.") for path in columns if path.startswith(f"{key}.")]
    others = [path for path in columns if not path.startswith(f"{key}.")]
    for start in range(0, len(ids), _TOGETHER):
        some = ids[start : start + _TOGETHER]
        part = slice(start, start + len(some))
        values = {path: _values(column, places, part) for path, column in columns.items()}
        rows: list[Row] = [{"_id": ObjectId(i)} for i in some]
        if own:
            for row, one in zip(rows, zip(*(values[f"{key}.{name}"] for name in own))):
                row[key] = dict(zip(own, one))
        for path in others:
            for row, value in zip(rows, values[path]):
                row[path] = value
        yield rows


def of_flags(on: Sequence[str], off: Sequence[str]) -> Iterator[list[Row]]:
    """Rows of the samples' ``_id`` and whether they are ``on``, as :func:`of_columns` yields its rows."""
    for ids, is_on in ((on, True), (off, False)):
        for start in range(0, len(ids), _TOGETHER):
            yield [{"_id": ObjectId(i), "on": is_on} for i in ids[start : start + _TOGETHER]]


def insert_rows(
    name: str,
    together: Iterable[list[Row]],
    total: int,
    verify: Verify,
    progress: Callable[[float], None] = lambda fraction: None,
) -> int:
    """Inserts the rows of ``total`` samples, those of a list in one document: ``rows``. The documents are numbered from
    0. Returns how many there are.

    ``verify`` and ``progress`` are called each time that some have been sent; what they raise ends it.
    """
    documents: list[RawBSONDocument] = []
    count = made = 0
    for rows in together:
        documents += _encoded(rows, count + len(documents))
        made += len(rows)
        if len(documents) >= _SENT or made >= total:
            insert(name, documents)
            count += len(documents)
            documents = []
            verify()
            progress(made / total)
    return count


def insert(name: str, documents: Sequence[Mapping[str, Any]]) -> None:
    """Inserts documents into a collection of FiftyOne's database."""
    odm.get_db_conn()[name].insert_many(documents, ordered=False)


def ids_of(dataset: Dataset, columns: Iterable[Column | None], emptied: Iterable[str]) -> list[str]:
    """Ids of all samples in the columns, and of those that have a value in a path of ``emptied`` to lose."""
    lists = {id(column.ids): column.ids for column in columns if column is not None}
    known = dict.fromkeys(i for ids in lists.values() for i in ids)
    paths = [path for path in emptied if dataset.has_sample_field(path)]
    if paths:
        wanted = {"$or": [{path: {"$ne": None}} for path in paths]}
        for batch in dataset._sample_collection.find_raw_batches(wanted, {"_id": 1}):
            known.update(dict.fromkeys(_ids_in(batch)))
    return list(known)


def _ids_in(batch):
    """The ids in documents that hold nothing else, which then are all of one form: 9 bytes, the 12 of the id, a last
    one."""
    if len(batch) % 22 or not batch.startswith(_ID_ALONE) or batch.count(_ID_ALONE) != len(batch) // 22:
        return [str(document["_id"]) for document in bson.decode_all(batch)]
    text = np.frombuffer(batch, dtype=np.uint8).reshape(-1, 22)[:, 9:21].tobytes().hex()
    return [text[start : start + 24] for start in range(0, len(text), 24)]


def _places(ids, columns):
    """For each list of ids (by identity) the row that each of ``ids`` has in it, (N,) int, -1: none."""
    lists = {id(column.ids): column.ids for column in columns if column is not None}
    return {name: _rows_in(ids, found) for name, found in lists.items()}


def _rows_in(ids, found):
    rows = np.full(len(ids), -1, dtype=np.int64)
    if len(found) <= len(ids) and list(ids[: len(found)]) == list(found):  # the first list begins them
        rows[: len(found)] = np.arange(len(found))
        return rows
    place = {i: row for row, i in enumerate(found)}
    rows[:] = [place.get(i, -1) for i in ids]
    return rows


def _values(column, places, part):
    if column is None:
        return [None] * (part.stop - part.start)
    rows: Integers = places[id(column.ids)][part]
    there = rows >= 0
    if there.all():
        return column.encode(rows)
    values = iter(column.encode(rows[there]))
    return [next(values) if ok else None for ok in there.tolist()]


def _encoded(rows, number):
    """Documents of these rows, the first with that number."""
    data = bson.encode({"_id": number, "rows": rows})
    if len(data) <= _BYTES or len(rows) == 1:
        return [RawBSONDocument(data)]
    half = len(rows) // 2
    first = _encoded(rows[:half], number)
    return first + _encoded(rows[half:], number + len(first))
