"""Which samples a run scored, kept in the database, so that one that has lost its values is not taken for deleted.

At most fifteen bytes for each sample, beside the jobs in FiftyOne's execution store, which goes with the dataset.
"""

import base64
import zlib
from collections.abc import Iterable

import numpy as np
from bson import ObjectId

from . import jobs
from .fiftyone_types import Dataset

MOST = 15_000_000
"""Characters that fit into one document of MongoDB: some four million ids, or one million that were drawn at random.
Those of larger runs are kept in several."""


def save(dataset: Dataset, key: str, version: str, ids: Iterable[str]) -> None:
    """Keeps the ids of the scored samples for the ranking ``version``."""
    packed = zlib.compress(b"".join(ObjectId(i).binary for i in sorted(ids)), 6)
    text = base64.b85encode(packed).decode()
    forget(dataset, key)
    store = jobs.store(dataset)
    starts = range(0, len(text), MOST)
    for number, start in enumerate(starts[1:], 1):
        store.set(_name(key, number), {"version": version, "ids": text[start : start + MOST]})
    # The first one counts, so it comes last.
    store.set(_name(key), {"version": version, "ids": text[:MOST], "parts": len(starts)})


def load(dataset: Dataset, key: str, version: str) -> list[str] | None:
    """The ids (list of str) that were scored for a ranking, or None when they are not known."""
    store = jobs.store(dataset)
    first = store.get(_name(key)) or {}
    parts = [first, *(store.get(_name(key, number)) or {} for number in range(1, first.get("parts", 1)))]
    if any(part.get("version") != version for part in parts):
        return None
    text = "".join(part["ids"] for part in parts)
    raw = np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype=np.uint8).reshape(-1, 12)
    return [row.tobytes().hex() for row in raw]


def forget(dataset: Dataset, key: str) -> None:
    store = jobs.store(dataset)
    store.delete(_name(key))  # it says how many parts there are, so it goes first
    for name in store.list_keys():
        if name.startswith(f"{_name(key)}."):
            store.delete(name)


def _name(key, number=0):
    return f"ids_{key}.{number}" if number else f"ids_{key}"
