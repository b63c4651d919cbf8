"""What a run writes on samples: one nested field ``<key>``, and a vector field.

Values are not written here but handed as :class:`Column` to :mod:`.journal`, which writes all that belongs together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fiftyone as fo
import numpy as np
from bson import ObjectId
from fiftyone.core.odm.utils import create_field

from ..contracts import Floats, Integers, Vectors
from ..errors import InvalidInput, NameTaken
from ..pruning.scores import STORED
from ..pruning.zones import ZONES
from .fiftyone_types import Collection, Dataset, Query

if TYPE_CHECKING:
    from ..proxy.dynamics import Dynamics

PATHS = {
    "pseudo_labels": ("pseudo_label", "agreement"),
    "scores": (*STORED, "rank"),
    "selection": ("zone",),
    "rounds": ("status", "round", "turn", "source", "prelabel"),
}
"""Stage of the record -> the sub-fields it writes; rounds are no stage, and no stage clears theirs."""

SCORES = STORED
"""The scores that are written on samples and can be ranked by."""

_NAMES = tuple(name for stage in PATHS.values() for name in stage)
KINDS: dict[str, dict[str, Any]] = {
    "pseudo_label": {"ftype": fo.EmbeddedDocumentField, "embedded_doc_type": fo.Classification},
    "rank": {"ftype": fo.IntField},
    "zone": {"ftype": fo.StringField},
    "status": {"ftype": fo.StringField},
    "round": {"ftype": fo.IntField},
    "turn": {"ftype": fo.IntField},
    "source": {"ftype": fo.StringField},
    "prelabel": {"ftype": fo.EmbeddedDocumentField, "embedded_doc_type": fo.Classification},
}
_MARK = {"written_by": "@elfs/coreset"}
"""In the ``info`` of a field that ELFS declares. It goes with the field to clones, merges and imports."""


Index = list[list[Any]]
"""Pairs of a path and a direction, as a record can hold them."""


@dataclass(frozen=True)
class Column:
    """Values of one path of the samples ``ids``.

    ``encode(rows)``, of an (M,) int array, gives those of ``ids[rows]`` as MongoDB keeps them, a list with None for no
    value. ``field_of_user`` says that the path is a field that the user has named for labels.
    """

    path: str
    ids: Sequence[str]
    encode: Callable[[Integers], list[Any]]
    field_of_user: bool = False


def writable(dataset: Dataset) -> Collection:
    """The collection through which every sample can be written by id (grouped datasets need all slices)."""
    if dataset.media_type == fo.core.media.GROUP:
        return dataset.select_group_slices(_allow_mixed=True)
    return dataset


def is_left_behind(dataset: Dataset, field: str) -> bool:
    """Whether a field of the dataset is of an ELFS run that is not there: the field came with a clone, a merge or an
    import, which run records do not, or the record was deleted alone."""
    found = dataset.get_field(field)
    if found is None:
        return False
    if is_marked(dataset, field):
        return True
    # Earlier versions left no mark: told by what the nested field holds, or by the name beside such a one.
    if isinstance(found, fo.VectorField):
        key = field.removesuffix("_embeddings")
        return key != field and _looks_like_a_run(dataset.get_field(key))
    return _looks_like_a_run(found)


def is_marked(dataset: Dataset, field: str) -> bool:
    """Whether the field is there and ELFS declared it."""
    found = dataset.get_field(field)
    return found is not None and (found.info or {}).get("written_by") == _MARK["written_by"]


def mark(dataset: Dataset, field: str) -> None:
    """Marks a field that an earlier version, which left no marks, has written."""
    found = dataset.get_field(field)
    if isinstance(found, (fo.VectorField, fo.EmbeddedDocumentField)) and not is_marked(dataset, field):
        found.info = {**(found.info or {}), **_MARK}
        found.save()


def _looks_like_a_run(found):
    if not isinstance(found, fo.EmbeddedDocumentField) or found.document_type is not fo.DynamicEmbeddedDocument:
        return False
    return {"pseudo_label", "agreement"} <= set(found.get_field_schema())


def check_not_read_only(dataset: Dataset, field: str) -> None:
    """Refuses to change or delete a field that is read-only itself, or of which a part is.

    Raises:
        InvalidInput: which names it and says how it is made writable
    """
    inside: dict[str, Any] = getattr(dataset.get_field(field), "get_field_schema", dict)()
    for path in (field, *(f"{field}.{name}" for name in inside)):
        found = dataset.get_field(path)
        if found is not None and found.read_only:
            raise InvalidInput(
                f"The field '{path}' is read-only. To change it, get it with field = dataset.get_field('{path}') and "
                "set field.read_only = False; field.save()."
            )


def declare_group(dataset: Dataset, key: str, names: Iterable[str], owned: bool) -> None:
    """Declares the nested field ``key`` and those of its sub-fields that are missing.

    Raises:
        NameTaken: when a field of that name exists that ELFS did not write, and ``owned`` is False
    """
    known = dataset.get_field(key)
    if known is not None and not owned and not is_left_behind(dataset, key):
        raise NameTaken(
            f"The dataset already has a field '{key}' that ELFS did not write. Choose another run key.", "key"
        )
    missing = [name for name in names if not dataset.has_sample_field(f"{key}.{name}")]
    if known is not None and not missing:
        return
    # All at once: FiftyOne reads the dataset anew after each call.
    inside = [create_field(name, **KINDS.get(name, {"ftype": fo.FloatField})) for name in missing]
    new: dict[str, Any] = {"description": f"Results of the ELFS run '{key}'", "info": dict(_MARK)}
    dataset.add_sample_field(
        key,
        fo.EmbeddedDocumentField,
        embedded_doc_type=fo.DynamicEmbeddedDocument,
        fields=inside,
        **({} if known is not None else new),
    )


def declare_vectors(dataset: Dataset, key: str, field: str) -> None:
    """Declares a field for embeddings unless it is there."""
    if not dataset.has_sample_field(field):
        dataset.add_sample_field(
            field, fo.VectorField, description=f"Embeddings of the ELFS run '{key}'", info=dict(_MARK)
        )


def declare_labels(dataset: Dataset, field: str) -> None:
    """Declares a field for the labels of annotators unless it is there. It is the user's: it has no mark, and no run
    deletes it."""
    if not dataset.has_sample_field(field):
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)


def delete_group(dataset: Dataset, key: str) -> list[str]:
    """Deletes what a run has written in its nested field, and the field with it unless somebody else has added to it.
    A field that somebody else has put in its place stays. Returns what was deleted."""
    found = dataset.get_field(key)
    if found is None or not is_left_behind(dataset, key):
        return []
    drop_indexes(dataset, key)
    inside = set(found.get_field_schema()) if isinstance(found, fo.EmbeddedDocumentField) else set()
    if inside <= set(_NAMES):
        dataset.delete_sample_field(key)
        return [key]
    paths = [f"{key}.{name}" for name in _NAMES if name in inside]
    if paths:
        dataset.delete_sample_fields(paths)
    return paths


def label_columns(
    key: str,
    ids: Sequence[str],
    labels: Integers,
    confidence: Floats,
    agreement: Floats | None = None,
    names: Sequence[str] | None = None,
) -> list[Column]:
    """``<key>.pseudo_label`` with its confidence, and ``<key>.agreement``, the share of heads that agree.

    ``names[l]`` is the name of the label l, "cluster l" by default.
    """
    labels, confidence = np.asarray(labels), np.asarray(confidence, dtype=np.float64)
    called = names or [f"cluster {label}" for label in range(int(labels.max(initial=-1)) + 1)]

    def encode(rows):
        return [
            {"_id": ObjectId(), "_cls": "Classification", "tags": [], "label": called[label], "confidence": share}
            for label, share in zip(labels[rows].tolist(), confidence[rows].tolist())
        ]

    found = [Column(f"{key}.pseudo_label", ids, encode)]
    return found if agreement is None else [*found, _floats(f"{key}.agreement", ids, agreement)]


def class_column(path: str, labels: Mapping[str, str | None], field_of_user: bool = False) -> Column:
    """One class for each sample, ``labels`` {id: class}, None: no value."""
    ids, values = list(labels), list(labels.values())

    def encode(rows):
        wanted = (values[row] for row in rows.tolist())
        return [label and {"_id": ObjectId(), "_cls": "Classification", "tags": [], "label": label} for label in wanted]

    return Column(path, ids, encode, field_of_user)


def value_column(path: str, values: Mapping[str, str | int | None]) -> Column:
    """Texts or whole numbers, ``values`` {id: value}, None: no value."""
    found = list(values.values())
    return Column(path, list(values), lambda rows: [found[row] for row in rows.tolist()])


def _floats(path, ids, values):
    values = np.asarray(values, dtype=np.float64)
    # NaN, which alone differs from itself: no value
    return Column(path, ids, lambda rows: [value if value == value else None for value in values[rows].tolist()])


def score_columns(key: str, ids: Sequence[str], dynamics: Dynamics, rank: Integers) -> list[Column]:
    """``<key>.aum`` and the other scores of a :class:`~..proxy.dynamics.Dynamics`, and ``<key>.rank``."""
    return [*(_floats(f"{key}.{name}", ids, getattr(dynamics, name)) for name in SCORES), rank_column(key, ids, rank)]


def rank_column(key: str, ids: Sequence[str], rank: Integers) -> Column:
    ranks = np.asarray(rank)
    return Column(f"{key}.rank", ids, lambda rows: ranks[rows].tolist())


def zone_column(key: str, ranked: Column, hard: int, coreset: int) -> Column:
    """``<key>.zone`` of the samples of a :func:`rank_column`, of whose N ranks the first ``hard`` are too hard and the
    next ``coreset`` are the coreset."""
    cuts = [hard, hard + coreset]

    def encode(rows):
        return [ZONES[zone] for zone in np.searchsorted(cuts, ranked.encode(rows), side="right").tolist()]

    return Column(f"{key}.zone", ranked.ids, encode)


def vector_column(field: str, ids: Sequence[str], vectors: Vectors) -> Column:
    """The (M, D) vectors of M samples, as a vector field keeps them."""
    kind = fo.VectorField()
    return Column(field, ids, lambda rows: [kind.to_mongo(np.asarray(vectors[row])) for row in rows.tolist()])


def ensure_indexes(dataset: Dataset, key: str) -> None:
    rank, label, turn = _indexes(key)
    dataset.create_index(rank)
    if dataset.has_sample_field(f"{key}.pseudo_label"):
        dataset.create_index(label)
    if dataset.has_sample_field(f"{key}.turn"):
        dataset.create_index(turn)


def indexes_on(dataset: Dataset, key: str, names: Iterable[str]) -> list[Index]:
    """Those of the run's indexes that are there as it makes them, and hold one of the sub-fields ``names``."""
    paths = tuple(f"{key}.{name}" for name in names)
    found = [dict(details) for details in dataset._sample_collection.index_information().values()]
    there = [[list(part) for part in details.pop("key")] for details in found if set(details) == {"v", "key"}]
    return [index for index in _indexes(key) if index in there and any(path.startswith(paths) for path, _ in index)]


def _indexes(key):
    """Of ranks; of the ranks in a cluster; of the turns in a round."""
    return (
        [[f"{key}.rank", 1]],
        [[f"{key}.pseudo_label.label", 1], [f"{key}.rank", 1]],
        [[f"{key}.round", 1], [f"{key}.turn", 1]],
    )


def drop_indexes(dataset: Dataset, key: str) -> None:
    """Drops every index on the run's field."""
    for name, details in dataset.get_index_information().items():
        paths = [path for path, _ in details["key"]]
        if any(path == key or path.startswith(f"{key}.") for path in paths):
            dataset.drop_index(name)


def untag(dataset: Dataset, tag: str) -> None:
    """Takes a tag from all samples."""
    change_all(dataset, {"tags": tag}, {"$pull": {"tags": tag}})


def change_all(dataset: Dataset, wanted: Query, change: Mapping[str, Any], comment: str | None = None) -> None:
    """Changes all samples that match a MongoDB filter in one command."""
    change = {**change, "$currentDate": {"last_modified_at": True}}
    dataset._sample_collection.update_many(wanted, change, comment=comment)


def read_labels(collection: Collection, key: str) -> tuple[list[str], Integers, list[str]]:
    """(ids, labels (M,) int, names) of the samples that have a pseudo-label, in the order of their ids; equal names are
    one label."""
    ids, names = collection.values(["id", f"{key}.pseudo_label.label"])
    known = {i: name for i, name in sorted(zip(ids, names), key=_by_id) if name is not None}
    names = natural(set(known.values()))
    place = {name: index for index, name in enumerate(names)}
    return list(known), np.array([place[name] for name in known.values()], dtype=np.int32), names


def natural(names: Iterable[str]) -> list[str]:
    """Names in the order a reader expects: cluster 2 before cluster 10."""
    parts = {
        name: [(not p.isdecimal(), int(p) if p.isdecimal() else p) for p in re.split(r"(\d+)", name)] for name in names
    }
    return sorted(parts, key=parts.__getitem__)


def read_scores(collection: Collection, key: str, score: str) -> tuple[list[str], Floats]:
    """ids, in order, and (M,) values of a score, of the samples that have one."""
    ids, values = collection.values(["id", f"{key}.{score}"])
    known = {i: v for i, v in sorted(zip(ids, values), key=_by_id) if v is not None}
    return list(known), np.array(list(known.values()), dtype=np.float64)


def _by_id(pair):
    return pair[0]
