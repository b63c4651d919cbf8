"""A part of a round written for a labelling tool that takes files: a list, a folder of images, COCO."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...contracts import Progress
from ...encoders.images import ImageError, image_header
from ...progress import silent
from ..export_copies import Copies, common_folder, unreadable
from ..export_placing import write_rows

LIST_COLUMNS = ("id", "filepath", "prelabel", "label")
MANIFEST_COLUMNS = ("file", "id", "order", "prelabel", "label")
IMAGES, MANIFEST, LABELS, PRELABELS = "images", "manifest.csv", "labels.json", "prelabels.json"

FORMATS = {
    "csv": "CSV list: id, absolute path, suggestion, and a column for the label",
    "images": f"Folder of images with {MANIFEST}, in which the labels are filled in",
    "coco": f"COCO: folder of images with {LABELS}",
}

Written = tuple[int, dict[str, str]]
"""How many samples, and the paths that could not be read with the reasons."""


@dataclass(frozen=True)
class Batch:
    """``paths`` maps sample ids, in the order of labelling, to their files; ``prelabels`` some ids to classes."""

    paths: Mapping[str, str]
    classes: Sequence[str] = ()
    prelabels: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = silent


def write_batch(batch: Batch, format: str, target: Path) -> Written:
    """Writes a batch to a new file (``"csv"``) or folder."""
    return {"csv": _write_list, "images": _write_images, "coco": _write_coco}[format](batch, target)


def _write_list(batch, target):
    missing = {path: reason for path in dict.fromkeys(batch.paths.values()) if (reason := unreadable(path))}
    rows = [(i, path, batch.prelabels.get(i), None) for i, path in batch.paths.items() if path not in missing]
    write_rows(target, LIST_COLUMNS, rows)
    return len(rows), missing


def _write_images(batch, folder):
    folder.mkdir()
    names, missing = _copy(batch, folder)
    _write_manifest(batch, names, folder)
    return len(names), missing


def _write_coco(batch, folder):
    """Suggestions are in a file of their own: what is in ``annotations`` any tool takes for truth."""
    folder.mkdir()
    sizes, strange = {}, {}
    for path in dict.fromkeys(batch.paths.values()):
        try:
            _, *sizes[path] = image_header(path)
        except ImageError as error:
            strange[path] = str(error)
    left = {i: path for i, path in batch.paths.items() if path in sizes}
    names, missing = _copy(Batch(left, progress=batch.progress), folder)
    _write_manifest(batch, names, folder)
    numbers = {i: number for number, i in enumerate(names, 1)}
    images = [
        {
            "id": number,
            "file_name": names[i],
            "width": sizes[left[i]][0],
            "height": sizes[left[i]][1],
            "sample_id": i,
        }
        for i, number in numbers.items()
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(batch.classes, 1)]
    info = {"description": "Images to be labelled, in this order", "images": IMAGES}
    _write_json(folder / LABELS, info=info, images=images, annotations=[], categories=categories)
    if batch.prelabels:
        found = [
            {"image_id": number, "file_name": names[i], "sample_id": i, "category": batch.prelabels[i]}
            for i, number in numbers.items()
            if i in batch.prelabels
        ]
        _write_json(folder / PRELABELS, info={"description": "Suggestions. Nobody has looked at them"}, prelabels=found)
    return len(names), {**missing, **strange}


def _copy(batch, folder):
    """({sample id: its copy's name below the folder of images}, {path: why it could not be read})."""
    (folder / IMAGES).mkdir()
    copies = Copies(folder / IMAGES, common_folder(batch.paths.values()) if batch.paths else None)
    names = {}
    for done, (i, path) in enumerate(batch.paths.items(), 1):
        name = copies.copy(path)
        if name is not None:
            names[i] = name
        batch.progress(done / len(batch.paths), f"{done:,} of {len(batch.paths):,} images")
    return names, copies.missing


def _write_manifest(batch, names, folder):
    rows = [
        (f"{IMAGES}/{name}", i, number, batch.prelabels.get(i), None)
        for number, (i, name) in enumerate(names.items(), 1)
    ]
    write_rows(folder / MANIFEST, MANIFEST_COLUMNS, rows)


def _write_json(path, **content):
    with open(path, "x", encoding="ascii") as file:  # escapes keep names that are no Unicode
        json.dump(content, file, indent=1)
