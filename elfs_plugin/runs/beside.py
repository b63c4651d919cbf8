"""A coreset that a run has saved under a tag, beside the interval of ranks that ELFS would keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InvalidInput
from . import fields, kept_choices
from .fiftyone_types import Query, View

if TYPE_CHECKING:
    from .run import Run

PARTS = ("chosen", "only_chosen", "only_elfs", "both", "neither")

IN_ORDER = 2000
"""Images of a coreset that a view lists in their order of choice: more ids would burden each request of the App."""


@dataclass(frozen=True)
class Beside:
    """How a tagged coreset lies to an interval of ranks.

    ``chosen`` images have the tag, ``shared`` of them a rank in the interval, ``by_chance`` are expected there (a
    float) if as many were drawn at random from the scored ones. ``clusters_without`` of ``clusters`` have no image in
    it.
    """

    chosen: int
    shared: int
    by_chance: float
    clusters: int
    clusters_without: int


def tags_by_method(run: Run) -> list[str]:
    """The tags of coresets that a :class:`~.run.Run` has saved by any method, the newest first."""
    saved = run.record.saved
    own = [tag for tag in run.record.tags if "method" in saved.get(tag, {})]
    return sorted(own, key=lambda tag: -(saved[tag].get("when") or 0))


def compare_beside(run: Run, tag: str, hard: int, budget: int) -> Beside:
    """:class:`Beside` of the images with a tag and the ranks [hard, hard + budget): two requests, no ids."""
    run.require("scores", "comparing coresets")
    rank, label = f"{run.key}.rank", f"{run.key}.pseudo_label.label"
    inside = {"$and": [{"$gte": [f"${rank}", hard]}, {"$lt": [f"${rank}", hard + budget]}]}
    shared = {"$sum": {"$cond": [inside, 1, 0]}}
    counted = run.dataset._sample_collection.aggregate(
        [{"$match": {"tags": tag}}, {"$group": {"_id": f"${label}", "n": {"$sum": 1}, "shared": shared}}]
    )
    groups = list(counted)
    clusters = [name for name in run.dataset._sample_collection.distinct(label) if name is not None]
    chosen = sum(group["n"] for group in groups)
    return Beside(
        chosen=chosen,
        shared=sum(group["shared"] for group in groups),
        by_chance=chosen * budget / run.stages["scores"]["scored"],
        clusters=len(clusters),
        clusters_without=len(set(clusters) - {group["_id"] for group in groups}),
    )


def beside_view(run: Run, tag: str, hard: int, budget: int, part: str) -> View:
    """The images of a part: those that were ``chosen`` (in the order of choice, where that is known and short), those
    that only one of the two has, ``both`` or ``neither``; hardest first.

    Raises:
        InvalidInput: for an unknown part, or a run without scores
    """
    run.require("scores", "comparing coresets")
    if part not in PARTS:
        raise InvalidInput(f"Unknown part {part!r}. Use one of: {', '.join(PARTS)}.", "part")
    rank = f"{run.key}.rank"
    tagged: Query = {"tags": tag}
    inside: Query = {rank: {"$gte": int(hard), "$lt": int(hard) + int(budget)}}
    wanted: dict[str, Query] = {
        "chosen": tagged,
        "only_chosen": {**tagged, "$nor": [inside]},
        "only_elfs": {**inside, "tags": {"$ne": tag}},
        "both": {**inside, **tagged},
        "neither": {rank: {"$gte": 0}, "$nor": [inside, tagged]},
    }
    view = fields.writable(run.dataset)
    if part == "chosen":
        kept = kept_choices.load(run, tag)
        if kept is not None and len(kept.chosen) <= IN_ORDER:
            view = view.select(kept.chosen, ordered=True)
        return view.match(tagged)
    return view.match(wanted[part]).sort_by(rank, create_index=False)


def group_view(run: Run, tag: str, sample_id: str) -> View:
    """The image that stands for a sample in a tagged coreset, or the sample itself, and then those that it stands for,
    :data:`IN_ORDER` at most.

    Raises:
        InvalidInput: where nothing is known of that
    """
    kept = kept_choices.load(run, tag)
    ids = kept.group(sample_id) if kept is not None else []
    if not ids:
        raise InvalidInput(f"Nothing was kept of what stands for this image in '{tag}'. Choose it again.", "tag")
    return fields.writable(run.dataset).select(ids[:IN_ORDER], ordered=True)
