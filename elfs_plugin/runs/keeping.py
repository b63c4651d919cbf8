"""What the stages have made, as values on samples and as entries of the record: into the draft of a job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..clustering.health import health, per_cluster
from ..encoders.default import resolve_encoder
from ..encoders.provenance import Provenance
from ..files import FULL
from ..pruning.scores import HARD_WHEN
from ..pruning.zones import difficulty_rank
from . import fields, graph, ranking, record, samples, vectors, workspace

if TYPE_CHECKING:
    from ..pipeline import WorkingSet
    from .session import Session

MAX_LISTED_FAILURES = 10_000
HISTOGRAM_BINS = 60


def embed(job: Session, encoder: str, weights: str | None, field: str | None) -> None:
    """Embeds the images of a :class:`~.session.Session` into a field (default ``<key>_embeddings``), or above
    :data:`~.vectors.LARGE` into files. The record says which encoder ``"auto"`` was, and what its vectors come from."""
    field = field or f"{job.key}_embeddings"
    record.check_embeddings_field(job.dataset, job.record, field)
    found = job.read(samples.read_samples(job.collection))
    encoder = resolve_encoder(encoder, found.paths)
    compute = None
    if encoder.startswith(samples.ZOO_PREFIX):
        compute = partial(samples.zoo_embeddings, fields.writable(job.dataset), found, encoder)
    working, run = job.working, job.record
    made = working.embed(found.ids, found.paths, encoder, weights, compute).provenance or Provenance(encoder)
    run.failed = len(working.failures)
    if run.owns_embeddings and run.embeddings_field != field:
        job.draft.step("release", field=run.embeddings_field)
    if "embeddings" not in job.stages.resumed:
        drop_plots(job)
    run.embeddings_field, run.owns_embeddings, run.vectors = field, True, ""
    run.similarity_index = run.index_made = None
    if len(working.ids) > vectors.LARGE:
        run.vectors = vectors.save(job.run.folder, working.ids, working.vectors)
        if job.dataset.has_sample_field(field):
            job.draft.clear([field])
    else:
        job.draft.put(fields.vector_column(field, working.ids, working.vectors))
    job.clear("pseudo_labels", "scores", "selection")
    failures(job)
    job.finish(
        "embeddings",
        **made.to_dict(),
        weights=weights,
        embedded=len(working.ids),
        failed=run.failed,
        dimensions=int(working.vectors.shape[1]),
        seconds=job.stages.seconds["embeddings"],
    )


def keep(job: Session, stage: str, result: Any) -> None:
    """Puts a result of :func:`~..pipeline.follow` into the draft of a :class:`~.session.Session`."""
    {"pseudo_labels": _labels, "scores": _scores, "beta": _beta}[stage](job, result)


def _labels(job, result):
    count, neighbors, labels = result
    working = job.working
    job.record.owns_field = True
    job.clear("scores", "selection")
    job.draft.put(*fields.label_columns(job.key, working.ids, labels.labels, labels.confidence, labels.agreement))
    keep_graph(job, partial(graph.save, job.run.folder, working.ids, neighbors.indices, neighbors.similarities))
    job.names = [f"cluster {label}" for label in range(working.num_clusters)]
    ranking.new_ranking(job.record)
    failures(job)
    job.draft.results.update(
        clusters={
            "occupancy": labels.occupancy.tolist(),
            "head_losses": labels.head_losses.tolist(),
            "loss_curve": labels.loss_curve.tolist(),
            "head_scores": labels.head_scores.tolist(),
            "best_head": labels.best_head,
            **health(labels),
            "warnings": labels.warnings,
            "per_cluster": per_cluster(labels, working.ids),
        },
        cluster_count=count and count.to_dict(),
        histogram=None,
        beta=None,
    )
    job.finish(
        "pseudo_labels",
        clusters=working.num_clusters,
        neighbors=neighbors.k,
        neighbor_search=neighbors.method,
        neighbor_recall=neighbors.recall,
        estimated=count is not None,
        config=working.clustered_by.to_dict(),
        labelled=len(working.ids),
        since=job.since,
        embeddings_field=job.record.embeddings_field,
        similarity_index=job.record.similarity_index,
        seconds=job.stages.seconds["neighbors"] + job.stages.seconds["pseudo_labels"],
    )


def _scores(job, dynamics):
    working = job.working
    job.record.failed = len(working.failures)
    job.record.owns_field = True
    job.clear("selection")
    rank = difficulty_rank(working.scores, hard=HARD_WHEN[working.score], ids=working.ids)
    job.draft.put(*fields.score_columns(job.key, working.ids, dynamics, rank))
    job.draft.step("indexes")
    if not job.dataset.has_workspace(workspace.NAME):
        job.draft.step("workspace")
        job.record.workspace = workspace.NAME
    job.new_ranking()
    failures(job)
    job.draft.results.update(histogram=histogram(working), beta=None)
    job.finish(
        "scores",
        score=working.score,
        proxy=working.scored_by.to_dict(),
        scored=len(working.ids),
        epochs=dynamics.epochs,
        image_size=working.scored_at,
        seconds=job.stages.seconds["dynamics"],
    )


def _beta(job, result):
    search, budget, config, unread = result
    reason = search.reason
    if unread:
        first = next(iter(unread.values()))
        reason += f" Images that cannot be read took no part: {len(unread):,} (the first: {first})."
    job.draft.results["beta"] = {
        "budget": budget,
        "betas": search.betas.tolist(),
        "accuracies": search.accuracies.tolist(),
        "mean": search.mean.tolist(),
        "spread": search.spread.tolist(),
        "chosen": search.chosen,
        "smallest": search.smallest,
        "reason": reason,
        "proxy": config.kind,
    }
    job.finish(
        "beta",
        budget=budget,
        repeats=search.accuracies.shape[1],
        chosen=search.chosen,
        reason=reason,
        proxy=config.to_dict(),
        seconds=job.stages.seconds["beta"],
    )


def failures(job: Session) -> None:
    """Lists the samples that take no part, with the reasons."""
    job.draft.results["failures"] = dict(list(job.working.failures.items())[:MAX_LISTED_FAILURES])


def histogram(working: WorkingSet) -> dict[str, Any]:
    """The histogram of the scores of a :class:`~..pipeline.WorkingSet`, as a dict."""
    counts, edges = np.histogram(working.scores, bins=HISTOGRAM_BINS)
    score = working.score
    return {"score": score, "hard": HARD_WHEN[score], "counts": counts.tolist(), "edges": edges.tolist()}


def keep_graph(job: Session, save: Callable[[], str | None]) -> None:
    """Keeps neighbours for the panel and for other methods, by a function that saves them and returns their token; a
    run can do without."""
    try:
        job.record.graph = save()
    except OSError as error:
        job.record.graph = ""
        why = "the disk is full" if error.errno in FULL else error.strerror or str(error)
        job.reporter.warn(f"The neighbours could not be kept in {job.run.folder} ({why}); the panel shows none.")


def drop_plots(job: Session) -> None:
    """Removes what shows other vectors than the run's: its plots and its neighbours."""
    job.record.graph = ""
    if job.record.brain_keys:
        job.draft.step("drop_plots", keys=list(job.record.brain_keys))
        job.record.brain_keys = []
