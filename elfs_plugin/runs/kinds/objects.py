"""Rows that are objects in images: the labels of a field, whoever has found them."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fiftyone as fo
from bson import ObjectId

from ...encoders.images import default_threads, pixel_limit
from ...errors import ElfsError, InvalidInput
from ...files import whole_file
from ...selectors.parameter import Parameter
from ..fiftyone_types import Collection, Dataset
from . import object_fields, object_results
from .base import Found, Making, RowKind, Written
from .crops import Box, box_of, clipped, crops

_CHUNK = 500
"""Images whose labels are in memory at a time."""
_NONE = "it has no objects"
_TWICE = "its id is that of another object"
_UNREADABLE = "its image cannot be read"
LISTED = 1_000
"""Objects left out that a summary names."""


class Kind(RowKind):
    """Objects, each with a picture of what is in its box, a JPEG file in the folder of the companion."""

    name = "objects"
    parameters = (
        Parameter("field", "text", None, "Detections or polylines. Empty: the only such field"),
        Parameter("crop_side", "integer", 224, "Longest side of the pictures of objects, in pixels", low=16, high=4096),
        Parameter("margin", "number", 0.1, "Shown around a box, as a share of its longer side", low=0, high=10),
    )
    options = (
        Parameter("images", "flag", False, "Tag the images of the chosen objects as well, and save a view of them"),
    )
    fields = {
        "bounding_box": {"ftype": fo.ListField, "subfield": fo.FloatField},
        "area": {"ftype": fo.FloatField},
    }

    def settled(self, source: Dataset, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {**settings, "field": settings["field"] or object_fields.only_field(source)}

    def suggested(self, source: Dataset) -> dict[str, list[str]]:
        return {"field": object_fields.fields_of(source)}

    def check_source(self, parents: Collection, settings: Mapping[str, Any]) -> None:
        object_fields.check_field(parents._root_dataset, settings["field"])
        if not parents.limit(1).values("id"):
            raise InvalidInput("The view has no images. Clear the view's filters, or add images to the dataset.")

    def find(self, making: Making) -> Iterator[Found]:
        yield from _Search(making).run()

    def carry(self, making: Making) -> None:
        object_fields.carry(making.source, making.companion, making.settings["field"])
        size = {"$group": {"_id": None, "bytes": {"$sum": "$metadata.size_bytes"}}}
        found = next(iter(making.companion._sample_collection.aggregate([size])), {"bytes": 0})
        making.notes["bytes"] = int(found["bytes"])

    def forget(self, folder: Path, parents: Iterable[str]) -> None:
        for parent in parents:
            shutil.rmtree(folder / parent, ignore_errors=True)

    def check_free(self, source: Dataset, companion: Dataset, written: Written) -> None:
        object_results.check_free(source, companion, written)

    def view_names(self, written: Written) -> list[str]:
        return object_results.view_names(written)

    def write(self, source: Dataset, companion: Dataset, written: Written) -> None:
        object_results.write(source, companion, written)

    def remove(self, source: Dataset, companion: Dataset, written: Written, others: Iterable[Written]) -> None:
        object_results.remove(source, companion, written)


@dataclass
class _Image:
    """What one image of the source has: rows that are there already and stay, and labels that need a picture, ``stale``
    those of them that have a row."""

    parent: str
    path: str
    tags: list[str]
    kept: list[dict[str, Any]]
    wanted: list[tuple[dict[str, Any], Box]]
    stale: frozenset[ObjectId]
    replaced: frozenset[ObjectId]
    labels: int


class _Search:
    """The objects of all images of a :class:`Making`, a few images at a time."""

    def __init__(self, making: Making) -> None:
        self._making = making
        self._field = object_fields.object_field(making.source, making.settings["field"])
        self._seen: set[ObjectId] = set()
        self._excluded: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._ours = object_fields.written_groups(making.source)
        making.notes.update(excluded=self._counts, excluded_objects=self._excluded)

    def run(self) -> Iterator[Found]:
        making = self._making
        ids, shown = making.parents.values(["id", f"{self._field.path}.id"])
        visible = {parent: _listed(labels) for parent, labels in zip(ids, shown)}
        order = list(visible)
        pixel_limit()  # a variable that makes no sense concerns all images
        with ThreadPoolExecutor(default_threads(), thread_name_prefix="crop") as threads:
            done = objects = 0
            for found in self._found(order, visible, threads):
                done += 1
                objects += len(found.rows)
                making.tell(done / len(order), f"{done:,} of {len(order):,} images, {objects:,} objects")
                yield found

    def _found(self, order, visible, threads):
        """In order, while the pictures of the next images are being made."""
        window: deque[tuple[_Image, Future[Any]]] = deque()
        try:
            for start in range(0, len(order), _CHUNK):
                for image in self._read(order[start : start + _CHUNK], visible):
                    window.append((image, threads.submit(self._pictures, image)))
                    if len(window) >= 4 * default_threads():
                        yield self._finished(*window.popleft())
            while window:
                yield self._finished(*window.popleft())
        finally:
            threads.shutdown(wait=True, cancel_futures=True)

    def _read(self, parents, visible):
        """The :class:`_Image` of each parent."""
        making, field = self._making, self._field
        parts = ("_id", "bounding_box", "points")
        shown = {"filepath": 1, "tags": 1, **{f"{key}.tags": 1 for key in self._ours}}
        shown.update({f"{field.path}.{part}": 1 for part in parts})
        wanted = {"_id": {"$in": [ObjectId(parent) for parent in parents]}}
        docs = {str(doc["_id"]): doc for doc in making.source._sample_collection.find(wanted, shown)}
        labels = {parent: field.labels(doc) for parent, doc in docs.items()}
        ids = [label["_id"] for found in labels.values() for label in found]
        rows = making.companion._sample_collection.find(
            {"_id": {"$in": ids}}, {"_parent_id": 1, "bounding_box": 1, "filepath": 1}
        )
        known = {row["_id"]: row for row in rows}
        for parent in parents:
            if parent in docs:  # else it was deleted since
                yield self._image(parent, docs[parent], labels[parent], known, visible[parent])

    def _image(self, parent, doc, labels, known, visible):
        kept, wanted, stale, replaced = [], [], set(), set()
        for label in labels:
            row = known.get(label["_id"])
            if row is None and str(label["_id"]) not in visible:
                continue  # the view does not show it, and it has never been taken
            box = clipped(box_of(label))
            elsewhere = row is not None and row["_parent_id"] != doc["_id"]
            if label["_id"] in self._seen or elsewhere:
                self._leave_out(label, _TWICE)
            elif isinstance(box, str):
                self._leave_out(label, box)
            elif row is not None and row["bounding_box"] == box and Path(row["filepath"]).is_file():
                kept.append({"_id": row["_id"]})
            else:
                wanted.append((label, box))
                if row is not None:
                    stale.add(row["_id"])
                    if row["bounding_box"] != box:
                        replaced.add(row["_id"])
            self._seen.add(label["_id"])
        ours = {tag for key in self._ours for tag in (doc.get(key) or {}).get("tags") or []}
        tags = [tag for tag in doc.get("tags") or [] if tag not in ours]
        stay = frozenset(stale), frozenset(replaced)
        return _Image(parent, doc["filepath"], tags, kept, wanted, *stay, len(labels))

    def _leave_out(self, label, reason):
        self._counts[reason] = self._counts.get(reason, 0) + 1
        if len(self._excluded) < LISTED:
            self._excluded[str(label["_id"])] = reason

    def _pictures(self, image):
        """Rows of the objects that need a picture, or why there is none."""
        if not image.wanted:
            return []
        settings, folder = self._making.settings, self._making.folder / image.parent
        boxes = [box for _, box in image.wanted]
        made = crops(image.path, boxes, settings["crop_side"], settings["margin"])
        if isinstance(made, str):
            return made
        rows = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for (label, box), (data, size) in zip(image.wanted, made):
                path = folder / f"{label['_id']}.jpg"
                with whole_file(path, "wb") as file:
                    file.write(data)
                rows.append(_row(label, box, path, size, len(data), image.tags))
        except OSError as error:
            raise ElfsError(f"Pictures of objects cannot be written into {folder} ({error.strerror}).") from error
        return rows

    def _finished(self, image, future):
        self._making.check()
        made = future.result()
        if isinstance(made, str):
            for label, _ in image.wanted:
                if label["_id"] not in image.stale:
                    self._leave_out(label, _UNREADABLE)
            # Rows whose picture is out of date wait for the next time: the image may be away for a moment only.
            rows = [*image.kept, *({"_id": row} for row in image.stale)]
            told = made if image.stale or not image.kept else None
            return Found(image.parent, rows, told, unread=bool(image.stale))
        rows = [*image.kept, *made]
        _remove_others(self._making.folder / image.parent, rows)
        reason = None if rows else (_NONE if not image.labels else "none of its objects can be used")
        return Found(image.parent, rows, reason, image.replaced)


def _remove_others(folder, rows):
    """Removes pictures of objects that have gone."""
    names = {f"{row['_id']}.jpg" for row in rows}
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.name not in names:
                path.unlink()


def _listed(labels):
    """Ids of the labels that a view shows of one image."""
    return set() if labels is None else {labels} if isinstance(labels, str) else set(labels)


def _row(label, box, path, size, length, tags):
    metadata = {"size_bytes": length, "mime_type": "image/jpeg", "width": size[0], "height": size[1]}
    return {
        "_id": label["_id"],
        "filepath": str(path),
        "tags": tags,
        "metadata": {"_cls": "ImageMetadata", **metadata, "num_channels": 3},
        "bounding_box": box,
        "area": box[2] * box[3],
    }
