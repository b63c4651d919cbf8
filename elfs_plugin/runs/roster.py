"""Which samples a run scored, kept in the database, so that one that has lost its values is not taken for deleted.

About three bytes for each sample, beside the jobs in FiftyOne's execution store, which goes with the dataset.
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
Larger runs keep no roster."""


def save(dataset: Dataset, key: str, version: str, ids: Iterable[str]) -> None:
    """Keeps the ids of the scored samples for the ranking ``version``."""
    packed = zlib.compress(b"".join(ObjectId(i).binary for i in sorted(ids)), 6)
    text = base64.b85encode(packed).decode()
    if len(text) > MOST:
        forget(dataset, key)
    else:
        jobs.store(dataset).set(_name(key), {"version": version, "ids": text})


def load(dataset: Dataset, key: str, version: str) -> list[str] | None:
    """The ids (list of str) that were scored for a ranking, or None when they are not known."""
    found = jobs.store(dataset).get(_name(key))
    if not found or found.get("version") != version:
        return None
    raw = np.frombuffer(zlib.decompress(base64.b85decode(found["ids"])), dtype=np.uint8).reshape(-1, 12)
    return [row.tobytes().hex() for row in raw]


def forget(dataset: Dataset, key: str) -> None:
    jobs.store(dataset).delete(_name(key))


def _name(key):
    return f"ids_{key}"
