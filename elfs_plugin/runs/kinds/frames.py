"""Rows that are frames of videos."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
from bson import ObjectId
from fiftyone import ViewField as F
from fiftyone.core.odm import get_field_kwargs

from ...errors import InvalidInput, NameTaken
from ...files import whole_file
from ...selectors.parameter import Parameter
from ...video import Length, UnreadableVideo, frame_rate, sampled_frames
from .. import jobs
from ..companions import rows_of
from ..fiftyone_types import Collection, Dataset
from . import source_fields
from .base import Found, Making, RowKind, Written
from .clips import clips_around
from .merging import merge

logger = logging.getLogger(__name__)

_STATE = "frames.json"
_QUALITY = 95
_OWN = ("id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "parent_id", "frame_number", "time")
_BARE = [
    "_id",
    "made_by_elfs",
    "_sample_id",
    "_dataset_id",
    "frame_number",
    "filepath",
    "created_at",
    "last_modified_at",
]
"""What a frame of a source has in which nobody has written anything."""
_MADE = "made_by_elfs"
"""A flag on the frames that were added to a source; one of a user may be as empty as they are."""


class Kind(RowKind):
    """Frames, taken at a rate. Frames of the source that have an image file are used as they are; of other videos the
    frames are written as JPEG files into the folder of the companion."""

    name = "frames"
    parameters = (
        Parameter("fps", "number", 1.0, "Frames in a second. 0: every frame", low=0, high=1000),
        Parameter("longest_side", "integer", None, "Pixels. Empty: as large as the video", low=16, high=16384),
    )
    options = (Parameter("clips", "number", None, "Seconds before and after each chosen frame", low=0, high=86_400),)
    fields = {"frame_number": {"ftype": fo.IntField}, "time": {"ftype": fo.FloatField}}

    def check_source(self, parents: Collection, settings: Mapping[str, Any]) -> None:
        if parents._root_dataset.media_type != fo.core.media.VIDEO:
            raise InvalidInput(
                f"Frames are made of videos; the dataset '{parents._root_dataset.name}' holds "
                f"{parents._root_dataset.media_type or 'nothing'}.",
                "kind",
            )
        if not parents.limit(1).values("id"):
            raise InvalidInput("The view has no videos. Clear the view's filters, or add videos to the dataset.")

    def find(self, making: Making) -> Iterator[Found]:
        ids, paths, rates = making.parents.values(["id", "filepath", "metadata.frame_rate"])
        frames = 0
        for at, (parent, path, rate) in enumerate(zip(ids, paths, rates)):
            making.tell(at / len(ids), f"{at:,} of {len(ids):,} videos, {frames:,} frames")
            try:
                found = Found(parent, _rows(making, parent, path, rate))
            except UnreadableVideo as error:
                found = Found(parent, [], str(error), unread=True)
            frames += len(found.rows)
            yield found

    def carry(self, making: Making) -> None:
        source, companion = making.source, making.companion
        names = _to_carry(source, companion)
        if not names:
            return
        with jobs.changing(companion):
            companion._reload(hard=True)
            for name, kind in names.items():
                if not companion.has_sample_field(name):
                    info = {**(kind.info or {}), "carried_from": str(source._doc.id)}
                    companion.add_sample_field(name, **{**get_field_kwargs(kind), "info": info})
        paths = [companion.get_field(name).db_field or name for name in names]
        there = {"$or": [{path: {"$ne": None}} for path in paths]}
        same = [{"$eq": ["$_parent_id", "$$parent"]}, {"$eq": ["$frame_number", "$$number"]}]
        row = {
            "from": companion._sample_collection_name,
            "let": {"parent": "$_sample_id", "number": "$frame_number"},
            "pipeline": [{"$match": {"$expr": {"$and": same}}}, {"$project": {"_id": 1}}],
            "as": "row",
        }
        taken = {"_id": "$row._id", **dict.fromkeys(paths, 1)}
        changes = {path: {"$ifNull": [f"${path}", f"$$new.{path}"]} for path in paths}
        merge(
            source._frame_collection,
            [{"$match": there}, {"$lookup": row}, {"$unwind": "$row"}, {"$project": taken}],
            companion._sample_collection_name,
            ["_id"],
            [{"$set": changes}],
            "discard",
        )

    def forget(self, folder: Path, parents: Iterable[str]) -> None:
        for parent in parents:
            for place in (folder / parent, _new(folder / parent), _old(folder / parent)):
                shutil.rmtree(place, ignore_errors=True)

    def check_free(self, source: Dataset, companion: Dataset, written: Written) -> None:
        source_fields.check_no_run(source, written.key)
        for path in (f"frames.{written.key}", written.key, f"{written.key}_clips"):
            source_fields.check_free(source, path, companion)
        if source.has_frame_field(_MADE) and _MADE not in source_fields.written_on_frames(source):
            raise NameTaken(
                f"The dataset '{source.name}' has a frame field '{_MADE}', the name under which ELFS notes the frames "
                "that it adds. Rename the field."
            )
        for name in written.views:
            source_fields.check_view_free(source, written, name)

    def view_names(self, written: Written) -> list[str]:
        clips = [f"{written.tag} clips"] if written.options.get("clips") is not None else []
        return [written.tag, *clips]

    def write(self, source: Dataset, companion: Dataset, written: Written) -> None:
        key, names = written.key, source_fields.group_of(companion, written.key)
        clips = written.options.get("clips")
        tags = {"tags": {"ftype": fo.ListField, "subfield": fo.StringField}}
        with jobs.changing(source):
            source._reload(hard=True)
            inside = {**source_fields.kinds_of(names), **tags}
            source_fields.declare(source, f"frames.{key}", companion, inside)
            source_fields.declare(source, key, companion, {"chosen": {"ftype": fo.IntField}})
            if source.get_field("frames.filepath") is None:
                source_fields.declare_one(source, "frames.filepath", companion, ftype=fo.StringField)
            if source.get_field(f"frames.{_MADE}") is None:
                source_fields.declare_one(source, f"frames.{_MADE}", companion, ftype=fo.BooleanField)
            if clips is not None:
                kind = {"ftype": fo.EmbeddedDocumentField, "embedded_doc_type": fo.TemporalDetections}
                source_fields.declare_one(source, f"{key}_clips", companion, **kind)
            else:
                source_fields.delete(source, f"{key}_clips", companion)
        parents = [ObjectId(i) for i in source.values("id")]
        _write_frames(source, companion, written, names, parents)
        _write_counts(source, companion, written, parents)
        source._reload(hard=True)
        if clips is not None:
            _write_clips(source, companion, written, clips)
        self._save_views(source, companion, written, clips)

    def _save_views(self, source, companion, written, clips):
        source_fields.delete_views(source, written, keep=self.view_names(written))
        text = f"the frames with the tag {written.tag} of '{companion.name}'"
        # Matched first: FiftyOne then copies only the chosen frames into the dataset behind the view.
        chosen = source.match_frames(F(f"{written.key}.tags").contains(written.tag)).to_frames()
        source_fields.save_view(source, written, written.tag, chosen, text)
        if clips is not None:
            view = source.to_clips(f"{written.key}_clips")
            name = f"{written.tag} clips"
            source_fields.save_view(source, written, name, view, f"{clips:g} seconds around {text}")

    def remove(self, source: Dataset, companion: Dataset, written: Written, others: Iterable[Written]) -> None:
        key = written.key
        source_fields.delete_views(source, written)
        with jobs.changing(source):
            source._reload(hard=True)
            names = [*source_fields.RESULTS, "tags"]
            source_fields.delete(source, f"frames.{key}", companion, names)
            source_fields.delete(source, key, companion, ["chosen"])
            source_fields.delete(source, f"{key}_clips", companion)
            if not list(others):
                _remove_frames(source, companion)
        source._reload(hard=True)


def _rows(making, parent, path, rate):
    """Documents of the frames of one video.

    Raises:
        UnreadableVideo
    """
    folder = making.folder / parent
    if _state(_new(folder)) is not None:  # killed before it took its place
        _take_place(folder)
    known = _state(folder)
    if _is_of(known, path, making.settings):
        return [_row(folder, *row) for row in known["rows"]]
    docs = making.source._frame_collection.find({"_sample_id": ObjectId(parent)}, {"frame_number": 1, "filepath": 1})
    docs = {doc["frame_number"]: doc for doc in docs}
    with_image = {
        number: doc
        for number, doc in sorted(docs.items())
        if doc.get("filepath") and not Path(doc["filepath"]).is_relative_to(making.folder.parent)  # of any companion
    }
    if with_image:
        return _existing(with_image, path, rate, making.settings["fps"] or None)
    ids = {number: doc["_id"] for number, doc in docs.items()}
    if known is not None and known.get("size") == _size(path):  # the same video, copied or touched
        ids = {number: ObjectId(row) for row, number, _ in known["rows"]} | ids
    elif known is None:  # its files are lost: the rows keep what they have
        ids = _ids_of_rows(making.companion, parent) | ids
    return _decoded(folder, path, ids, making)


def _ids_of_rows(companion, parent):
    rows = companion._sample_collection.find({"_parent_id": ObjectId(parent)}, {"frame_number": 1})
    return {row["frame_number"]: row["_id"] for row in rows}


def _existing(docs, path, rate, fps):
    rate = rate or frame_rate(path)
    if not rate:
        raise UnreadableVideo("it says nothing about the times of its frames")
    rows, wanted = [], 0.0
    for number, doc in docs.items():
        time = (number - 1) / rate
        if fps is not None:
            if time + 0.001 < wanted:
                continue
            wanted = (math.floor((time + 0.001) * fps + 1e-9) + 1) / fps
        rows.append({"_id": doc["_id"], "filepath": doc["filepath"], "frame_number": number, "time": time})
    return rows


def _decoded(folder, path, ids, making):
    """Decodes beside what is there, which stays until all of the new is written: the video may turn out to be
    unreadable, or the job be killed."""
    new = _new(folder)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        rows = _written(new, path, ids, making)
    except UnreadableVideo:
        shutil.rmtree(new, ignore_errors=True)
        raise
    _take_place(folder)
    return [_row(folder, *row) for row in rows]


def _written(folder, path, ids, making):
    import cv2

    stamp, length, rows = _stamp(path), Length(), []
    side = making.settings["longest_side"]
    for frame in sampled_frames(path, making.settings["fps"] or None, length):
        image = frame.image
        if side is not None and max(image.shape[:2]) > side:
            scale = side / max(image.shape[:2])
            size = [max(1, round(n * scale)) for n in image.shape[1::-1]]
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if not ok:
            continue
        (folder / f"{frame.number:06}.jpg").write_bytes(data.tobytes())
        rows.append([str(ids.get(frame.number) or ObjectId()), frame.number, frame.time])
        making.check()
    if not rows:
        raise UnreadableVideo("it has no frames that can be read")
    state = {**stamp, "settings": making.settings, "rows": rows}
    state.update(frames=length.frames, seconds=length.seconds)
    with whole_file(folder / _STATE) as file:
        file.write(json.dumps(state).encode())
    return rows


def _new(folder):
    return folder.with_name(f"{folder.name}.new")


def _old(folder):
    return folder.with_name(f"{folder.name}.old")


def _take_place(folder):
    """Puts the new folder, which is whole, in the place of the one there is."""
    shutil.rmtree(_old(folder), ignore_errors=True)
    if folder.exists():
        folder.rename(_old(folder))
    _new(folder).rename(folder)
    shutil.rmtree(_old(folder), ignore_errors=True)


def _row(folder, row_id, number, time):
    path = str(folder / f"{number:06}.jpg")
    return {"_id": ObjectId(row_id), "filepath": path, "frame_number": number, "time": time}


def _state(folder):
    try:
        found = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) and "rows" in found else None
    except (OSError, ValueError):  # none yet, or damaged: the video is read again
        return None


def _is_of(state, path, settings):
    return state is not None and state.get("settings") == settings and _stamp(path).items() <= state.items()


def _stamp(path):
    try:
        found = os.stat(path)
    except OSError:
        return {"size": -1}
    return {"size": found.st_size, "changed": found.st_mtime_ns}


def _size(path):
    return _stamp(path)["size"]


def _to_carry(source, companion):
    """name -> field, of the frame fields of the source that the rows are to have."""
    found = {}
    for name, kind in (source.get_frame_field_schema() or {}).items():
        if name in _OWN or "written_back_by" in (kind.info or {}):
            continue
        there = companion.get_field(name)
        if there is None or (there.info or {}).get("carried_from") == str(source._doc.id):
            found[name] = kind
    return found


def _write_frames(source, companion, written, names, parents):
    """Results of all rows that have any, and the path of each where the source has no image of the frame."""
    key, frames = written.key, source._frame_collection
    parts = [f"{key}.{name}" for name in (*names, "tags")]
    frames.update_many({key: {"$ne": None}}, {"$unset": dict.fromkeys(parts, "")})
    tags = {"$setIntersection": [{"$ifNull": ["$tags", []]}, {"$literal": written.tags}]}
    values = {name: f"${key}.{name}" for name in names}
    taken = {
        "_sample_id": "$_parent_id",
        "_dataset_id": {"$literal": source._doc.id},
        "frame_number": 1,
        "filepath": 1,
        _MADE: {"$literal": True},
        "created_at": "$$NOW",
        "last_modified_at": "$$NOW",
        key: {**values, "tags": tags},
    }
    changes = {
        key: {"$mergeObjects": [f"${key}", f"$$new.{key}"]},
        "filepath": {"$ifNull": ["$filepath", "$$new.filepath"]},
        "last_modified_at": "$$NOW",
    }
    merge(
        companion._sample_collection,
        [{"$match": {"_parent_id": {"$in": parents}, key: {"$ne": None}}}, {"$project": taken}],
        source._frame_collection_name,
        ["_sample_id", "frame_number"],
        [{"$set": changes}],
        "insert",
    )


def _write_counts(source, companion, written, parents):
    """On each video that has rows, how many of them are chosen."""
    path = f"{written.key}.chosen"
    source._sample_collection.update_many({path: {"$ne": None}}, {"$unset": {path: ""}})
    chosen = {"$cond": [{"$in": [{"$literal": written.tag}, {"$ifNull": ["$tags", []]}]}, 1, 0]}
    stages: list[dict[str, Any]] = [
        {"$match": {"_parent_id": {"$in": parents}}},
        {"$group": {"_id": "$_parent_id", "chosen": {"$sum": chosen}}},
    ]
    value = {"$mergeObjects": [f"${written.key}", {"chosen": "$$new.chosen"}]}
    change = [{"$set": {written.key: value, "last_modified_at": "$$NOW"}}]
    merge(companion._sample_collection, stages, source._sample_collection_name, ["_id"], change, "discard")


def _write_clips(source, companion, written, seconds):
    found = clips_of(companion, written.tag, seconds)
    labels = {
        parent: fo.TemporalDetections(
            detections=[fo.TemporalDetection(label=written.tag, support=list(clip)) for clip in clips]
        )
        for parent, clips in found.items()
    }
    there = source.values("id")
    source.set_values(f"{written.key}_clips", {i: labels.get(i) for i in there}, key_field="id")


def clips_of(companion: Dataset, tag: str, seconds: float) -> dict[str, list[tuple[int, int]]]:
    """Video id -> [(first, last frame number)] of the clips from ``seconds`` before to ``seconds`` after each frame
    with a tag; clips that meet are one."""
    parents, numbers, times, tags, paths = companion.values(["parent_id", "frame_number", "time", "tags", "filepath"])
    rows: dict[str, list[int]] = {}
    for row, parent in enumerate(parents):
        if parent is None:  # a sample that a user has added
            continue
        rows.setdefault(parent, []).append(row)
    found = {}
    for parent, of_video in rows.items():
        chosen = np.array([tag in tags[row] for row in of_video])
        if not chosen.any():
            continue
        state = _state(Path(paths[of_video[0]]).parent) or {}
        end = (state.get("frames"), state.get("seconds"))
        number = np.array([numbers[row] for row in of_video])
        time = np.array([times[row] for row in of_video])
        found[parent] = clips_around(number, time, chosen, seconds, end)
    return found


def _remove_frames(source, companion):
    """Takes the paths of files of companions, and the frames that hold nothing else, from the source."""
    # Of whatever companion: of two that wrote to the same frame, the last one to go takes the path along.
    folders = str(Path(rows_of(companion).folder).parent)
    ours = {"filepath": {"$regex": "^" + re.escape(folders + os.sep)}}
    entries = {"$filter": {"input": {"$objectToArray": "$$ROOT"}, "cond": {"$gt": ["$$this.v", None]}}}
    bare = {"$setIsSubset": [{"$map": {"input": entries, "in": "$$this.k"}}, _BARE]}
    frames = source._frame_collection
    frames.delete_many({_MADE: True, "$expr": bare})
    # Another companion may have written to the same frames, whose view needs the paths.
    written = source_fields.written_on_frames(source)
    others = {name: None for name in written if name not in ("filepath", _MADE)}
    frames.update_many({**ours, **others}, {"$unset": {"filepath": "", _MADE: ""}})
    for name in ("filepath", _MADE):
        if name in written and frames.find_one({name: {"$ne": None}}, {"_id": 1}) is None:
            source.delete_frame_field(name)
