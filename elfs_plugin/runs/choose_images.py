"""Images chosen by what their objects add to the coverage of all objects, on the dataset of the objects."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..contracts import Budget, Mask, Sink
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
from .object_costs import METHOD, check_objects, costs_of
from .run_job import RunJob


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
