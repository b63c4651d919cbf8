"""Suggestions for annotators. They are written to ``<key>.prelabel`` and never to the field of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...contracts import AnyPath, Progress
from ...errors import InvalidInput
from ...progress import silent
from ...proxy.labelled import probabilities_of_all
from ...validation import shown
from .. import fields, reading
from ..arrays import read_pool
from . import samples
from .samples import RoundSamples
from .state import Labelling

if TYPE_CHECKING:
    from ..run import Run

MODEL, CLUSTERS, CLIP = "model", "clusters", "open_clip:"
SOURCES = {
    MODEL: "A model that has learnt the labels so far",
    CLUSTERS: "Clusters that have been named as classes",
    f"{CLIP}ViT-B-32/openai": "CLIP, by the names of the classes; any OpenCLIP model can be named so",
}
"""Where suggestions come from; besides these, any field of classifications."""


def suggest(
    run: Run,
    source: str,
    labelling: Labelling,
    held: RoundSamples,
    ids: Sequence[str],
    seed: int = 0,
    weights: AnyPath | None = None,
    progress: Progress = silent,
) -> dict[str, str]:
    """{id: class} for those of the ids for which there is one.

    Args:
        source: one of :data:`SOURCES`, ``open_clip:<model>/<tag>``, or a field
        weights: a local checkpoint of the CLIP model

    Raises:
        InvalidInput: when the source has none
        MissingModel: for a CLIP model that there is not, or whose weights cannot be had
    """
    if source == MODEL:
        found = _of_model(run, held, ids, seed)
    elif source.startswith(CLIP):
        found = _of_names(run, labelling.classes, ids, source, weights, progress)
    else:
        found = _of_field(run, run.key + ".pseudo_label" if source == CLUSTERS else source, ids)
    classes = set(labelling.classes)
    known = {i: label for i, label in found.items() if label in classes}
    if not known:
        hint = (
            "No cluster has the name of a class. Rename the values of the field "
            f"'{run.key}.pseudo_label' to classes, or take another source."
            if source == CLUSTERS
            else f"{shown(source)} suggests no class of this run's rounds for this batch."
        )
        raise InvalidInput(hint, "prelabels")
    return known


def _of_model(run, held, ids, seed):
    found = read_pool(run)
    known = samples.labelled(found.ids, held.known)
    if len(known.classes) < 2:
        raise InvalidInput("A model needs labels of two classes at least; there are none yet.", "prelabels")
    probabilities = probabilities_of_all(found.vectors, known.rows, known.labels, seed)
    best = dict(zip(found.ids.astype(str).tolist(), known.classes[probabilities.argmax(axis=1)].tolist()))
    return {i: best[i] for i in ids if i in best}


def _of_names(run, classes, ids, model, weights, progress):
    from ...encoders.zero_shot import zero_shot

    paths = reading.by_id(run.dataset, ids, "filepath")
    there = [i for i in ids if i in paths]
    found = zero_shot([paths[i] for i in there], classes, model, weights=weights, progress=progress)
    read = [i for i, ok in zip(there, found.ok) if ok]
    return {i: classes[label] for i, label in zip(read, found.labels.tolist())}


def _of_field(run, field, ids):
    from ..truth import truth_path

    path = f"{field}.label" if field == f"{run.key}.pseudo_label" else truth_path(run.dataset, field, "prelabels")
    wanted = set(ids)
    every, values = fields.writable(run.dataset).values(["id", path])
    return {i: str(value) for i, value in zip(every, values) if value is not None and i in wanted}
