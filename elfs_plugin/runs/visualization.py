"""A plot of the run's embeddings as a FiftyOne brain run, which FiftyOne's Embeddings panel shows."""

import time
from collections.abc import Iterable
from typing import Any

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np

from ..contracts import Sink
from ..encoders.projection import METHODS, UMAP_LIMIT, check_size, project
from ..errors import InvalidInput
from ..progress import part
from ..validation import shown, validate_seed
from . import fields, jobs, reading, record, vectors
from .fiftyone_types import Collection
from .plots import brain_key_of, check_brain_key
from .removal import remove_brain_run
from .session import WRITING, Session

PROJECTING = "Placing the images in the plane"


def visualize(
    collection: Collection, key: str = "elfs", *, method: str = "auto", seed: int = 0, sinks: Iterable[Sink] = ()
) -> dict[str, Any]:
    """Projects the embeddings of the run's images to the plane and registers the points as a brain run.

    Args:
        method: ``"umap"``, ``"pca"``, or ``"auto"``: UMAP up to 200,000 images

    Returns:
        a summary with ``brain_key`` (``<key>_<method>``), ``samples`` and ``left_out`` (images without a vector)

    Raises:
        InvalidInput: for an unknown method, too few or too many images for it, a run without pseudo-labels
        NameTaken: when a brain run or a field of that name exists that this run did not write
    """
    if not isinstance(method, str) or method not in ("auto", *METHODS):
        raise InvalidInput(f"Unknown method {shown(method)}. Use one of: auto, {', '.join(METHODS)}.", "method")
    seed = validate_seed(seed)
    stages = {PROJECTING: 8, WRITING: 2}
    with Session(
        collection, key, "Embedding plot", stages, sinks, seed, needs="pseudo_labels", whole=True, kind="visualization"
    ) as job:
        dataset = job.dataset
        n = job.record.stages["pseudo_labels"].get("labelled", 0)
        method = method if method != "auto" else "umap" if n <= UMAP_LIMIT else "pca"
        brain_key = brain_key_of(key, method)
        check_brain_key(dataset, job.record, brain_key)
        start = time.monotonic()
        progress = job.reporter.stage(PROJECTING)
        labelled = fields.writable(dataset).match({f"{key}.pseudo_label": {"$ne": None}})
        ids = labelled.values("id")
        check_size(len(ids), method)
        found, has_vector = vectors.read(job.run, ids)
        check_size(len(found), method)
        points = project(found, method, seed=seed, progress=part(progress, 0.05, 1.0))
        job.reporter.stage(WRITING)
        view = labelled if has_vector.all() else _only(labelled, ids, has_vector)
        # A field of the whole dataset cannot be written slice by slice; and an index needs points that differ.
        index = dataset.media_type != fo.core.media.GROUP and bool(np.ptp(points) > 0)
        with jobs.changing(dataset):
            dataset._reload(hard=True)
            check_brain_key(dataset, job.record, brain_key)  # somebody may have taken it meanwhile
            job.reporter.verify()
            remove_brain_run(dataset, brain_key)
            # The record comes first: a crash while writing leaves a brain run that delete_run knows of.
            if brain_key not in job.record.brain_keys:
                job.record.brain_keys.append(brain_key)
            record.save_record(dataset, job.record)
            fob.compute_visualization(
                view, points=points.astype(np.float64), brain_key=brain_key, create_index=index, progress=False
            )
        return {
            "key": key,
            "brain_key": brain_key,
            "method": method,
            "samples": len(points),
            "left_out": int((~has_vector).sum()),
            "seconds": round(time.monotonic() - start, 3),
        }


def _only(view, ids, wanted):
    """The view's samples at the places that are wanted, (N,) bool; of the ids those are listed that are fewer."""
    listed: dict[bool, list[str]] = {True: [], False: []}
    for i, ok in zip(ids, wanted.tolist()):
        listed[ok].append(i)
    fewer = min(listed.values(), key=len)
    if len(fewer) > reading.MOST_LISTED:
        raise InvalidInput(
            f"{len(listed[False]):,} images of the run have no usable vector any more: more than a view can list "
            f"({reading.MOST_LISTED:,}). Compute the embeddings and pseudo-labels again."
        )
    return view.select(fewer) if fewer is listed[True] else view.exclude(fewer)
