"""Files for any labelling tool: a list that a spreadsheet opens, a folder of images, COCO.

Each part is a file or a folder of its own, named after the part, so that several annotators do not write into one.
They are exports like others (:mod:`...export_placing`): whole or not there, and what somebody else wrote, a list that
annotators have begun to fill in among it, is never replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ....contracts import Progress
from ....errors import ElfsError, InvalidInput
from ....suggestions import did_you_mean
from ....validation import shown
from ...export_placing import place
from ...export_receipt import read_receipt, receipt_path, strangers
from ...export_target import check_media, check_target
from ...fiftyone_types import Dataset
from ...reading import by_id
from ..file_batches import FORMATS, LABELS, MANIFEST, Batch, write_batch
from ..label_files import FIELD, Known, read_labels, read_manifest
from ..state import SentPart
from .base import Backend, Option, Returned, Sending, Standing

_INSIDE = {"images": MANIFEST, "coco": LABELS}
"""Which file of a folder holds the labels."""


class Files(Backend):
    """Writes a part into a folder and reads the labels from it that somebody has filled in."""

    name = "files"
    title = "Files: a list, a folder of images, COCO"
    listed = 40
    people = True
    options = (
        Option("path", "Folder", description="Absolute path; each part is a file or a folder in it", required=True),
        Option("format", "Format", default="csv", description="; ".join(f"{k}: {v}" for k, v in FORMATS.items())),
        Option("overwrite", "Replace earlier files of ELFS that nobody has changed", bool, False),
        Option(
            FIELD,
            "Labels",
            description="Where the filled file is, if not where it was written: a CSV or COCO JSON file",
        ),
        Option("skip_word", "Word for skipped images", default="skip"),
    )

    def check(self, dataset: Dataset, options: Mapping[str, Any]) -> None:
        """See :meth:`Backend.check`; where each part will be is looked at when it is sent."""
        _format(options)
        _skip_word(options)
        check_target(_folder(options) / f".elfs-{os.getpid()}", "csv")

    def send(self, sending: Sending, progress: Progress) -> dict[str, Any]:
        """See :meth:`Backend.send`. What an interrupted attempt has written is kept as it is, filled in or not.

        Returns:
            ``path``, ``format``, ``exported`` and ``missing`` (samples), ``missing_list``, ``deleted``, ``kept``
        """
        options, format = sending.options, _format(sending.options)
        word = _skip_word(options)
        if word.casefold() in (name.casefold() for name in sending.classes):
            raise InvalidInput(f"'{word}' is one of the classes. Choose another word for skipped images.", "skip_word")
        paths = _paths(sending.dataset, sending.ids)
        if not paths:
            raise InvalidInput(f"None of the {len(sending.ids):,} images is in the dataset any more.", "path")
        target = _folder(options) / _file_name(sending.part, format)
        about = {
            "dataset": str(sending.dataset._doc.id),
            "part": sending.part.key,
            "content": _content(sending, format),
        }
        earlier = _earlier(target, about)
        if earlier is None:
            own = _is_untouched_attempt(target, about)
            earlier = _write(sending, paths, target, about, own or bool(options.get("overwrite")), progress)
        progress(1.0, str(target))
        return {"format": format, "path": str(target), "deleted": len(sending.ids) - len(paths), **earlier}

    def take(self, dataset: Dataset, part: SentPart, ids: Sequence[str], options: Mapping[str, Any]) -> Returned:
        """See :meth:`Backend.take`."""
        target, format = _sent(part)
        folder = None if format == "csv" else target
        copies = read_manifest(folder / MANIFEST) if folder else {}
        known = Known({**dict.fromkeys(ids), **_paths(dataset, ids)}, copies, str(target))
        return _sorted_out(read_labels(_labels_path(target, format, options), known), _skip_word(options).casefold())

    def standing(
        self, dataset: Dataset, part: SentPart, ids: Sequence[str], options: Mapping[str, Any]
    ) -> list[Standing]:
        """See :meth:`Backend.standing`."""
        found = self.take(dataset, part, ids, options)
        done = len(found.labels) + len(found.skipped) + len(found.doubled)
        return [Standing(part.annotator or part.key, done, len(ids))]


def _format(options):
    format = options.get("format") or "csv"
    if not isinstance(format, str) or format not in FORMATS:
        known = ", ".join(FORMATS)
        raise InvalidInput(
            f"Unknown format {shown(format)}. Use one of: {known}.{did_you_mean(format, FORMATS)}", "format"
        )
    return format


def _skip_word(options):
    word = options.get("skip_word", "skip")
    if not isinstance(word, str) or not word.strip():
        raise InvalidInput("Give a word that annotators write for images that they skip, such as 'skip'.", "skip_word")
    return word.strip()


def _folder(options):
    path = options.get("path")
    if not isinstance(path, (str, os.PathLike)) or not os.path.isabs(os.path.expanduser(path)):
        raise InvalidInput("Give the absolute path of a folder to write to.", "path")
    if Path(path).suffix.lower() in (".csv", ".json"):
        raise InvalidInput(f"{path} looks like a file. Give a folder: each part becomes a file in it.", "path")
    return Path(path).expanduser()


def _file_name(part, format):
    return re.sub(r"[^\w.-]", "_", part.key) + (".csv" if format == "csv" else "")


def _paths(dataset, ids):
    """{sample id: path} of those that are in the dataset, in the order of the ids."""
    found = by_id(dataset, ids, "filepath")
    return {i: found[i] for i in dict.fromkeys(ids) if i in found}


def _content(sending, format):
    """What tells an attempt that was interrupted from one to send something else."""
    said = [format, list(sending.ids), list(sending.classes), sorted((sending.prelabels or {}).items())]
    return hashlib.sha256(json.dumps(said).encode("ascii")).hexdigest()[:32]


def _earlier(target, about):
    """What an earlier attempt has written, from its receipt, if it is still there."""
    receipt = read_receipt(receipt_path(target)) or {}
    if os.path.lexists(target) and all(receipt.get(name) == value for name, value in about.items()):
        return {name: receipt.get(name) for name in ("exported", "missing")} | {"missing_list": None, "kept": None}
    return None


def _is_untouched_attempt(target, about):
    """Whether the target is of another attempt to send the same part, and nobody has changed a folder since. (A list
    that was changed :func:`check_target` refuses.)"""
    receipt = read_receipt(receipt_path(target)) or {}
    same = all(receipt.get(name) == about[name] for name in ("dataset", "part"))
    return same and (not target.is_dir() or not strangers(target, receipt))


def _write(sending, paths, target, about, overwrite, progress):
    format = _format(sending.options)
    target = check_target(target, format, overwrite=overwrite)
    check_media(sending.dataset, target, format)
    batch = Batch(paths, sending.classes, sending.prelabels or {}, progress)
    about = dict(about)

    def write(new):
        count, missing = write_batch(batch, format, new)
        about.update(exported=count, missing=len(paths) - count)  # read when the writer is done
        return count, missing

    placed = place(
        target,
        list(paths.items()),
        write,
        as_list=format == "csv",
        overwrite=overwrite,
        about=about,
        field="path",
    )
    return {
        "exported": placed.exported,
        "missing": len(placed.missing),
        "missing_list": placed.missing_list,
        "kept": placed.kept,
    }


def _sent(part):
    target, format = part.receipt.get("path"), part.receipt.get("format")
    if not target or format not in FORMATS:
        raise ElfsError(f"The part '{part.key}' was not sent to files. Send it first.")
    return Path(target), format


def _sorted_out(said, skip_word):
    """What comes back, of (samples, word) for each label."""
    found = Returned(strangers=sum(not ids for ids, _ in said))
    words: dict[str, dict[str, bool]] = {}
    for ids, word in said:
        for i in ids:
            words.setdefault(i, {})[word] = word.casefold() == skip_word
    for i, of in words.items():
        if all(of.values()):
            found.skipped.add(i)
        elif len(of) > 1:
            found.doubled[i] = list(of)
        else:
            found.labels[i] = next(iter(of))
    return found


def _labels_path(target, format, options):
    given = options.get(FIELD)
    if not given:
        return target if format == "csv" else target / _INSIDE[format]
    if not isinstance(given, (str, os.PathLike)) or not os.path.isabs(os.path.expanduser(given)):
        raise InvalidInput("Give the absolute path of the file with the labels.", FIELD)
    path = Path(given).expanduser()
    if not path.is_dir():
        return path
    inside = [path / target.name] if format == "csv" else [path / target.name / _INSIDE[format], path / _INSIDE[format]]
    return next((place for place in inside if place.is_file()), inside[-1])
