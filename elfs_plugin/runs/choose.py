"""Coresets by any method of :mod:`..selectors`, from what a finished run has: a tag and a saved view."""

import functools
import time
from dataclasses import replace

import numpy as np

from .. import selectors
from ..errors import InvalidInput
from ..neighbors import near_duplicates
from ..neighbors.graph import NeighborGraph, knn_graph, suggest_k
from ..progress import part
from ..proxy.dynamics import Dynamics
from ..proxy.warm_up import with_outputs
from ..pruning.scores import SCORES
from ..validation import validate_seed
from . import coverage, fields, graph, ranking, saving, truth
from .arrays import kept_graph, read_pool
from .run_job import RunJob

READING = "Reading the run"
CHOOSING = "Choosing the coreset"
WRITING = "Writing to the dataset"


def choose_coreset(
    dataset,
    key="elfs",
    *,
    method,
    budget,
    tag,
    view_name=None,
    seed=0,
    quota="none",
    veto=None,
    params=None,
    labels_field=None,
    locked_tag=None,
    device="auto",
    sinks=(),
):
    """Chooses ``budget`` of the run's images by a method and tags them; zones and ranks of the run stay as they are.

    Args:
        method: one of :func:`~..selectors.available`
        params: its parameters
        budget, quota, veto, seed: as for :func:`~..selectors.select`
        tag: names the coreset; ``view_name`` a saved view of the tag
        labels_field: given labels that may be wrong, for methods that judge labels; default: the pseudo-labels
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
        pool = as_pool(job.run, found, labels_field, locked_tag)
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
        super().__init__(dataset, key, "Choosing a coreset", stages, sinks, needs="scores")
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


def preview_veto(run, veto):
    """:class:`~..neighbors.near_duplicates.Preview` of a veto, by the neighbours that a :class:`~.run.Run` keeps, if it
    does."""
    run.require("scores", "a preview")
    token, version = run.record.graph, ranking.ranking_version(run.record)
    return _preview(run.folder, token, version, *near_duplicates.check_veto(veto))


@functools.lru_cache(maxsize=32)
def _preview(folder, token, version, kind, value):
    """Cached: a form is made anew at every key that is pressed in it."""
    kept = graph.load(folder, token)
    if kept is None or (kept.neighbors[:] < 0).any():
        return None
    known = NeighborGraph(np.asarray(kept.neighbors), np.asarray(kept.similarities, dtype=np.float32))
    return near_duplicates.preview(known, {kind: value} if kind == "quantile" else value)


def as_pool(run, found, labels_field=None, locked_tag=None):
    """What the fields of a :class:`~.run.Run` hold, as a :class:`~..selectors.Pool` in the order of ``found``."""
    names = [*fields.SCORES, "pseudo_label.confidence"]
    ids, *columns = fields.writable(run.dataset).values(["id", *(f"{run.key}.{name}" for name in names)])
    place = {i: at for at, i in enumerate(ids)}
    rows = [place[i] for i in found.ids.tolist()]
    values = {name: np.array([column[row] for row in rows], dtype=np.float64) for name, column in zip(names, columns)}
    confidence = values.pop("pseudo_label.confidence")
    # Scores that are not kept on samples are unknown: a method that asks for one is told so.
    unknown = dict.fromkeys(set(SCORES) - set(fields.SCORES), np.full(len(found), np.nan))
    dynamics = Dynamics(**values, **unknown, epochs=1)
    return selectors.Pool(
        found.ids,
        embeddings=found.vectors,
        pseudo_labels=found.labels,
        confidence=confidence,
        dynamics=dynamics,
        labels=_given_labels(run.dataset, labels_field, found),
        locked=_locked(run.dataset, locked_tag, found),
        neighbors=kept_graph(run, found),
    )


def _given_labels(dataset, field, found):
    """(N,) int of the labels in a field, which may be wrong; every image needs one."""
    if not field:
        return None
    labels = truth.read_all(dataset, field, found.ids.tolist(), "labels_field")
    return np.unique(labels, return_inverse=True)[1]


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
