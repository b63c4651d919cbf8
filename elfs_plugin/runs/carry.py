"""The steps in which committed results reach a dataset, see :mod:`.journal`. Each can be repeated without harm.

A step is a plain mapping with ``do``, its name in :data:`STEPS`. Its function takes the dataset, the record as it is to
be, and the step. Values of all samples are moved by the database itself, in one command.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from bson import json_util
from fiftyone.core import odm
from pymongo import IndexModel

from . import claims, fields, jobs, names, record, removal, views, workspace, written_back
from .fiftyone_types import Dataset, Query
from .run import Run

logger = logging.getLogger(__name__)

STAGED = "elfs.staged"

LARGE = 50_000
"""Samples from which on two commands share a step: below it takes less than a second."""


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


def _write(dataset, run, step):
    """Values of sub-fields of the run's field (``names``) and of other fields.

    To make an index of many samples anew is quicker than to change it for each. What is killed in between is finished
    by the same step, which makes them again.
    """
    collection = dataset._sample_collection
    there = fields.indexes_on(dataset, run.key, step["names"])
    for index in step["indexes"]:
        if index in there:
            collection.drop_index(index)
    _write_values(dataset, run, step)
    if step["indexes"]:
        collection.create_indexes([IndexModel(index) for index in step["indexes"]])


def _write_values(dataset, run, step):
    key, labels = run.key, step["labels"]
    others = step["vectors"] + labels
    if not labels and not (step["names"] and _holds_something(dataset, key)):
        # Nothing is there that would have to be kept: the database need not work out what to write for each sample.
        return _merge(dataset, run, step, "merge")
    changes: dict[str, Any] = {path: f"$$new.{path}" for path in others}
    if step["names"]:  # whatever else is in the field stays
        changes[key] = {"$mergeObjects": [f"${key}", f"$$new.{key}"]}
    for path in labels:  # between commit and now somebody may have labelled a sample: that label stays
        has_none = {"$in": [{"$ifNull": [f"${path}.label", None]}, [None, ""]]}
        changes[path] = {"$cond": [has_none, changes[path], f"${path}"]}
    _merge(dataset, run, step, [{"$set": {**changes, "last_modified_at": "$$NOW"}}])


def _holds_something(dataset, key):
    return dataset._sample_collection.find_one({key: {"$ne": None}}, {"_id": 1}) is not None


def _values(dataset, run, step):
    """What versions up to 0.4 have committed: a document for each sample, with the values of all ``paths`` as ``v``."""
    values = {path: {"$arrayElemAt": ["$$new.v", at]} for at, path in enumerate(step["paths"])}
    for path in step.get("labels", ()):
        has_none = {"$in": [{"$ifNull": [f"${path}.label", None]}, [None, ""]]}
        values[path] = {"$cond": [has_none, values[path], f"${path}"]}
    _merge(dataset, run, step, [{"$set": {**values, "last_modified_at": "$$NOW"}}])


def _tag_staged(dataset, run, step):
    changes = {"tags": _tagged_if("$$new.on", step["tag"]), "last_modified_at": "$$NOW"}
    _merge(dataset, run, step, [{"$set": changes}])


def _merge(dataset, run, step, change):
    """Has the database bring staged rows into the dataset: of large ones two halves at once, each on a core of its own.

    ``change`` says what becomes of a sample and its row, as ``whenMatched`` of MongoDB's ``$merge``: with ``"merge"``
    the entries of the row take the place of the sample's.
    """
    into = {
        "into": dataset._sample_collection_name,
        "on": "_id",
        "whenMatched": change,
        "whenNotMatched": "discard",
    }
    apart: list[dict[str, Any]] = []
    if "samples" in step:  # versions up to 0.4 have staged a document for each sample
        apart = [{"$unwind": "$rows"}, {"$replaceWith": "$rows"}]
    if change == "merge":
        apart = [*apart, {"$set": {"last_modified_at": "$$NOW"}}]
    halves: list[Query] = [{}]
    if step.get("samples", 0) >= LARGE:
        middle = step["rows"] // 2
        halves = [{"_id": {"$lt": middle}}, {"_id": {"$gte": middle}}]
    collection = odm.get_db_conn()[step["collection"]]
    # By the comment it is known whose command it is, see :func:`~.journal.stop_orphans`.
    comment = staged_prefix(dataset, run.key)
    _at_once(
        partial(collection.aggregate, [{"$match": half}, *apart, {"$merge": into}], comment=comment) for half in halves
    )


def _at_once(commands):
    """Gives the database some commands, two at a time. The first error is raised once none is at work any more."""
    commands = list(commands)
    if len(commands) == 1:
        commands[0]()
        return
    with ThreadPoolExecutor(2) as pool:
        for given in [pool.submit(command) for command in commands]:
            given.result()


def _change_all(dataset, run, wanted, changes):
    """Changes all samples that match a filter in one pass, in the order of the samples, which is that of the disk: in
    the order of the ranks most of a large dataset would be read and written many times."""
    pipeline = [{"$set": {**changes, "last_modified_at": "$$NOW"}}]
    options = {"hint": "_id_", "comment": staged_prefix(dataset, run.key)}
    update = dataset._sample_collection.update_many
    _at_once(partial(update, {**half, **wanted}, pipeline, **options) for half in _halves(dataset._sample_collection))


def _change_few(dataset, run, wanted, change):
    fields.change_all(dataset, wanted, change, comment=staged_prefix(dataset, run.key))


def _halves(collection):
    """Filters of two halves of many samples, or one of all of a few."""
    n = collection.estimated_document_count()
    middle = next(collection.find({}, {"_id": 1}).sort("_id", 1).skip(n // 2).limit(1), None) if n >= LARGE else None
    return [{"_id": {"$lt": middle["_id"]}}, {"_id": {"$gte": middle["_id"]}}] if middle else [{}]


def _indexes(dataset, run, step):
    fields.ensure_indexes(dataset, run.key)


def _zones(dataset, run, step):
    """Three intervals of the ranks; with ``tag`` the samples of the second, and no others, have it."""
    with jobs.changing(dataset):
        dataset._reload(hard=True)
        fields.declare_group(dataset, run.key, ["zone"], run.owns_field)
    rank, zone, tag = f"{run.key}.rank", f"{run.key}.zone", step.get("tag")
    low, high = step["hard"], step["hard"] + step["coreset"]
    intervals = {"hard": {"$gte": 0, "$lt": low}, "coreset": {"$gte": low, "$lt": high}, "easy": {"$gte": high}}
    wrong = [{rank: interval, zone: {"$ne": name}} for name, interval in intervals.items()]
    cases = [{"case": {"$lt": [f"${rank}", end]}, "then": name} for name, end in (("hard", low), ("coreset", high))]
    changes = {zone: {"$switch": {"branches": cases, "default": "easy"}}}
    if tag:
        wrong += _wrongly_tagged(rank, tag, low, high)
        changes["tags"] = _tags(rank, tag, low, high)
        _change_few(dataset, run, {rank: None, "tags": tag}, {"$pull": {"tags": tag}})
    _change_all(dataset, run, {rank: {"$gte": 0}, "$or": wrong}, changes)
    _change_few(dataset, run, {rank: None, zone: {"$ne": None}}, {"$set": {zone: None}})


def _tag_interval(dataset, run, step):
    of_tag = f"{run.key}.rank", step["tag"], step["low"], step["high"]
    _change_all(dataset, run, {"$or": _wrongly_tagged(*of_tag)}, {"tags": _tags(*of_tag)})


def _wrongly_tagged(rank, tag, low, high):
    """Filters of the samples with low <= rank < high that lack a tag, and of the others that have it."""
    inside = {rank: {"$gte": low, "$lt": high}}
    return [{**inside, "tags": {"$ne": tag}}, {"tags": tag, "$nor": [inside]}]


def _tags(rank, tag, low, high):
    """A sample's tags with a tag if low <= rank < high, and else without it. A rank that is missing is below all."""
    inside = {"$and": [{"$gte": [f"${rank}", low]}, {"$lt": [f"${rank}", high]}]}
    return _tagged_if(inside, tag)


def _tagged_if(condition, tag):
    tags, literal = {"$ifNull": ["$tags", []]}, {"$literal": tag}
    others = {"$filter": {"input": tags, "cond": {"$ne": ["$$this", literal]}}}
    with_it = {"$cond": [{"$in": [literal, tags]}, tags, {"$concatArrays": [tags, [literal]]}]}
    return {"$cond": [condition, with_it, others]}


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


def _write_rows(dataset, run, step):
    """Writes the results of a run on rows to the source of the rows. After all others: it reads what they write."""
    dataset._reload(hard=True)
    written_back.carry_out(dataset, run)


STEPS = {
    "declare": _declare,
    "write": _write,
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
    "write_rows": _write_rows,
}
