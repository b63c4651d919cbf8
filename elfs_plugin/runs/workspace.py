"""One saved workspace of the App, ``ELFS``: the grid and the ELFS Coreset panel side by side."""

from typing import Any

import fiftyone as fo

from . import record
from .fiftyone_types import Dataset
from .record import RunRecord

NAME = "ELFS"

_TEXT = "Images beside the ELFS Coreset panel"


def spaces() -> Any:
    """The grid and the panel side by side."""

    def single(panel):
        # Without its active child a space stays blank.
        return fo.Space(children=[panel], active_child=panel.component_id)

    panels = [fo.Panel(type="Samples", pinned=True), fo.Panel(type="coreset_panel")]
    return fo.Space(children=[single(panel) for panel in panels], orientation="horizontal")


def ensure_workspace(dataset: Dataset) -> bool:
    """Saves the workspace unless one of that name exists. Returns whether it was made."""
    if dataset.has_workspace(NAME):
        return False
    dataset.save_workspace(NAME, spaces(), description=_TEXT)
    return True


def release(dataset: Dataset, run: RunRecord) -> None:
    """Removes the workspace when ``run``, about to be deleted, made it; another run of the dataset inherits it."""
    if not run.workspace:
        return
    for key, other in record.records(dataset).items():
        if key != run.key and not other.is_newer:
            record.amend_record(dataset, key, workspace=run.workspace)
            return
    # One of that name may have been saved by somebody else since.
    if dataset.has_workspace(run.workspace) and dataset.get_workspace_info(run.workspace)["description"] == _TEXT:
        dataset.delete_workspace(run.workspace)
