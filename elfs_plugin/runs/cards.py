"""Everything a run knows about one image, read without loading anything about the others."""

from bson import ObjectId

from ..pruning.scores import zone_reason
from . import fields, graph, record

NEIGHBORS = 6
NEAR_DUPLICATE = 0.98
"""Cosine similarity from which two images count as near-duplicates. A convention; it depends on the encoder."""

_VALUES = ("rank", "agreement", "pseudo_label.label", "pseudo_label.confidence", *fields.SCORES)


def card(dataset, key, sample_id, hard, budget, *, near_duplicate=NEAR_DUPLICATE):
    """What there is to say about one image under a cut.

    Args:
        hard, budget: the cut to judge by: ranks [hard, hard + budget) are the coreset

    Returns:
        a dict of plain values: ``id``, ``filepath``, ``status``, ``sentence``, and of a scored image ``rank``,
        ``percentile`` (share of the scored images that are harder, in [0, 1)), ``scores``, ``cluster``,
        ``confidence``, ``agreement``, ``zone``, ``neighbors`` (dicts with ``id``, ``filepath``, ``similarity``,
        ``cluster``, ``rank``, ``zone``, most similar first), ``near_duplicates`` (those of the kept neighbours that are
        at least ``near_duplicate`` similar and in the coreset) and ``note`` (why there are no neighbours, or None).
        ``status`` is ``"scored"``, ``"labelled"`` (pseudo-label only), ``"failed"`` (left out, with the reason),
        ``"unscored"`` (takes no part in the run) or ``"deleted"``.

    Raises:
        InvalidInput: when there is no such run
    """
    run = record.require_record(dataset, key, None, "showing an image")
    found = _read(dataset, key, [sample_id]).get(str(sample_id))
    if found is None:
        return _without_score(sample_id, None, "deleted", "This image is no longer in the dataset.")
    n = run.stages.get("scores", {}).get("scored", 0)
    rank = found["rank"]
    if rank is None or not n:
        return _unscored(dataset, run, found)
    result = {
        "id": found["id"],
        "filepath": found["filepath"],
        "status": "scored",
        "sentence": zone_reason(rank, n, hard, budget, run.stages["scores"]["score"]),
        "rank": rank,
        "percentile": rank / n,
        "scores": {name: found[name] for name in fields.SCORES},
        "cluster": found["pseudo_label.label"],
        "confidence": found["pseudo_label.confidence"],
        "agreement": found["agreement"],
        "zone": zone_of(rank, hard, budget),
    }
    return {**result, **_neighbors(dataset, run, found["id"], hard, budget, near_duplicate)}


def zone_of(rank, hard, budget):
    """The zone of a rank under a cut, or None for no rank."""
    if rank is None:
        return None
    return "hard" if rank < hard else "coreset" if rank < hard + budget else "easy"


def _read(dataset, key, ids):
    """id -> {"id", "filepath", and the values} of the samples that exist. One query by the primary key."""
    wanted = [ObjectId(i) for i in map(str, ids) if ObjectId.is_valid(i)]
    projection = {"filepath": 1, **{f"{key}.{name}": 1 for name in _VALUES}}
    found = {}
    for document in dataset._sample_collection.find({"_id": {"$in": wanted}}, projection):
        values = document.get(key) or {}
        row = {"id": str(document["_id"]), "filepath": document["filepath"]}
        for name in _VALUES:
            outer, _, inner = name.partition(".")
            value = values.get(outer)
            row[name] = (value or {}).get(inner) if inner else value
        found[row["id"]] = row
    return found


def _unscored(dataset, run, found):
    if found["pseudo_label.label"] is not None:
        text = f"In {found['pseudo_label.label']}, but not scored yet: use ELFS: Compute scores."
        return {
            **_without_score(found["id"], found["filepath"], "labelled", text),
            "cluster": found["pseudo_label.label"],
            "confidence": found["pseudo_label.confidence"],
            "agreement": found["agreement"],
        }
    reason = record.load_results(dataset, run.key).get("failures", {}).get(found["id"])
    if reason:
        return _without_score(found["id"], found["filepath"], "failed", f"Left out of the run: {reason}.")
    text = "Not part of the run: it was outside its view, or was added later. ELFS: Update run takes in new images."
    return _without_score(found["id"], found["filepath"], "unscored", text)


def _without_score(sample_id, filepath, status, sentence):
    return {
        "id": str(sample_id),
        "filepath": filepath,
        "status": status,
        "sentence": sentence,
        **dict.fromkeys(("rank", "percentile", "cluster", "confidence", "agreement", "zone", "note")),
        "scores": {},
        "neighbors": [],
        "near_duplicates": [],
    }


def _neighbors(dataset, run, sample_id, hard, budget, near_duplicate):
    key = run.key
    kept = graph.load(record.run_folder(dataset, key), run.graph)
    pairs = kept.neighbors_of(sample_id) if kept is not None else None
    if pairs is None:
        what = "This run" if kept is None else "For this image the run"
        note = f"{what} has no stored neighbours. ELFS: Compute pseudo-labels (same settings) stores them."
        return {"neighbors": [], "near_duplicates": [], "note": note}
    known = _read(dataset, key, [i for i, _ in pairs])
    rows = []
    for i, similarity in pairs:
        if i in known:  # the others have been deleted since
            other = known[i]
            rows.append(
                {
                    "id": i,
                    "filepath": other["filepath"],
                    "similarity": round(float(similarity), 4),
                    "cluster": other["pseudo_label.label"],
                    "rank": other["rank"],
                    "zone": zone_of(other["rank"], hard, budget),
                }
            )
    duplicates = [row for row in rows if row["similarity"] >= near_duplicate and row["zone"] == "coreset"]
    return {"neighbors": rows[:NEIGHBORS], "near_duplicates": duplicates, "note": None}
