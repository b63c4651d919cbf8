"""Datasets of rows: what a row is, and which dataset holds the rows of another one.

ELFS works on datasets of images. Of frames, groups or objects it makes one, the *companion* of their dataset (the
*source*): an ordinary dataset with one sample for each row, under the id that the row has in the source. It says itself
what it is made of, in its ``info``; the source says nothing, so that nothing there can become untrue. A clone of a
companion is an ordinary dataset of images, for it has another id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fiftyone as fo
from bson import ObjectId
from fiftyone.core import odm
from fiftyone.core.patches import PatchesView

from ..errors import InvalidInput
from ..nouns import IMAGE, KINDS, Noun
from .fiftyone_types import Collection, Dataset

INFO = "elfs_rows"
"""The key of :class:`Rows` in the info of a companion."""

MOST_PARENTS = 200_000
"""Parents that a view of rows can name: a view is one document of at most 16 MB."""

_AT_ONCE = 10_000
"""Frames of a video that one query names."""


@dataclass(frozen=True)
class Rows:
    """What a companion is made of: the ``kind`` of its rows, the ``source`` (a dataset id), the ``settings`` of the
    kind, the ``folder`` of files that were made for them, and ``left_out``, reason -> how many parents gave no rows."""

    kind: str
    source: str
    folder: str
    settings: dict[str, Any]
    left_out: dict[str, int]


def rows_of(dataset: Dataset) -> Rows | None:
    """The :class:`Rows` of a companion, None for any other dataset."""
    found = (dataset.info or {}).get(INFO) if dataset is not None else None
    if not isinstance(found, dict) or found.get("companion") != str(dataset._doc.id):
        return None
    if found.get("kind") not in KINDS or not found.get("source"):
        return None
    settings, left_out = found.get("settings"), found.get("left_out")
    folder = str(found.get("folder") or "")
    return Rows(found["kind"], str(found["source"]), folder, dict(settings or {}), _counts(left_out))


def _counts(entries):
    """Reason -> count of the stored list: a reason may hold characters that MongoDB does not take in a name."""
    return {entry["reason"]: entry["count"] for entry in entries or [] if {"reason", "count"} <= set(entry)}


def describe(dataset: Dataset, rows: Rows) -> None:
    """Writes into a dataset that it is a companion. The caller is changing it, see :func:`~.jobs.changing`."""
    left_out = [{"reason": reason, "count": count} for reason, count in rows.left_out.items()]
    dataset.info[INFO] = {
        "companion": str(dataset._doc.id),
        "kind": rows.kind,
        "source": rows.source,
        "folder": rows.folder,
        "settings": rows.settings,
        "left_out": left_out,
    }
    dataset.save()


def noun_of(dataset: Dataset | None) -> Noun:
    """What the samples of a dataset are called."""
    found = rows_of(dataset)
    return IMAGE if found is None else KINDS[found.kind].noun


def source_of(dataset: Dataset) -> Dataset | None:
    """The dataset that a companion's rows come from; None where it is gone, or the dataset is no companion."""
    found = rows_of(dataset)
    return None if found is None else dataset_by_id(found.source)


def dataset_by_id(dataset_id: str) -> Dataset | None:
    """The dataset with that id, whatever its name is by now."""
    wanted = ObjectId(dataset_id) if ObjectId.is_valid(dataset_id) else None
    found = odm.get_db_conn().datasets.find_one({"_id": wanted}, {"name": 1})
    return None if found is None else fo.load_dataset(found["name"])


def companions_of(source: Dataset, kind: str | None = None) -> list[str]:
    """Names of the companions of a dataset, of one kind or of all."""
    wanted: dict[str, Any] = {f"info.{INFO}.source": str(source._doc.id)}
    if kind is not None:
        wanted[f"info.{INFO}.kind"] = kind
    found = odm.get_db_conn().datasets.find(wanted, {"name": 1, f"info.{INFO}.companion": 1})
    return sorted(one["name"] for one in found if one["info"][INFO].get("companion") == str(one["_id"]))


def kind_of(collection: Collection) -> str | None:
    """The kind of rows that a collection stands for which holds no plain images: of a generated view, of videos, of
    groups. None for images, and for what ELFS knows no rows of: groups made by a field, the videos of a slice."""
    if isinstance(collection, PatchesView):
        return "objects"
    dataset = collection._dataset
    of_videos = collection._root_dataset.media_type == fo.core.media.VIDEO
    if getattr(dataset, "_is_frames", False) or getattr(dataset, "_is_clips", False):
        return "frames" if of_videos else None
    if getattr(collection, "_is_generated", False) or getattr(collection, "_is_dynamic_groups", False):
        return None
    if collection.media_type == fo.core.media.GROUP:
        return "groups"
    return "frames" if of_videos and collection.media_type == fo.core.media.VIDEO else None


def offered_kind(collection: Collection) -> str:
    """The kind of rows to make of a collection where none is named."""
    if getattr(collection, "_is_dynamic_groups", False):
        return "groups"
    found = kind_of(collection) or kind_of(collection._root_dataset)
    if found is None:
        found = "objects" if collection._root_dataset.media_type == fo.core.media.IMAGE else "frames"
    return found


def companion_of(collection: Collection) -> Dataset | None:
    """The companion that takes the place of a collection of :func:`kind_of` rows, or None where there is none."""
    kind = kind_of(collection) if collection is not None else None
    if kind is None:
        return None
    names = _fitting(collection, kind)
    return fo.load_dataset(names[0]) if len(names) == 1 else None


def _fitting(collection, kind):
    """Names of the companions that can take the place of a collection: of patches those of the same field."""
    names = companions_of(collection._root_dataset, kind)
    if not isinstance(collection, PatchesView):
        return names
    return [n for n in names if rows_of(fo.load_dataset(n)).settings.get("field") == collection.patches_field]


def resolved(collection: Collection, key: str | None = None) -> Collection:
    """The collection itself, or what takes its place where it holds no plain images: its companion, of a view the rows
    of the view.

    Args:
        key: of the run that is meant, if one is. A dataset that has such a run itself, on one slice of its groups,
            stays as it is

    Raises:
        InvalidInput: saying what makes the companion, or which one to name
    """
    kind = kind_of(collection)
    if kind is None or (key is not None and isinstance(collection, fo.Dataset) and collection.has_run(key)):
        return collection
    companion = companion_of(collection)
    if companion is None:
        raise InvalidInput(_how_to(collection, kind))
    return _rows_in(companion, collection)


def refusal(collection: Collection) -> str:
    """Why ELFS does not work on a collection of :func:`kind_of` rows itself, and what to open or make instead."""
    kind = kind_of(collection)
    companion = companion_of(collection)
    if companion is None:
        return _how_to(collection, kind)
    many = KINDS[kind].noun.many
    return (
        f"The {many} of this dataset are in the dataset '{companion.name}'. Open that one; ELFS works on it."
        f"{_or_slice(collection, kind)}"
    )


def _how_to(collection, kind):
    many, source = KINDS[kind].noun.many, collection._root_dataset
    names = _fitting(collection, kind)
    if names:
        listed = ", ".join(f"'{name}'" for name in names)
        return f"This dataset has several datasets of {many}: {listed}. Open or name one of them."
    which = f" --field {collection.patches_field}" if isinstance(collection, PatchesView) else ""
    return (
        f"ELFS works on images; this view holds {_held(collection)}. Make its {many} a dataset of images first, with "
        f"the operator make_rows (kind {kind}), or python -m elfs_plugin rows {source.name} --kind {kind}{which}."
        f"{_or_slice(collection, kind)}"
    )


def _or_slice(collection, kind):
    if kind != "groups":
        return ""
    media = collection._root_dataset.group_media_types
    slices = ", ".join(sorted(name for name, of in media.items() if of == fo.core.media.IMAGE))
    return f" Or choose one slice: add the stage SelectGroupSlices ({slices or 'none holds images'}) in the view bar."


def _held(collection):
    dataset = collection._dataset
    if getattr(dataset, "_is_frames", False):
        return "frames"
    if getattr(dataset, "_is_clips", False):
        return "clips"
    if isinstance(collection, PatchesView):
        return f"the objects of '{collection.patches_field}'"
    return "groups" if collection.media_type == fo.core.media.GROUP else str(collection.media_type)


def _rows_in(companion, collection):
    if isinstance(collection, fo.Dataset):
        return companion
    if isinstance(collection, PatchesView):
        return _chosen_rows(companion, list(dict.fromkeys(collection.values("id"))), "objects")
    if getattr(collection._dataset, "_is_frames", False):
        return _rows_of_frames(companion, collection)
    if collection.media_type == fo.core.media.GROUP:
        return _of_parents(companion, collection.values(f"{collection._root_dataset.group_field}.id"), "groups")
    parents = collection.values("sample_id" if getattr(collection._dataset, "_is_clips", False) else "id")
    parents = list(dict.fromkeys(parents))
    if len(parents) == collection._root_dataset.count():
        return companion
    return _of_parents(companion, parents, "samples")


def _of_parents(companion, parents, what):
    if len(parents) > MOST_PARENTS:
        raise InvalidInput(
            f"The view names {len(parents):,} of the dataset's {what}; at most {MOST_PARENTS:,} can be named. Use the "
            f"dataset '{companion.name}' and a view of it."
        )
    return companion.match({"_parent_id": {"$in": [ObjectId(i) for i in parents]}})


def _rows_of_frames(companion, collection):
    """By video and number: a row made before the source had a document of its frame has another id."""
    numbers: dict[Any, list[int]] = {}
    for parent, number in zip(*collection.values(["sample_id", "frame_number"])):
        numbers.setdefault(ObjectId(parent), []).append(number)
    rows = companion._sample_collection
    ids = []
    for parent, wanted in numbers.items():
        for at in range(0, len(wanted), _AT_ONCE):
            query = {"_parent_id": parent, "frame_number": {"$in": wanted[at : at + _AT_ONCE]}}
            ids += [str(row["_id"]) for row in rows.find(query, {"_id": 1})]
    if numbers and not ids:
        raise InvalidInput(
            f"None of the frames of the view are rows of '{companion.name}'. Open that dataset, or bring it up to date "
            "with the operator make_rows."
        )
    return _chosen_rows(companion, ids, "frames")


def _chosen_rows(companion, ids, what):
    if len(ids) >= companion.count() and set(ids).issuperset(companion.values("id")):
        return companion
    if len(ids) > MOST_PARENTS:
        raise InvalidInput(
            f"The view names {len(ids):,} {what}; at most {MOST_PARENTS:,} can be named. Use the dataset "
            f"'{companion.name}' and a view of it."
        )
    return companion.select(ids)
