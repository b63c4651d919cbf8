"""Coresets by any method of :mod:`..selectors`, from what a finished run has: a tag and a saved view."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import selectors
from ..choice import Coreset, choose
from ..contracts import Budget, Integers, Sink, Veto
from ..errors import InvalidInput
from ..pipeline import CHOOSING
from ..proxy.dynamics import Dynamics
from ..proxy.labelled import probabilities_of_all
from ..pruning.scores import SCORES
from ..selectors.recommend import AUTO, check_asked
from ..selectors.sequences import check_sequence
from ..selectors.spread import Spread
from ..validation import validate_seed
from . import coverage, fields, kept_choices, saving, truth
from .advising import is_trusted
from .arrays import RunPool, kept_graph, read_pool
from .fiftyone_types import Dataset
from .row_values import parents_and_times
from .run_job import RunJob
from .write_back import add as add_write_back

if TYPE_CHECKING:
    from ..options import ElfsOptions
    from .run import Run
    from .session import Session

READING = "Reading the run"
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
    spread: Mapping[str, Any] | None = None,
    sequence: int = 1,
    params: Mapping[str, Any] | None = None,
    learner: str = "probe",
    labels_field: str | None = None,
    locked_tag: str | None = None,
    device: str = "auto",
    write_back: bool = False,
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Chooses ``budget`` of the run's images by a method and tags them; zones and ranks of the run stay as they are.

    Args:
        method: one of :func:`~..selectors.available`, or ``"auto"`` for the one that :func:`~.advising.advice` names
        learner: what is going to learn from the labels, one of :data:`~..selectors.recommend.LEARNERS`
        params: its parameters
        budget, quota, veto, spread, seed: as for :func:`~..selectors.select`; a spread is for rows
        sequence: so many frames of a video, one after the other, are chosen together
        tag: names the coreset; ``view_name`` a saved view of the tag
        labels_field: given labels that may be wrong, for methods that judge labels; default: the pseudo-labels. For
            methods that learn from the locked images, their labels
        locked_tag: images with this tag are labelled already: the budget counts on top of them
        write_back: on a dataset of rows: writes the results to their source as well, see
            :func:`~.write_back.write_rows_back`

    Raises:
        InvalidInput, NameTaken
    """
    seed, params = validate_seed(seed), params or {}
    check_asked(method, params, learner)
    apart, sequence = Spread.of(spread), check_sequence(sequence)
    if method != AUTO:
        selectors.required(method, **params)  # refuses unknown methods and parameters before anything is read
    if not tag:
        raise InvalidInput("Name the tag for the coreset.", "tag")
    with _Choice(dataset, key, tag, view_name, sinks) as job:
        start = time.monotonic()
        job.reporter.stage(READING)
        found = read_pool(job.run)
        progress = job.reporter.stage(CHOOSING)
        pool = _with_labels(as_pool(job.run, found, locked_tag), method, dataset, labels_field, seed)
        made = choose(
            method,
            pool,
            budget,
            seed=seed,
            learner=learner,
            trusted=is_trusted(job.run),
            beta=job.run.stages.get("beta", {}).get("chosen"),
            score=job.run.stages["scores"]["score"],
            quota=quota,
            veto=veto,
            spread=apart,
            sequence=sequence,
            params=params,
            device=device,
            progress=progress,
        )
        warnings = [*made.selection.warnings, *left_out(found.labels, found.names, made.selection.indices)]
        for warning in warnings:
            job.reporter.warn(warning)
        ids = found.ids[made.selection.indices].tolist()
        rules = {"quota": quota, "veto": veto, "labels_field": labels_field, "locked_tag": locked_tag}
        rules.update(spread=None if apart is None else asdict(apart), sequence=sequence)
        locked = [] if pool.locked is None else np.flatnonzero(pool.locked).tolist()
        rules["choice"] = _keep(job, found.ids, made.selection, locked)
        told = details_of(made, seed, warnings)
        saving.save_ids(job.draft, job.record, ids, tag, view_name, {**told, **rules})
        if write_back:
            add_write_back(job.draft, job.record, job.dataset, tag)
        job.publish(job.reporter.stage(WRITING))
        return {
            "key": key,
            **{name: told[name] for name in ("method", "recommended", "warnings", "notes")},
            "coreset": len(ids),
            "tag": tag,
            **found.counts,
            "threshold": made.selection.threshold,
            "seconds": round(time.monotonic() - start, 3),
        }


def keep_choice(
    job: Session, options: ElfsOptions, trusted: bool, tag: str | None, view_name: str | None
) -> dict[str, Any]:
    """Chooses by another method than ELFS at the end of a whole run, and saves it under the names that are given.

    Args:
        trusted: whether nothing speaks against the pseudo-labels that the run has just made

    Returns:
        what :meth:`~.session.Session.summary` tells the caller of it
    """
    working, record = job.working, job.record
    progress = job.reporter.stage(CHOOSING)
    made = working.choose(options, record.stages["selection"]["beta"], trusted, progress)
    indices = made.selection.indices
    warnings = [*made.selection.warnings, *left_out(working.labels, job.names or [], indices)]
    told = details_of(made, options.seed, warnings)
    if tag:
        kept = {"choice": _keep(job, np.asarray(working.ids), made.selection)}
        saving.save_ids(job.draft, record, [working.ids[i] for i in indices], tag, view_name, {**told, **kept})
    return {name: told[name] for name in ("method", "recommended", "notes", "warnings")}


def details_of(made: Coreset, seed: int, warnings: Sequence[str]) -> dict[str, Any]:
    """What a run remembers of a choice under its tag, beside the rules that were kept."""
    advice = made.recommendation
    return {
        "method": made.method,
        "recommended": None if advice is None else {"reason": advice.reason, "second": advice.second},
        "budget": len(made.selection.indices),
        "seed": seed,
        "params": made.params,
        "warnings": list(warnings),
        "notes": list(made.selection.notes),
    }


def _keep(job, ids, selection, locked=()):
    """The token of :func:`~.kept_choices.save`; a run can do without."""
    token = kept_choices.save(job.run.folder, ids, selection, locked)
    if token is None:
        job.reporter.warn(f"The reasons of the choice could not be kept in {job.run.folder}; the panel shows none.")
    return token


class _Choice(RunJob):
    """The job of :func:`choose_coreset`. Its names are checked before it waits for the lock, and under it."""

    def __init__(self, dataset, key, tag, view_name, sinks):
        self._names = tag, view_name
        stages = {READING: 2, CHOOSING: 8, WRITING: 1}
        super().__init__(dataset, key, "Choosing a coreset", stages, sinks, kind="choice", needs="scores")
        self.begin()

    def begin(self):
        saving.check_names(self.dataset, self.record, *self._names)


def left_out(labels: Integers, names: Sequence[str], indices: Integers) -> list[str]:
    """A sentence about the clusters that have no image in a coreset, if there are any; ``labels`` (N,) are numbers of
    ``names``."""
    sizes = np.bincount(labels, minlength=len(names))
    chosen = np.bincount(labels[indices], minlength=len(names))
    missing = np.flatnonzero((sizes > 0) & (chosen == 0))
    largest_first = missing[np.argsort(-sizes[missing], kind="stable")].tolist()
    return [coverage.sentence({names[label]: int(sizes[label]) for label in largest_first})] if len(missing) else []


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
    parents, times = parents_and_times(run.dataset, found.ids.tolist())
    dynamics = Dynamics(**values, **unknown, epochs=1)
    return selectors.Pool(
        found.ids,
        embeddings=found.vectors,
        pseudo_labels=found.labels,
        confidence=confidence,
        dynamics=dynamics,
        parents=parents,
        times=times,
        locked=_locked(run.dataset, locked_tag, found),
        neighbors=kept_graph(run, found),
    )


def _with_labels(pool, method, dataset, field, seed):
    """The pool with what a field of labels, which may be wrong, says of it."""
    if not field or method == AUTO:  # no method that is recommended reads labels
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
