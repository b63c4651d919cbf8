"""The whole ranking of a run as arrays, for histograms that move while a slider does.

A million values take MongoDB seconds. So the run keeps them in a file as well, which counts only as long as it is
of the record's current ranking, no scored sample has been deleted and the clusters have their names.
"""

import logging

import numpy as np

from ..files import whole_file
from ..pruning.scores import HARD_WHEN
from . import fields
from .versions import new_ranking, ranking_version  # noqa: F401 (handed on)

logger = logging.getLogger(__name__)

_FILE = "ranking.npz"
_GROUP = 20_000
"""Ranks per document that MongoDB sends: far below its 16 MB."""


def read_ranking(run, *, deleted=False, with_ids=True):
    """The scored samples of a :class:`~.run.Run` that exist, hardest first.

    Args:
        deleted: count those in that were deleted since, as long as the run remembers them: its ranks do too
        with_ids: False leaves the ids out, which are most of the file

    Returns:
        (ids (N,) str or None, scores (N,) float64 of the score that was ranked by, labels (N,) int32, names):
        ``names[l]`` is the pseudo-label l. Which score it was, is in ``record.stages["scores"]["score"]``. When none
        was deleted since, place i has rank i.

    Raises:
        InvalidInput: for a run without scores
    """
    run.require("scores", "showing its ranking")
    path, version = run.folder / _FILE, ranking_version(run.record)
    kept = _load(path, version, with_ids)
    if kept is not None and _is_true(run, kept, deleted):
        return kept
    found = _read(run.dataset, run.key, run.stages["scores"]["score"])
    if len(found[0]) == run.stages["scores"]["scored"]:
        _save(path, version, found)
    return found if with_ids else (None, *found[1:])


def keep_ranking(run, ids, scores, labels, names):
    """Writes the file of the run's current ranking, of N samples in any order."""
    hardest = HARD_WHEN[run.stages["scores"]["score"]]
    ids, scores = np.asarray(ids), np.asarray(scores, dtype=np.float64)
    order = np.lexsort((ids, scores if hardest == "low" else -scores))
    path = run.folder / _FILE
    _save(path, ranking_version(run.record), (ids[order], scores[order], np.asarray(labels)[order], names))


def _is_true(run, kept, deleted):
    present = run.changes.present
    if present > len(kept[1]) or (present < len(kept[1]) and not deleted):
        return False
    # Served by the index of (label, rank).
    found = run.dataset._sample_collection.distinct(f"{run.key}.pseudo_label.label")
    names = {name for name in found if name is not None}
    return names <= set(kept[3]) if deleted else names == set(kept[3])


def _read(dataset, key, score):
    label = f"{key}.pseudo_label.label"
    stages = [
        {"$match": {f"{key}.rank": {"$gte": 0}}},
        {"$project": {"rank": f"${key}.rank", "score": f"${key}.{score}", "label": f"${label}"}},
        # Few large documents instead of one for each sample: three times as quick to read.
        {
            "$group": {
                "_id": {"$floor": {"$divide": ["$rank", _GROUP]}},
                "ids": {"$push": "$_id"},
                "ranks": {"$push": "$rank"},
                "scores": {"$push": {"$ifNull": ["$score", None]}},
                "labels": {"$push": {"$ifNull": ["$label", None]}},
            }
        },
    ]
    ids, ranks, scores, labels = [], [], [], []
    for group in dataset._sample_collection.aggregate(stages, allowDiskUse=True):
        whole = [None not in pair for pair in zip(group["scores"], group["labels"])]
        for into, name in ((ids, "ids"), (ranks, "ranks"), (scores, "scores"), (labels, "labels")):
            into.extend(value for value, ok in zip(group[name], whole) if ok)
    order = np.argsort(np.array(ranks, dtype=np.int64), kind="stable")
    names, codes = np.unique(np.array(labels, dtype=str), return_inverse=True)
    names = fields.natural(names.tolist())
    place = {name: index for index, name in enumerate(names)}
    codes = np.array([place[name] for name in sorted(place)], dtype=np.int32)[codes] if names else codes
    ids = np.array([str(i) for i in ids], dtype="<U24")
    return ids[order], np.array(scores, dtype=np.float64)[order], codes.astype(np.int32)[order], names


def _save(path, version, ranking):
    ids, scores, labels, names = ranking
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            np.savez(
                file,
                version=np.array(version),
                ids=ids.astype("S24"),
                scores=scores,
                labels=labels.astype(np.int32),
                names=np.array(names, dtype=str),
            )
    except OSError as error:  # a disk that is full or read-only costs speed, not the result
        logger.info("The ranking of the run is not kept: %s", error)


def _load(path, version, with_ids=True):
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["version"]) != version:
                return None
            ids = file["ids"].astype("<U24") if with_ids else None
            return ids, file["scores"], file["labels"], file["names"].tolist()
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive raises nearly anything; the dataset has it all
        logger.warning("%s cannot be read (%s); the ranking is read from the dataset.", path, error)
        return None
