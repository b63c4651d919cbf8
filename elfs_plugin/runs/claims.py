"""Whether the names that a job is to write under are still free when its results are complete.

They are checked when a job begins as well; but it may work for hours, while the user, or a run with another key, gives
the same name to something else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import fiftyone.core.utils as fou

from ..errors import NameTaken
from . import names, record
from .fiftyone_types import Dataset
from .record import RunRecord


def check(dataset: Dataset, before: RunRecord, coming: RunRecord, steps: Sequence[dict[str, Any]]) -> None:
    """Refuses to commit what would overwrite something that is not the run's. The caller is changing the dataset, see
    :func:`~.jobs.changing`.

    Args:
        before, coming: the record as it is, and as it is to be
        steps: those of :mod:`.carry`; one that saves a view is told which view it may replace

    Raises:
        NameTaken, InvalidInput
    """
    tags = [tag for tag in coming.tags if tag not in before.tags]
    saving = [step for step in steps if step["do"] == "view"]
    check_others(dataset, before, tags, [step["name"] for step in saving])
    for tag in tags:
        names.check_tag(dataset, tag)
    there = names.saved_view_ids(dataset) if saving else {}
    for step in saving:
        names.check_view_name(dataset, step["name"], before.own_views(dataset))
        step["replaces"] = there.get(step["name"])
    for step in steps:
        if step["do"] != "declare":
            continue
        if step["names"]:
            record.check_group_field(dataset, coming.key, before)
        for field in step["vectors"]:
            record.check_embeddings_field(dataset, before, field)
        for field in step.get("labels", ()):
            record.check_labels_field(dataset, coming.key, field)


def check_others(dataset: Dataset, run: RunRecord, tags: Sequence[str], views: Sequence[str]) -> None:
    """Refuses tags and names of saved views that another run has, or is about to save.

    Raises:
        NameTaken
    """
    if not tags and not views:
        return
    slugs = {fou.to_slug(view): view for view in views}
    for key, document in record.run_documents(dataset).items():
        if key == run.key:
            continue
        other = record.restored(key, document.config)
        coming = record.restored(key, (other.pending or {}).get("record") or {})
        for tag in tags:
            if tag in other.tags or tag in coming.tags:
                raise NameTaken(f"The tag '{tag}' belongs to the run '{key}'. Choose another tag.", "tag")
        for name in coming.saved_views:
            if fou.to_slug(name) in slugs:
                raise NameTaken(f"The run '{key}' is saving a view '{name}'. Choose another name.", "view_name")


def may_save(dataset: Dataset, step: Mapping[str, Any]) -> bool:
    """Whether a committed step may save its view: no other one has been saved under that name since."""
    found = names.find_view(dataset, step["name"])
    if found is None or str(found.id) == step.get("replaces"):
        return True
    return found.name == step["name"] and found.description == step["text"]  # the step is repeated
