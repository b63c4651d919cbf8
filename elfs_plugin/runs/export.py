"""Writing a zone of a run to disk for a labelling tool."""

import csv
import os
from pathlib import Path

import fiftyone as fo

from ..errors import InvalidInput
from .fields import SCORES
from .views import zone_view

EXPORT_FORMATS = {
    "csv": "CSV list: absolute path, id, rank, zone, scores, pseudo-label",
    "images": "Folder of images",
    "fiftyone": "FiftyOne dataset (images and all fields)",
}


def export_coreset(collection, key="elfs", *, path, format="csv", zone="coreset", overwrite=False):
    """Writes a zone to disk for a labelling tool. Returns {"path", "exported"}.

    Raises:
        InvalidInput: for a relative path, an existing target without ``overwrite``, an unknown format
    """
    dataset = collection._dataset
    view = zone_view(dataset, key, zone, order="hardest")
    if format not in EXPORT_FORMATS:
        raise InvalidInput(f"Unknown format {format!r}. Use one of: {', '.join(EXPORT_FORMATS)}.", "format")
    path = Path(path).expanduser() if path else None
    if path is None or not path.is_absolute():
        raise InvalidInput("Give an absolute path to write to.", "path")
    taken = path.is_file() or (path.is_dir() and any(path.iterdir())) or (path.is_dir() and format == "csv")
    if taken and (not overwrite or (path.is_dir() and format == "csv")):
        raise InvalidInput(f"{path} already exists. Choose another path, or allow overwriting.", "path")
    n = len(view)
    if n == 0:
        raise InvalidInput(f"The zone '{zone}' of the run '{key}' holds no images. There is nothing to export.", "zone")
    if format == "csv":
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_csv(view, key, path)
    elif format == "images":
        path.mkdir(parents=True, exist_ok=True)
        root = os.path.commonpath([os.path.dirname(p) for p in view.values("filepath")])
        view.export(str(path), dataset_type=fo.types.ImageDirectory, export_media=True, rel_dir=root,
                    overwrite=overwrite, progress=False)  # fmt: skip
    else:
        view.export(str(path), dataset_type=fo.types.FiftyOneDataset, export_media=True, overwrite=overwrite,
                    progress=False)  # fmt: skip
    return {"path": str(path), "exported": n}


def _write_csv(view, key, path):
    names = ("rank", "zone", *SCORES, "pseudo_label.label", "pseudo_label.confidence", "agreement")
    # A run of an older version may lack some of the fields.
    known = [f"{key}.{name}" for name in names if view.has_sample_field(f"{key}.{name}")]
    columns = ["filepath", "id", *known]
    rows = zip(*view.values(columns))
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([name.removeprefix(f"{key}.") for name in columns])
        writer.writerows(rows)
    os.replace(partial, path)
