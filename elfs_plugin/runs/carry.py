"""The steps in which committed results reach a dataset, see :mod:`.journal`. Each can be repeated without harm.

A step is a plain mapping with ``do``, its name in :data:`STEPS`. Its function takes the dataset, the record as it is to
be, and the step. Values of all samples are moved by the database itself, in one command.
"""

import logging

from bson import json_util
from fiftyone.core import odm

from . import claims, fields, jobs, names, record, removal, views, workspace
from .fiftyone_types import Dataset
from .run import Run

logger = logging.getLogger(__name__)

STAGED = "elfs.staged"


def staged_prefix(dataset: Dataset, key: str) -> str:
    return f"{STAGED}.{dataset._doc.id}.{key}."


def staged_name(dataset: Dataset, key: str, token: str, what: str) -> str:
    """The collection that takes what a job has staged."""
    return f"{staged_prefix(dataset, key)}{token}.{what}"


def _declare(dataset, run, step):
    with jobs.changing(dataset):
        dataset._reload(hard=True)
        if step["names"]:
            fields.declare_group(dataset, run.key, step["names"], run.owns_field)
        for field in step["vectors"]:
            fields.declare_vectors(dataset, run.key, field)
        for field in step.get("labels", ()):  # an older version of the plugin has committed none
            fields.declare_labels(dataset, field)


def _values(dataset, run, step):
    values = {path: {"$arrayElemAt": ["$$new.v", at]} for at, path in enumerate(step["paths"])}
    for path in step.get("labels", ()):  # between commit and now somebody may have labelled a sample: that label stays
        has_none = {"$in": [{"$ifNull": [f"${path}.label", None]}, [None, ""]]}
        values[path] = {"$cond": [has_none, values[path], f"${path}"]}
    _merge(dataset, run, step["collection"], {**values, "last_modified_at": "$$NOW"})


def _tag_staged(dataset, run, step):
    tag, tags = {"$literal": step["tag"]}, {"$ifNull": ["$tags", []]}
    others = {"$filter": {"input": tags, "cond": {"$ne": ["$$this", tag]}}}
    with_it = {"$cond": [{"$in": [tag, tags]}, tags, {"$concatArrays": [tags, [tag]]}]}
    changed = {"tags": {"$cond": ["$$new.on", with_it, others]}, "last_modified_at": "$$NOW"}
    _merge(dataset, run, step["collection"], changed)


def _merge(dataset, run, name, changes):
    into = {
        "into": dataset._sample_collection_name,
        "on": "_id",
        "whenMatched": [{"$set": changes}],
        "whenNotMatched": "discard",
    }
    # By the comment it is known whose command it is, see :func:`~.journal.stop_orphans`.
    odm.get_db_conn()[name].aggregate([{"$merge": into}], comment=staged_prefix(dataset, run.key))


def _change_all(dataset, run, wanted, change):
    fields.change_all(dataset, wanted, change, comment=staged_prefix(dataset, run.key))


def _indexes(dataset, run, step):
    fields.ensure_indexes(dataset, run.key)


def _zones(dataset, run, step):
    """Three intervals of the indexed ranks."""
    with jobs.changing(dataset):
        dataset._reload(hard=True)
        fields.declare_group(dataset, run.key, ["zone"], run.owns_field)
    rank, zone = f"{run.key}.rank", f"{run.key}.zone"
    low, high = step["hard"], step["hard"] + step["coreset"]
    intervals = {"hard": {"$gte": 0, "$lt": low}, "coreset": {"$gte": low, "$lt": high}, "easy": {"$gte": high}}
    for name, interval in intervals.items():
        _change_all(dataset, run, {rank: interval, zone: {"$ne": name}}, {"$set": {zone: name}})
    _change_all(dataset, run, {rank: None, zone: {"$ne": None}}, {"$set": {zone: None}})


def _tag_interval(dataset, run, step):
    tag, inside = step["tag"], {f"{run.key}.rank": {"$gte": step["low"], "$lt": step["high"]}}
    _change_all(dataset, run, {**inside, "tags": {"$ne": tag}}, {"$addToSet": {"tags": tag}})
    _change_all(dataset, run, {"tags": tag, "$nor": [inside]}, {"$pull": {"tags": tag}})


def _labels(dataset, run, step):
    with jobs.changing(dataset):
        dataset._reload(hard=True)
        fields.declare_labels(dataset, step["field"])


def _view(dataset, run, step):
    """Saves a view of a tag, of what matches a MongoDB filter, or of an interval of ranks."""
    with jobs.changing(dataset):
        dataset._reload(hard=True)
        if not claims.may_save(dataset, step):
            logger.warning("The view '%s' was not saved: somebody else has saved one of that name.", step["name"])
            run.saved_views = [name for name in run.saved_views if name != step["name"]]
            return
        if step.get("tag"):
            view = fields.writable(dataset).match_tags(step["tag"])
        elif step.get("match"):
            view = fields.writable(dataset).match(json_util.loads(step["match"]))
        else:
            view = views.rank_view(Run(dataset, run.key), step["low"], step["high"])
        if step.get("sort"):
            view = view.sort_by(step["sort"], create_index=False)
        dataset.save_view(step["name"], view, description=step["text"], overwrite=True)
        run.set_view_id(step["name"], dataset._get_saved_view_doc(step["name"]).id)


def _drop_views(dataset, run, step):
    """Deletes saved views of the run; ``ids`` were theirs, and one of that name by now may be somebody else's."""
    with jobs.changing(dataset):
        dataset._reload(hard=True)
        there = names.saved_view_ids(dataset)
        for name, view_id in step["ids"].items():
            if there.get(name) == view_id:
                dataset.delete_saved_view(name)


def _results(dataset, run, step):
    parts = odm.get_db_conn()[step["collection"]].find().sort("_id", 1)
    data = json_util.loads("".join(part["text"] for part in parts))
    record.replace_results(dataset, run.key, data, step["file"], step["older"])


def _drop_plots(dataset, run, step):
    with jobs.changing(dataset):
        dataset._reload(hard=True)
        for brain_key in step["keys"]:
            removal.remove_brain_run(dataset, brain_key)


def _release(dataset, run, step):
    """Removes embeddings that the run wrote and no longer uses, or leaves them to another run that does."""
    with jobs.changing(dataset):
        dataset._reload(hard=True)
        removal.release_embeddings(dataset, run.key, step["field"])


def _workspace(dataset, run, step):
    with jobs.changing(dataset):
        dataset._reload(hard=True)
        workspace.ensure_workspace(dataset)


STEPS = {
    "declare": _declare,
    "values": _values,
    "indexes": _indexes,
    "zones": _zones,
    "tag_interval": _tag_interval,
    "tag_staged": _tag_staged,
    "labels": _labels,
    "view": _view,
    "drop_views": _drop_views,
    "results": _results,
    "drop_plots": _drop_plots,
    "release": _release,
    "workspace": _workspace,
}
