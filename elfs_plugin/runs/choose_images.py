"""Images chosen by what their objects add to the coverage of all objects, on the dataset of the objects."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..contracts import Array, Budget, Floats, Integers, Mask, Sink
from ..errors import InvalidInput
from ..pipeline import CHOOSING
from ..pruning.zones import as_budget, resolve_budget
from ..selectors.graphs import graph_with
from ..validation import shown
from . import companions, row_values, saving, write_back, written_back
from .arrays import read_pool
from .choose import READING, WRITING, as_pool, left_out
from .fiftyone_types import Dataset
from .names import choice_tag
from .run_job import RunJob

METHOD = "object_coverage"
COSTS = {"image": "each image costs 1", "object": "each image costs as much as it has objects"}
"""Costs that are known of every image; any other is a field of the images with a number above 0."""


def choose_images(
    dataset: Dataset,
    key: str = "elfs",
    *,
    budget: Budget | str,
    cost: str = "image",
    tag: str | None = None,
    view_name: str | None = None,
    neighbors: int = 30,
    locked_tag: str | None = None,
    write_back: bool = True,
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Chooses images by their objects (:mod:`~..selectors.engines.parent_coverage`), on a dataset of objects with a
    finished run: tags all objects of the chosen images, and the images themselves when it writes back.

    Args:
        budget: what the chosen images may cost together, or a share of what all cost: a fraction, ``"10%"``
        cost: ``"image"``: 1 each; ``"object"``: as many as the run has objects of the image; or a field of the images
            with a number above 0
        tag, view_name: of the coreset (the tag is ``<key>_object_coverage`` by default), and of a saved view of its
            objects
        neighbors: k, the neighbours of each object that count
        locked_tag: images of objects with this tag are labelled already: they count as chosen, on top of the budget
        write_back: whether the results go to the dataset of the images too, with the tag on the images

    Returns:
        ``key``, ``method``, ``tag``, ``images`` and ``coreset``, how many images and objects are chosen; ``cost``;
        ``covered``, the share of what all images together would cover; ``without_objects``, images that cannot be
        chosen because the run has none of their objects; ``warnings``; ``seconds``

    Raises:
        InvalidInput: for a dataset that is not one of objects, a cost that is no positive number, a budget into which
            no image fits
        NameTaken
    """
    tag = tag or choice_tag(key, METHOD)
    check_objects(dataset)
    with _Choice(dataset, key, tag, view_name, sinks) as job:
        start = time.monotonic()
        job.reporter.stage(READING)
        found = read_pool(job.run)
        pool = as_pool(job.run, found, locked_tag)
        parents, _ = row_values.parents_and_times(job.dataset, found.ids.tolist())
        images, of_image = np.unique(parents, return_inverse=True)
        costs = costs_of(job.dataset, images, of_image, cost)
        locked = np.zeros(len(images), dtype=bool)
        if pool.locked is not None:
            locked[of_image[pool.locked]] = True
        limit = _limit(budget, costs, locked, cost)
        choice, covered = _choose(pool, of_image, costs, limit, locked, neighbors, job.reporter.stage(CHOOSING))
        inside = np.isin(of_image, choice.parents)
        warnings = left_out(found.labels, found.names, np.flatnonzero(inside))
        for warning in warnings:
            job.reporter.warn(warning)
        ids = _in_order(found.ids, of_image, choice.parents)
        told = {
            "method": METHOD,
            "recommended": None,
            "budget": len(ids),
            "images": len(choice.parents),
            "params": {"cost": cost, "cost_budget": limit, "neighbors": neighbors},
            "locked_tag": locked_tag,
            "warnings": warnings,
            "notes": [],
        }
        saving.save_ids(job.draft, job.record, ids, tag, view_name, told)
        if write_back:
            _write_back(job, tag)
        job.publish(job.reporter.stage(WRITING))
        return {
            "key": key,
            "method": METHOD,
            "tag": tag,
            "images": len(choice.parents),
            "coreset": len(ids),
            "cost": float(choice.costs.sum()),
            "covered": covered,
            "without_objects": _others(job.dataset, images),
            "warnings": warnings,
            "seconds": round(time.monotonic() - start, 3),
        }


def check_objects(dataset: Dataset) -> None:
    """Refuses a dataset whose samples are not objects.

    Raises:
        InvalidInput
    """
    rows = companions.rows_of(dataset) if dataset is not None else None
    if rows is None or rows.kind != "objects":
        raise InvalidInput(
            "Images are chosen by their objects on a dataset of objects. Make one with the operator make_rows (kind "
            "objects), run ELFS on it, and choose there."
        )


def check_cost(dataset: Dataset, cost: str) -> None:
    """Refuses a cost that is neither one of :data:`COSTS` nor a field of numbers of the images.

    Raises:
        InvalidInput
    """
    import fiftyone as fo

    if cost in COSTS:
        return
    source = companions.source_of(dataset)
    field = source.get_field(cost) if source is not None and isinstance(cost, str) else None
    if not isinstance(field, (fo.FloatField, fo.IntField)):
        raise InvalidInput(
            f"The cost {shown(cost)} is neither 'image' nor 'object', nor a field of numbers of the images.", "cost"
        )


def costs_of(dataset: Dataset, images: Array, of_image: Integers, cost: str) -> Floats:
    """(P,) costs of the images with these ids; ``of_image`` (N,) is the image of each object.

    Raises:
        InvalidInput: see :func:`check_cost`; for images without a number above 0
    """
    check_cost(dataset, cost)
    if cost == "image":
        return np.ones(len(images))
    if cost == "object":
        return np.bincount(of_image, minlength=len(images)).astype(np.float64)
    source = companions.source_of(dataset)
    known = {str(doc["_id"]): doc.get(cost) for doc in source._sample_collection.find({}, {cost: 1})}
    found = np.array([known.get(image) or np.nan for image in images.tolist()], dtype=np.float64)
    bad = ~(np.isfinite(found) & (found > 0))
    if bad.any():
        raise InvalidInput(
            f"{bad.sum():,} of {len(images):,} images have no number above 0 in '{cost}'. Give them one, or choose "
            "another cost.",
            "cost",
        )
    return found


def _limit(budget, costs, locked, cost):
    free = costs[~locked]
    if not len(free):
        raise InvalidInput("All images have objects with that tag; there is nothing to choose.", "locked_tag")
    if cost == "image":
        return float(resolve_budget(budget, len(free)))
    asked = as_budget(budget)
    if not np.isfinite(asked) or asked <= 0:
        raise InvalidInput(f"The budget must be above 0, not {shown(budget)}.", "budget")
    return float(asked * free.sum() if isinstance(asked, float) and asked <= 1 else asked)


def _choose(pool, of_image, costs, limit, locked: Mask, neighbors, progress):
    """(:class:`~..selectors.engines.parent_coverage.ParentChoice`, the share that is covered)."""
    from ..selectors.engines.graph_coverage import adjacency
    from ..selectors.engines.parent_coverage import ParentCoverage, choose_parents

    links = adjacency(graph_with(pool, neighbors, progress=progress), neighbors)
    choice = choose_parents(links, of_image, costs, limit, locked=locked, progress=progress)
    whole = ParentCoverage(links, of_image, len(costs))
    for image in range(len(costs)):
        whole.add(image)
    most = float(whole.covered.sum())
    return choice, choice.covered / most if most else 1.0


def _in_order(ids, of_image, chosen):
    """Ids of the objects of the chosen images, in the order in which these were chosen."""
    place = np.full(int(of_image.max()) + 1, len(chosen))
    place[chosen] = np.arange(len(chosen))
    rank = place[of_image]
    order = np.argsort(rank, kind="stable")
    return ids[order[rank[order] < len(chosen)]].tolist()


def _write_back(job, tag):
    before = written_back.restored(job.record)
    options = {**(before.options if before is not None else {}), "images": True}
    write_back.add(job.draft, job.record, job.dataset, tag, options)


def _others(dataset, images):
    source = companions.source_of(dataset)
    if source is None:
        return 0
    there = {str(doc["_id"]) for doc in source._sample_collection.find({}, {"_id": 1})}
    return len(there.difference(images.tolist()))


class _Choice(RunJob):
    """The job of :func:`choose_images`. Its names are checked before it waits for the lock, and under it."""

    def __init__(self, dataset, key, tag, view_name, sinks):
        self._names = tag, view_name
        stages = {READING: 2, CHOOSING: 8, WRITING: 1}
        super().__init__(dataset, key, "Choosing images", stages, sinks, kind="choice", needs="scores")
        self.begin()

    def begin(self):
        saving.check_names(self.dataset, self.record, *self._names)
