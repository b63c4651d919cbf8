"""Suggestions for annotators. They are written to ``<key>.prelabel`` and never to the field of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import InvalidInput
from ...proxy.labelled import probabilities_of_all
from ...validation import shown
from .. import fields
from ..arrays import read_pool
from . import samples
from .samples import RoundSamples
from .state import Labelling

if TYPE_CHECKING:
    from ..run import Run

MODEL, CLUSTERS = "model", "clusters"
SOURCES = {
    MODEL: "A model that has learnt the labels so far",
    CLUSTERS: "Clusters that have been named as classes",
}
"""Where suggestions come from; besides these, any field of classifications."""


def suggest(
    run: Run, source: str, labelling: Labelling, held: RoundSamples, ids: Sequence[str], seed: int
) -> dict[str, str]:
    """{id: class} for those of the ids for which there is one.

    Raises:
        InvalidInput: when the source has none
    """
    if source == MODEL:
        found = _of_model(run, held, ids, seed)
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


def _of_field(run, field, ids):
    from ..truth import truth_path

    path = f"{field}.label" if field == f"{run.key}.pseudo_label" else truth_path(run.dataset, field, "prelabels")
    wanted = set(ids)
    every, values = fields.writable(run.dataset).values(["id", path])
    return {i: str(value) for i, value in zip(every, values) if value is not None and i in wanted}
