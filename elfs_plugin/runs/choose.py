"""Coresets by any method of :mod:`..selectors`, from what a finished run has: a tag and a saved view."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import selectors
from ..contracts import Budget, Sink, Veto
from ..errors import InvalidInput
from ..neighbors.graph import knn_graph, suggest_k
from ..progress import part
from ..proxy.dynamics import Dynamics
from ..proxy.labelled import probabilities_of_all
from ..proxy.warm_up import with_outputs
from ..pruning.scores import SCORES
from ..validation import validate_seed
from . import coverage, fields, saving, truth
from .arrays import RunPool, kept_graph, read_pool
from .fiftyone_types import Dataset
from .run_job import RunJob

if TYPE_CHECKING:
    from .run import Run

READING = "Reading the run"
CHOOSING = "Choosing the coreset"
WRITING = "Writing to the dataset"


def choose_coreset(
    dataset: Dataset,
    key: str = "elfs",
    *,
    method: str,
    budget: Budget | str,
    tag: str,
    view_name: str | None = None,
    seed: int = 0,
    quota: str = "none",
    veto: Veto | None = None,
    params: Mapping[str, Any] | None = None,
    labels_field: str | None = None,
    locked_tag: str | None = None,
    device: str = "auto",
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Chooses ``budget`` of the run's images by a method and tags them; zones and ranks of the run stay as they are.

    Args:
        method: one of :func:`~..selectors.available`
        params: its parameters
        budget, quota, veto, seed: as for :func:`~..selectors.select`
        tag: names the coreset; ``view_name`` a saved view of the tag
        labels_field: given labels that may be wrong, for methods that judge labels; default: the pseudo-labels. For
            methods that learn from the locked images, their labels
        locked_tag: images with this tag are labelled already: the budget counts on top of them

    Raises:
        InvalidInput, NameTaken
    """
    seed, params = validate_seed(seed), params or {}
    selectors.required(method, **params)  # refuses unknown methods and parameters before anything is read
    if not tag:
        raise InvalidInput("Name the tag for the coreset.", "tag")
    with _Choice(dataset, key, tag, view_name, sinks) as job:
        start = time.monotonic()
        job.reporter.stage(READING)
        found = read_pool(job.run)
        progress = job.reporter.stage(CHOOSING)
        pool = as_pool(job.run, found, locked_tag)
        pool = _with_labels(pool, method, dataset, labels_field, seed)
        pool = _complete(pool, method, params, veto, seed, device, part(progress, 0.0, 0.5))
        chosen = selectors.select(
            method, pool, budget, seed=seed, quota=quota, veto=veto, progress=part(progress, 0.5, 1.0), **params
        )
        warnings = [*chosen.warnings, *_left_out(found, chosen.indices)]
        for warning in warnings:
            job.reporter.warn(warning)
        ids = found.ids[chosen.indices].tolist()
        details = {
            "method": method,
            "budget": len(ids),
            "seed": seed,
            "quota": quota,
            "veto": veto,
            "params": params,
            "labels_field": labels_field,
            "locked_tag": locked_tag,
            "warnings": warnings,
            "notes": list(chosen.notes),
        }
        saving.save_ids(job.draft, job.record, ids, tag, view_name, details)
        job.publish(job.reporter.stage(WRITING))
        return {
            "key": key,
            "method": method,
            "coreset": len(ids),
            "tag": tag,
            **found.counts,
            "threshold": chosen.threshold,
            "warnings": warnings,
            "notes": list(chosen.notes),
            "seconds": round(time.monotonic() - start, 3),
        }


class _Choice(RunJob):
    """The job of :func:`choose_coreset`. Its names are checked before it waits for the lock, and under it."""

    def __init__(self, dataset, key, tag, view_name, sinks):
        self._names = tag, view_name
        stages = {READING: 2, CHOOSING: 8, WRITING: 1}
        super().__init__(dataset, key, "Choosing a coreset", stages, sinks, kind="choice", needs="scores")
        self.begin()

    def begin(self):
        saving.check_names(self.dataset, self.record, *self._names)


def _left_out(found, indices):
    """A sentence about the clusters that have no image in a coreset, if there are any."""
    sizes = np.bincount(found.labels, minlength=len(found.names))
    chosen = np.bincount(found.labels[indices], minlength=len(found.names))
    missing = np.flatnonzero((sizes > 0) & (chosen == 0))
    largest_first = missing[np.argsort(-sizes[missing], kind="stable")].tolist()
    return (
        [coverage.sentence({found.names[label]: int(sizes[label]) for label in largest_first})] if len(missing) else []
    )


def as_pool(run: Run, found: RunPool, locked_tag: str | None = None) -> selectors.Pool:
    """What the fields of a :class:`~.run.Run` hold, as a :class:`~..selectors.Pool` in the order of ``found``."""
    names = [*fields.SCORES, "pseudo_label.confidence"]
    ids, *columns = fields.writable(run.dataset).values(["id", *(f"{run.key}.{name}" for name in names)])
    place = {i: at for at, i in enumerate(ids)}
    rows = [place[i] for i in found.ids.tolist()]
    values: dict[str, Any] = {
        name: np.array([column[row] for row in rows], dtype=np.float64) for name, column in zip(names, columns)
    }
    confidence = values.pop("pseudo_label.confidence")
    # Scores that are not kept on samples are unknown: a method that asks for one is told so.
    unknown: dict[str, Any] = dict.fromkeys(set(SCORES) - set(fields.SCORES), np.full(len(found), np.nan))
    dynamics = Dynamics(**values, **unknown, epochs=1)
    return selectors.Pool(
        found.ids,
        embeddings=found.vectors,
        pseudo_labels=found.labels,
        confidence=confidence,
        dynamics=dynamics,
        locked=_locked(run.dataset, locked_tag, found),
        neighbors=kept_graph(run, found),
    )


def _with_labels(pool, method, dataset, field, seed):
    """The pool with what a field of labels, which may be wrong, says of it."""
    if not field:
        return pool
    ids = pool.ids.tolist()
    if selectors.available()[method]["learns_from"] == "all":
        labels = truth.read_all(dataset, field, ids, "labels_field")
        return replace(pool, labels=np.unique(labels, return_inverse=True)[1])
    if pool.locked is None:
        raise InvalidInput(f"{method} learns from images that are labelled already: name their tag.", "locked_tag")
    known = truth.read(dataset, field, "labels_field")
    rows = np.array([row for row in np.flatnonzero(pool.locked).tolist() if ids[row] in known], dtype=np.int64)
    labels = np.array([known[ids[row]] for row in rows.tolist()])
    return replace(pool, probabilities=probabilities_of_all(pool.embeddings, rows, labels, seed))


def _locked(dataset, tag, found):
    if not tag:
        return None
    tagged = set(fields.writable(dataset).match_tags(tag).values("id"))
    locked = np.array([i in tagged for i in found.ids.tolist()], dtype=bool)
    if not locked.any():
        raise InvalidInput(f"No image of the run has the tag '{tag}'.", "locked_tag")
    return locked


def _complete(pool, method, params, veto, seed, device, progress):
    """Adds what the method needs and no field holds: neighbours, and the outputs of a short training."""
    needs = {*selectors.required(method, **params), *(["neighbors"] if veto is not None else [])}
    if pool.labels is not None:  # given labels may be wrong; a training says how likely each is
        needs |= {"probabilities"} & set(selectors.available()[method]["optional"])
    if "neighbors" in needs and pool.neighbors is None:
        k = suggest_k(len(pool), int(pool.pseudo_labels.max()) + 1)
        pool = replace(pool, neighbors=knn_graph(pool.embeddings, k, seed=seed, progress=progress))
    if needs & {"probabilities", "grand"}:
        pool = with_outputs(pool, seed=seed, device=device, progress=progress)
    return pool
