"""Single images: everything a run knows about one, and one for each cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson import ObjectId

from ..pruning.scores import zone_reason
from . import beside, fields, kept_choices

if TYPE_CHECKING:
    from .run import Run

NEIGHBORS = 6
CHOICES = 3
"""Coresets by other methods, the newest, of which a card tells."""
NEAR_DUPLICATE = 0.98
"""Cosine similarity from which two images count as near-duplicates. A convention; it depends on the encoder."""

_VALUES = ("rank", "agreement", "pseudo_label.label", "pseudo_label.confidence", *fields.SCORES)


def card(run: Run, sample_id: str, hard: int, budget: int, *, near_duplicate: float = NEAR_DUPLICATE) -> dict[str, Any]:
    """What there is to say about one image under a cut of a :class:`~.run.Run`.

    Args:
        hard, budget: the cut to judge by: ranks [hard, hard + budget) are the coreset

    Returns:
        a dict of plain values: ``id``, ``filepath``, ``status``, ``sentence``, and of a scored image ``rank``,
        ``percentile`` (share of the scored images that are harder, in [0, 1)), ``scores``, ``cluster``,
        ``confidence``, ``agreement``, ``zone``, ``neighbors`` (dicts with ``id``, ``filepath``, ``similarity``,
        ``cluster``, ``rank``, ``zone``, most similar first), ``near_duplicates`` (those of the kept neighbours that are
        at least ``near_duplicate`` similar and in the coreset), ``note`` (why there are no neighbours, or None) and
        ``choices`` ({tag: sentence}, why it is in or out of coresets by other methods).
        ``status`` is ``"scored"``, ``"labelled"`` (pseudo-label only), ``"failed"`` (left out, with the reason),
        ``"unscored"`` (takes no part in the run) or ``"deleted"``.

    Raises:
        InvalidInput: when there is no such run
    """
    run.require(None, "showing an image")
    found = _read(run, [sample_id]).get(str(sample_id))
    if found is None:
        return _without_score(sample_id, None, "deleted", "This image is no longer in the dataset.")
    n = run.stages.get("scores", {}).get("scored", 0)
    rank = found["rank"]
    if rank is None or not n:
        return _unscored(run, found)
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
    return {
        **result,
        "choices": _choices(run, found["id"]),
        **_neighbors(run, found["id"], hard, budget, near_duplicate),
    }


def zone_of(rank: int | None, hard: int, budget: int) -> str | None:
    """The zone of a rank under a cut, or None for no rank."""
    if rank is None:
        return None
    return "hard" if rank < hard else "coreset" if rank < hard + budget else "easy"


def _read(run, ids):
    """id -> {"id", "filepath", and the values} of the samples that exist. One query by the primary key."""
    wanted = [ObjectId(i) for i in map(str, ids) if ObjectId.is_valid(i)]
    projection = {"filepath": 1, **{f"{run.key}.{name}": 1 for name in _VALUES}}
    found = {}
    for document in run.dataset._sample_collection.find({"_id": {"$in": wanted}}, projection):
        values = document.get(run.key) or {}
        row = {"id": str(document["_id"]), "filepath": document["filepath"]}
        for name in _VALUES:
            outer, _, inner = name.partition(".")
            value = values.get(outer)
            row[name] = (value or {}).get(inner) if inner else value
        found[row["id"]] = row
    return found


def _unscored(run, found):
    if found["pseudo_label.label"] is not None:
        text = f"In {found['pseudo_label.label']}, but not scored yet: use ELFS: Compute scores."
        return {
            **_without_score(found["id"], found["filepath"], "labelled", text),
            "cluster": found["pseudo_label.label"],
            "confidence": found["pseudo_label.confidence"],
            "agreement": found["agreement"],
        }
    reason = run.results.get("failures", {}).get(found["id"])
    if reason:
        return _without_score(found["id"], found["filepath"], "failed", f"Left out of the run: {reason}.")
    cut = run.record.cut_away
    why = f"it was outside its view, is one of {cut:,} that a pre-cut left out" if cut else "it was outside its view"
    text = f"Not part of the run: {why}, or was added later. ELFS: Update run takes in new images."
    return _without_score(found["id"], found["filepath"], "unscored", text)


def _without_score(sample_id, filepath, status, sentence):
    return {
        "id": str(sample_id),
        "filepath": filepath,
        "status": status,
        "sentence": sentence,
        **dict.fromkeys(("rank", "percentile", "cluster", "confidence", "agreement", "zone", "note")),
        "scores": {},
        "choices": {},
        "neighbors": [],
        "near_duplicates": [],
    }


def _choices(run, sample_id):
    kept = {tag: kept_choices.load(run, tag) for tag in beside.tags_by_method(run)[:CHOICES]}
    reasons = {tag: choice.reason(sample_id) for tag, choice in kept.items() if choice is not None}
    return {tag: reason for tag, reason in reasons.items() if reason is not None}


def _neighbors(run, sample_id, hard, budget, near_duplicate):
    kept = run.graph
    pairs = kept.neighbors_of(sample_id) if kept is not None else None
    if pairs is None:
        what = "This run" if kept is None else "For this image the run"
        note = f"{what} has no stored neighbours. ELFS: Compute pseudo-labels (same settings) stores them."
        return {"neighbors": [], "near_duplicates": [], "note": note}
    known = _read(run, [i for i, _ in pairs])
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


def cluster_samples(run: Run, most: int) -> list[dict[str, Any]]:
    """The largest clusters of a :class:`~.run.Run`, with the image of each that the clustering is most certain of.

    Dicts with ``name``, ``size``, mean ``confidence`` and ``agreement``, and the image's ``id`` and ``filepath``.

    Args:
        most: how many clusters at most

    The numbers are those of the clustering; a cluster whose image was deleted since is left out.
    """
    rows = (run.results.get("clusters") or {}).get("per_cluster") or []
    rows = sorted(rows, key=lambda row: (-row["size"], row["cluster"]))[:most]
    if not rows:
        return []
    view = fields.writable(run.dataset).select([row["id"] for row in rows])
    known = {
        i: (path, name) for i, path, name in zip(*view.values(["id", "filepath", f"{run.key}.pseudo_label.label"]))
    }
    return [{**row, "filepath": known[row["id"]][0], "name": known[row["id"]][1]} for row in rows if row["id"] in known]
