"""What a process that was killed left between FiftyOne's documents.

FiftyOne keeps saved views, workspaces and runs in documents of their own, and the dataset's document links to them. It
writes first the one and then the other: killed in between, a document that no dataset shows stays for ever, or a link
to a document that is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiftyone.core import odm

from . import workspace
from .fiftyone_types import Dataset

if TYPE_CHECKING:
    from .record import RunRecord


def mend(dataset: Dataset, run: RunRecord) -> bool:
    """Removes such documents and links as far as they are the run's, or a job's that was interrupted: its views by
    name, its workspace, its record.

    Of a run that still exists the record stays. The caller has the run's lock.

    Returns:
        whether there was anything
    """
    coming = (run.pending or {}).get("record") or {}
    views = [*run.saved_views, *coming.get("saved_views", ())]
    database, mine = odm.get_db_conn(), {"_dataset_id": dataset._doc.id}
    links = database.datasets.find_one({"_id": dataset._doc.id}, {"saved_views": 1, "workspaces": 1, "runs": 1}) or {}
    own_link = (links.get("runs") or {}).get(run.key)
    found = [
        _clear(database.views, {**mine, "name": {"$in": views}}, links.get("saved_views")),
        _clear(database.workspaces, {**mine, "name": workspace.NAME}, links.get("workspaces")),
        _clear(database.runs, {**mine, "key": run.key, "config.method": "elfs"}, [own_link] if own_link else []),
    ]
    pulled = {name: {"$in": gone} for name, (gone, _) in zip(("saved_views", "workspaces"), found) if gone}
    change: dict[str, Any] = {"$pull": pulled} if pulled else {}
    if found[2][0]:
        change["$unset"] = {f"runs.{run.key}": ""}
    if change:
        database.datasets.update_one({"_id": dataset._doc.id}, change)
        dataset._reload(hard=True)
    return any(gone or removed for gone, removed in found)


def _clear(collection, wanted, links):
    """Removes documents without a link. Returns the links without a document, which nobody can have any use for, and
    how many documents were removed."""
    links = list(links or ())
    removed = collection.delete_many({**wanted, "_id": {"$nin": links}}).deleted_count
    there = {found["_id"] for found in collection.find({"_id": {"$in": links}}, {"_id": 1})}
    return [link for link in links if link not in there], removed
