"""Bringing a run up to date with its dataset: samples added since take part, gaps of deleted ones close."""

import shutil
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import fiftyone as fo
import numpy as np

from .. import scratch
from ..contracts import Sink
from ..encoders.embed import Embeddings, validate_vectors
from ..encoders.inference import PYTORCH, engine_of
from ..errors import InvalidInput
from ..neighbors.label_transfer import DEFAULT_K, cross_neighbors, vote
from ..options import ScoringOptions
from ..progress import part
from ..proxy.train import ProxyConfig
from ..pruning.zones import resolve_budget
from ..stages import STAGES, stage_weights
from . import changes, fields, graph, index_vectors, keeping, own, reading, samples, vectors
from .fiftyone_types import Collection
from .run import Run
from .session import WRITING, Session
from .similarity_index import index_of_run

PLACING = "Finding the nearest labelled images"
_FOLDER = "update"


def update_run(
    collection: Collection, key: str = "elfs", *, device: str = "auto", sinks: Iterable[Sink] = ()
) -> dict[str, Any]:
    """Takes new samples into a finished run and closes the gaps that deleted ones have left.

    New samples are embedded by the run's own encoder (or their vectors are read from the field that the run uses), get
    the pseudo-label that their nearest labelled neighbours vote for, and are scored together with all others by the
    run's own proxy and seed. Clusters and the labels of the others stay. Without new samples nothing is trained.

    An applied selection is applied again with the same β and the same budget as a fraction, so zones are those of the
    new ranks. Tags stay as they were saved: what has been sent to be labelled does not change by itself. The curve of
    an earlier β search goes when scores change.

    An image that exists and has lost its values (somebody cleared a field, say) has not been deleted: it is taken in
    again, with its pseudo-label and its vector where it has them still. Until everything is complete the run stays as
    it was; a job that was killed resumes.

    Args:
        collection: a dataset (what was added since the run takes part) or a view (those of its samples that have no
            score take part, whenever they were added)

    Returns:
        the summary of a run, with ``added``, ``deleted``, ``restored`` (samples of the run that had lost their values)
        and ``left_out`` (of these and the new ones, those that could not be used)

    Raises:
        InvalidInput: for a run without scores, new samples of which none can be used, or given vectors that samples of
            the run have lost
    """
    dataset = collection._dataset
    run = Run(dataset, key).require("scores", "an update")
    seed = run.stages["scores"].get("seed", 0)
    weights = stage_weights("embeddings", "dynamics")
    stages = {STAGES["embeddings"]: weights[STAGES["embeddings"]], PLACING: 3, **weights, WRITING: 2}
    with Session(
        collection,
        key,
        "Updating the run",
        stages,
        sinks,
        seed,
        device,
        needs="scores",
        whole=True,
        stage_folder=_FOLDER,
        kind="update",
    ) as job:
        collection = own.rebound(collection, job.dataset)
        applied = job.record.stages.get("selection")
        scored = job.record.stages["scores"]["scored"]
        since = job.run.changes
        unranked, partly = changes.lost_ids(job.dataset, job.record)
        deleted = max(since.deleted - len(unranked), 0)
        lost = {*unranked, *partly}
        new = _new_samples(collection, job.dataset, job.record)
        added, restored, left_out = 0, 0, {}
        if len(new) or lost:
            added, restored, left_out = _take_in(job, new, lost)
        if job.working.ids is None and (deleted or not since.dense or since.present != scored):
            job.rank_again()
        if applied and job.working.ids is not None:
            apply_again(job, applied, scored)
        summary = job.summary("scores")
        shutil.rmtree(job.run.folder / _FOLDER, ignore_errors=True)
        return {**summary, "added": added, "deleted": deleted, "restored": restored, "left_out": len(left_out)}


def apply_again(job: Session, applied: Mapping[str, Any], scored: int) -> None:
    """Applies an earlier selection (the stage of the record) to new ranks, with the same β and the same share of the
    images, of which there were ``scored``: everything after the scores was made from the old ones."""
    n = job.record.stages["scores"]["scored"]
    budget = max(applied["coreset"] / scored, 1 / n)
    beta = min(applied.get("beta", applied["hard"] / scored), 1 - resolve_budget(float(budget), n) / n)
    job.apply(float(budget), max(beta, 0.0))


def _new_samples(collection, dataset, run):
    """The :class:`~.samples.Samples` that are to take part and never did."""
    if isinstance(collection, fo.Dataset):
        view = fields.writable(dataset).match(changes.added_query(dataset, run))
    else:
        samples.check_collection(collection)
        view = collection.match({f"{run.key}.rank": None})
    return samples.read_samples(view)


def _take_in(job, new, lost):
    """Embeds, labels and scores new samples, and those that have lost values, with all others.

    Returns:
        how many of the new, and how many of the ``lost``, take part now; {id: reason} of the rest of both
    """
    dataset, key, run = job.dataset, job.key, job.record
    stage, before = run.stages.get("embeddings", {}), changes.run_time(dataset, run)
    label_ids, labels, names = fields.read_labels(fields.writable(dataset), key)
    fresh = [i for i in new.ids if i not in lost]
    labelled = dict(zip(label_ids, labels.tolist()))
    for i in fresh:
        labelled.pop(i, None)
    if not labelled:
        raise InvalidInput(f"No image has a pseudo-label of the run '{key}' any more. Run ELFS again.", "key")
    members = sorted({*labelled, *lost})
    old_vectors, known = vectors.read(job.run, members)
    ids = [i for i, ok in zip(members, known) if ok]
    bare = [i for i, ok in zip(members, known) if not ok]
    if bare and not (run.owns_embeddings and stage.get("encoder")):
        raise InvalidInput(
            f"{len(bare):,} images of the run have no usable vector in {run.vectors_in} any more (the first: "
            f"{bare[0]}). Write their vectors there again, or run ELFS again without them."
        )

    paths = {**dict(zip(new.ids, new.paths)), **reading.by_id(dataset, bare, "filepath")}
    wanted = sorted([*fresh, *bare])
    embeddings = _embed(job, samples.Samples(wanted, [paths[i] for i in wanted]), stage, old_vectors.shape[1])
    left_out = {wanted[index]: reason for index, reason in embeddings.failures.items()}
    embedded = [i for i, ok in zip(wanted, embeddings.ok) if ok]
    failures = job.run.results.get("failures", {})
    taken = {*ids, *embedded}
    job.working.failures = {**{i: reason for i, reason in failures.items() if i not in taken}, **left_out}
    run.failed = len(job.working.failures)
    run.stages["pseudo_labels"]["since"] = job.since
    keeping.failures(job)
    if not embedded and not lost:
        return 0, 0, left_out
    if run.owns_embeddings and stage and embedded:
        _add_vectors(job, embedded, embeddings.vectors)

    working, together = job.working, [*ids, *embedded]
    order = np.argsort(np.array(together), kind="stable")  # whatever came first: the result goes by ids
    working.ids = [together[row] for row in order.tolist()]
    working.vectors = _in_order(old_vectors, embeddings.vectors, order)
    working.labels = np.array([labelled.get(i, -1) for i in working.ids], dtype=np.int32)
    _label(job, names)
    job.names, working.num_clusters = names, max(len(names), 2)
    scores = dict(run.stages["scores"])
    run.stages["pseudo_labels"]["labelled"] = len(working.ids)
    if stage:
        stage["embedded"] = len(working.ids)
    options = ScoringOptions(
        ProxyConfig.from_dict(scores.get("proxy")), scores["score"], None, scores.get("image_size")
    )
    keeping.keep(job, "scores", working.train(options))
    asked = {*fresh, *bare, *lost}
    left_out.update({i: reason for i, reason in working.failures.items() if i in asked})
    scored = set(working.ids)
    _count_cut_away(job, (scored & set(fresh)).difference(failures), before)
    return len(scored & set(fresh)), len(scored & lost), left_out


def _count_cut_away(job, ids, since):
    """Of samples that are new to the run, those that were there when it was made are no longer left out by its
    pre-cut."""
    stage = job.record.stages["pseudo_labels"]
    if job.record.cut_away:
        times = reading.by_id(job.dataset, ids, "created_at", raw=True).values()
        stage["cut_away"] = max(0, job.record.cut_away - sum(made <= since for made in times))


def _in_order(old, new, order):
    """Rows ``order`` of both matrices together, float32."""
    vectors = scratch.empty((len(order), old.shape[1]))
    for block in scratch.blocks(len(order)):
        rows = order[block]
        known = rows < len(old)
        part = np.empty((len(rows), old.shape[1]), dtype=np.float32)
        part[known], part[~known] = old[rows[known]], new[rows[~known] - len(old)]
        vectors[block] = part
    return vectors


def _label(job, names):
    """Gives those of the job's samples that have no label (-1) the one that their nearest labelled neighbours vote for,
    and takes them into the stored neighbours."""
    working = job.working
    rest = working.labels < 0
    if not rest.any():
        return
    new_ids, old_ids = ([i for i, is_open in zip(working.ids, rest.tolist()) if is_open == wanted] for wanted in (1, 0))
    if not old_ids:
        raise InvalidInput(
            f"No image of the run '{job.key}' has both a pseudo-label and a usable vector any more. Run ELFS again."
        )
    progress = job.reporter.stage(PLACING)
    near, similarities = cross_neighbors(
        working.vectors[rest], working.vectors[~rest], max(DEFAULT_K, graph.KEPT), progress=part(progress, 0.0, 0.8)
    )
    voted = vote(working.labels[~rest][near[:, :DEFAULT_K]], similarities[:, :DEFAULT_K], len(names))
    _extend_graph(job, new_ids, working.vectors[rest], old_ids, near, similarities, part(progress, 0.8, 1.0))
    job.draft.add(*fields.label_columns(job.key, new_ids, voted.labels, voted.confidence, names=names))
    working.labels[rest] = voted.labels


def _embed(job, new, stage, dimensions):
    """:class:`~..encoders.embed.Embeddings` of the new samples, made as the run's own were."""
    run = job.record
    encoder = stage.get("encoder")
    if not len(new):
        return _nothing(0, dimensions, {})
    if not (run.owns_embeddings and encoder):
        return _given_vectors(job, new, dimensions)
    compute = None
    if encoder.startswith(samples.ZOO_PREFIX):
        compute = partial(samples.zoo_embeddings, fields.writable(job.dataset), new, encoder)
    engine = stage.get("inference", "")
    try:
        result = job.stages.embed(new.paths, encoder, weights=stage.get("weights"), beside=engine, compute=compute)
    except InvalidInput as error:  # not one of the new files can be used; the run is brought up to date without them
        return _nothing(len(new), dimensions, dict.fromkeys(range(len(new)), str(error)))
    made, known = result.provenance, stage.get("checksum")
    if made is not None and known and made.checksum != known:
        raise InvalidInput(
            f"The encoder {encoder} now has other weights than those that the run was made with. Run ELFS again on all "
            "images."
        )
    if result.vectors.shape[1] != dimensions:
        raise InvalidInput(
            f"The encoder {encoder} now gives {result.vectors.shape[1]} dimensions; the run has {dimensions}. "
            "Run ELFS again on all images."
        )
    if made is not None and engine_of(made.inference) != engine_of(engine):
        stage["inference_of_added"] = made.inference
        of_run = engine or f"by {PYTORCH}"
        job.reporter.warn(
            f"The new images are embedded {made.inference}, those of the run {of_run}: the vectors of one image by "
            "both may differ a little."
        )
    return Embeddings(result.vectors, result.ok, result.failures)


def _add_vectors(job, ids, new):
    """Keeps the vectors (Q, D) of new samples with the run's own."""
    if vectors.has_file(job.run.folder, job.record.vectors):
        job.record.vectors = vectors.extend(job.run.folder, job.record.vectors, ids, new)
    else:
        job.draft.add(fields.vector_column(job.record.embeddings_field, ids, new))


def _nothing(count, dimensions, failures):
    return Embeddings(np.empty((0, dimensions), dtype=np.float32), np.zeros(count, dtype=bool), failures)


def _given_vectors(job, new, dimensions):
    run = job.record
    progress = job.reporter.stage(STAGES["embeddings"])
    progress(0.0, f"reading {run.vectors_in}")
    index = index_of_run(job.dataset, run)
    if index is not None:
        run.index_made = index.made
        if index.field is None:
            return index_vectors.read_index(job.dataset, index, new.ids, dimensions=dimensions, progress=progress)
    try:
        return _read_vectors(job, new, dimensions, run.embeddings_field if index is None else index.field)
    except InvalidInput as error:
        raise InvalidInput(
            f"None of the {len(new):,} new images has a usable vector in {run.vectors_in}, which the run uses. Write "
            "their vectors there first."
        ) from error


def _read_vectors(job, new, dimensions, field):
    place = reading.by_id(job.dataset, new.ids, field)
    return validate_vectors([place.get(i) for i in new.ids], expected_dim=dimensions)


def _extend_graph(job, new_ids, vectors, old_ids, near, similarities, progress):
    """Adds the new samples to the stored neighbours, each other's among them."""
    kept = min(len(new_ids) - 1, graph.KEPT)
    neighbors = [[old_ids[row] for row in rows] for rows in near.tolist()]
    likeness = similarities.tolist()
    if kept:
        twins, twin_similarities = cross_neighbors(vectors, vectors, kept + 1, progress=progress)
        for row, (rows, values) in enumerate(zip(twins.tolist(), twin_similarities.tolist())):
            neighbors[row] = neighbors[row] + [new_ids[other] for other in rows if other != row]
            likeness[row] = likeness[row] + [value for other, value in zip(rows, values) if other != row]
    keeping.keep_graph(job, partial(graph.extend, job.run.folder, job.record.graph, new_ids, neighbors, likeness))
