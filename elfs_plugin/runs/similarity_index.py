"""FiftyOne's similarity indexes as sources of vectors, whatever back end keeps them: found by their brain keys.

Nothing is imported and no server is asked; that is for :mod:`.index_vectors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timezone
from typing import TYPE_CHECKING, Any

from fiftyone.core import odm

from ..errors import InvalidInput
from ..suggestions import did_you_mean
from ..validation import shown
from .fiftyone_types import Dataset

if TYPE_CHECKING:
    from .record import RunRecord

_IN_A_FIELD = ("sklearn", "mongodb")
"""Back ends that keep no copy of vectors that are in a field of the dataset."""


@dataclass(frozen=True)
class Index:
    """A similarity index as FiftyOne's database knows it. ``field``: the field its vectors are in, or None where the
    back end keeps them; ``patches_field``: the labels that it is an index of, or None for whole images; ``made``: when,
    in seconds since 1970, which tells it from another one of the same key; ``backend``: the name of its class."""

    key: str
    method: str
    field: str | None = None
    patches_field: str | None = None
    made: float | None = None
    backend: str = ""


def similarity_indexes(dataset: Dataset) -> dict[str, Index]:
    """{brain key: :class:`Index`} of a dataset, those of labels too.

    Read from the database alone: FiftyOne's own list imports each back end, scikit-learn for one.
    """
    found = odm.get_db_conn().datasets.find_one({"_id": dataset._doc.id}, {"brain_methods": 1}) or {}
    documents = odm.RunDocument.objects(id__in=list((found.get("brain_methods") or {}).values()))
    return {document.key: _index_of(document) for document in documents if _is_similarity(document.config)}


def _is_similarity(config):
    kind = config.get("type")
    # Earlier versions of FiftyOne kept no type.
    return kind == "similarity" or (kind is None and "Similarity" in str(config.get("cls")))


def _index_of(document):
    config = document.config
    method = str(config.get("method"))
    field = config.get("embeddings_field") if method in _IN_A_FIELD else None
    made = document.timestamp and document.timestamp.replace(tzinfo=timezone.utc).timestamp()
    return Index(document.key, method, field, config.get("patches_field"), made, str(config.get("cls") or ""))


def find_index(dataset: Dataset, key: Any) -> Index:
    """The :class:`Index` of a brain key, or of FiftyOne's own object.

    Raises:
        InvalidInput: for a key that is none, with those there are; for an index of labels, or one whose field is gone
    """
    key = getattr(key, "key", key)
    have = similarity_indexes(dataset)
    index = have.get(key) if isinstance(key, str) else None
    if index is None:
        names = ", ".join(sorted(have)) or "none"
        raise InvalidInput(
            f"The dataset has no similarity index {shown(key)} (similarity indexes: {names}).{did_you_mean(key, have)}",
            "similarity_index",
        )
    if index.patches_field:
        raise InvalidInput(
            f"The similarity index '{key}' holds vectors of the labels in '{index.patches_field}', and ELFS selects "
            "whole images. Make one of images: fiftyone.brain.compute_similarity without patches_field.",
            "similarity_index",
        )
    if index.field and not dataset.has_sample_field(index.field):
        raise InvalidInput(
            f"The vectors of the similarity index '{key}' were in the field '{index.field}', which the dataset does "
            "not have any more. Make the index again.",
            "similarity_index",
        )
    return index


def index_of_run(dataset: Dataset, run: RunRecord) -> Index | None:
    """The index that a run (its record) takes its vectors from; None where it takes none.

    Raises:
        InvalidInput: when it has been deleted or renamed since
    """
    key = run.similarity_index
    if key is None:
        return None
    if key not in similarity_indexes(dataset):
        raise InvalidInput(
            f"The similarity index '{key}', from which the run '{run.key}' takes its vectors, has been deleted or "
            "renamed. Make it again under this name, or compute pseudo-labels from other vectors.",
            "key",
        )
    return find_index(dataset, key)
