"""Writing a zone or a coreset of a run to disk for a labelling tool. Nothing that an export did not write is replaced
or removed."""

import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fiftyone.utils.data as foud

from ..contracts import AnyPath
from ..errors import InvalidInput
from ..validation import shown
from .export_copies import Copies, common_folder, unreadable
from .export_placing import place, refuse_missing, write_rows
from .export_receipt import LIST_COLUMNS
from .export_target import check_media, check_target
from .fields import writable
from .fiftyone_types import Collection
from .record import check_there
from .run import Run
from .views import zone_view

EXPORT_FORMATS = {
    "csv": "CSV list: absolute path, id, rank, zone, scores, pseudo-label",
    "images": "Folder of images",
    "fiftyone": "FiftyOne dataset (images and all fields)",
}


def export_coreset(
    collection: Collection,
    key: str = "elfs",
    *,
    path: AnyPath,
    format: str = "csv",
    zone: str = "coreset",
    tag: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes a zone, or what a run has saved under a tag, to disk for a labelling tool, hardest image first.

    The export is made beside ``path`` and moved there when it is whole. Images whose files cannot be read are left out
    and listed beside it, in ``<name>.missing.csv``. A folder gets a receipt beside it, ``.<name>.elfs-export.json``,
    by which a later export knows what it may replace. Text that a spreadsheet could take for a formula has an
    apostrophe before it in lists; :func:`..csv_cells.plain_text` takes it away.

    Args:
        tag: of a coreset that the run has saved, by any method, in place of a zone
        path: absolute; a file for ``"csv"``, else a folder. Folders above it are created
        overwrite: replace an earlier export there: a list of ELFS's, or a folder to which ELFS exported and in which no
            file was added or changed since

    Returns:
        dict: ``path``; ``exported``, the rows of a list, the samples of a dataset, the files of a folder; ``missing``,
        the images left out, and ``missing_list``, the file that names them (or None); ``deleted``, the samples of the
        zone that are no longer in the dataset, or have lost the tag; ``what``, ``"zone"`` or ``"coreset"``;
        ``repeated``, the samples whose file is in the folder already; ``kept``, a folder with files that somebody added
        to the earlier export while it was replaced (or None)

    Raises:
        InvalidInput: for a relative path, a target that ELFS did not write, that holds images of the dataset or cannot
            be written, an unknown format or tag, or a zone without images that can be read
        ElfsError: when there is no room, or the target was written to meanwhile; nothing there is changed then
    """
    dataset = collection._dataset
    run = Run(dataset, key)
    view, saved, name = _tagged(run, tag) if tag else _zone(run, zone)
    if format not in EXPORT_FORMATS:
        raise InvalidInput(f"Unknown format {format!r}. Use one of: {', '.join(EXPORT_FORMATS)}.", "format")
    target = check_target(path, format, overwrite=overwrite)
    ids, paths = view.values(["id", "filepath"])
    deleted = saved - len(ids)
    check_there(dataset, key, "selection")
    _refuse_empty(ids, paths, name, deleted)
    check_media(dataset, target, format)
    write = {"csv": _write_list, "images": _write_images, "fiftyone": _write_dataset}[format]
    as_list = format == "csv"
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    asked = {"tag": tag} if tag else {"zone": zone}
    placed = place(
        target,
        list(zip(ids, paths)),
        lambda new: write(view, key, ids, paths, new),
        as_list=as_list,
        overwrite=overwrite,
        about={} if as_list else {"dataset": dataset.name, "run": key, **asked, "written": now},
        field="zone",
    )
    repeated = len(ids) - len(placed.missing) - placed.exported
    return {
        "path": str(Path(os.fsdecode(path)).expanduser()),
        "exported": placed.exported,
        "missing": len(placed.missing),
        "missing_list": placed.missing_list,
        "deleted": max(deleted, 0),
        "what": "coreset" if tag else "zone",
        "repeated": repeated,
        "kept": placed.kept,
    }


def check_saved(run: Run, tag: str) -> None:
    """Raises :class:`InvalidInput` unless the run has saved a coreset under the tag."""
    saved = run.record.saved
    if tag not in saved:
        known = ", ".join(saved) or "none"
        raise InvalidInput(f"The run '{run.key}' has saved nothing under the tag {shown(tag)} (tags: {known}).", "tag")


def describe(summary: Mapping[str, Any]) -> str:
    """What an export did, in a few sentences."""
    text = f"{summary['exported']:,} images exported to {summary['path']}"
    if summary["repeated"]:
        text += f". {summary['repeated']:,} more samples have the same files"
    if summary["missing"]:
        text += f". {summary['missing']:,} could not be read and were left out: {summary['missing_list']} lists them"
    if summary["deleted"]:
        text += f". {summary['deleted']:,} of the {summary['what']} are no longer in the dataset"
    if summary["kept"]:
        text += f". Files that were added to the earlier export meanwhile are in {summary['kept']}"
    return text


def _zone(run, zone):
    """(the view, how many images it held when it was made, its name)."""
    view = zone_view(run, zone, order="hardest")
    return view, run.stages["selection"][zone], f"zone '{zone}' of the run '{run.key}'"


def _tagged(run, tag):
    """The same of a coreset that was saved under a tag."""
    saved = run.require("scores", "an export").record.saved
    check_saved(run, tag)
    view = writable(run.dataset).match_tags(tag).sort_by(f"{run.key}.rank", create_index=False)
    return view, saved[tag].get("budget", 0), f"coreset '{tag}' of the run '{run.key}'"


def _refuse_empty(ids, paths, name, deleted):
    if not ids and deleted > 0:
        raise InvalidInput(
            f"All {deleted:,} images of the {name} were deleted from the dataset. There is nothing to export.",
            "zone",
        )
    if not ids:
        raise InvalidInput(f"The {name} holds no images. There is nothing to export.", "zone")
    if all(unreadable(path) for path in paths):
        refuse_missing(0, [(path, i, unreadable(path)) for path, i in zip(paths, ids)], "zone")


def _write_list(view, key, ids, paths, target):
    known = [f"{key}.{name}" for name in LIST_COLUMNS if view.has_sample_field(f"{key}.{name}")]
    columns = ["filepath", "id", *known]
    missing = {path: reason for path in dict.fromkeys(paths) if (reason := unreadable(path))}
    rows = [row for row in zip(*view.values(columns)) if row[0] not in missing]
    write_rows(target, [name.removeprefix(f"{key}.") for name in columns], rows)
    return len(rows), missing


def _write_images(view, key, ids, paths, folder):
    copies = _copied(paths, folder)
    return len(copies.names), copies.missing


def _write_dataset(view, key, ids, paths, folder):
    copies = _copied(paths, folder / "data")
    left_out = [i for i, path in zip(ids, paths) if path in copies.missing]
    if len(left_out) == len(ids):
        return 0, copies.missing
    view = view.exclude(left_out) if left_out else view
    with _Exporter(str(folder), copies) as exporter:
        exporter.export_samples(view, progress=False)
    return len(ids) - len(left_out), copies.missing


def _copied(paths, folder):
    folder.mkdir(parents=True)
    copies = Copies(folder, common_folder(paths))
    for path in paths:
        copies.copy(path)
    return copies


class _Exporter(foud.FiftyOneDatasetExporter):
    """FiftyOne's exporter with the copies that are made already; other media whose file is gone keep their path."""

    def __init__(self, folder, copies):
        super().__init__(folder, export_media=True)
        self._copies = copies

    def setup(self):
        super().setup()
        self._media_exporter = _Media(self._data_dir, self._copies)
        self._media_exporter.setup()

    def _get_media_field_exporter(self, field_name):
        if field_name not in self._media_field_exporters:
            folder = os.path.join(self._fields_dir, field_name)
            media = _Media(folder, Copies(folder))
            media.setup()
            self._media_field_exporters[field_name] = media
        return self._media_field_exporters[field_name]


class _Media(foud.MediaExporter):
    def __init__(self, folder, copies):
        super().__init__(True, export_path=folder)
        self._copies = copies

    def export(self, media_or_path, outpath=None):
        if outpath is not None or not isinstance(media_or_path, str):
            return super().export(media_or_path, outpath=outpath)
        name = self._copies.copy(media_or_path)
        if name is None:
            return media_or_path, media_or_path  # absolute: FiftyOne keeps it as it is
        return os.path.join(self.export_path, name), name
