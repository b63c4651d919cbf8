"""The job that lets the labels so far correct the pseudo-labels, and scores all images again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from ... import rounds
from ...contracts import Sink
from ...errors import InvalidInput
from ...options import ScoringOptions
from ...proxy.config import ProxyConfig
from ...stages import stage_weights
from .. import fields, keeping
from ..fiftyone_types import Dataset
from ..run import Run
from ..session import WRITING, Session
from ..update import apply_again
from . import samples, state
from .timeline import LEARNT

CORRECTING = "Correcting pseudo-labels"


def learn_labels(
    dataset: Dataset, key: str = "elfs", *, device: str = "auto", sinks: Iterable[Sink] = ()
) -> dict[str, Any]:
    """Corrects the pseudo-labels of a run by the labels so far, cluster by cluster, see :func:`~...rounds.corrected`.

    Then the run's proxy is trained on them, ranks and an applied selection follow with the same β and share. Tags stay.

    Returns:
        dict: ``labels`` that were learnt from, ``clusters`` before, how many go ``by_model`` now, ``classes`` that the
        pseudo-labels have now, ``warnings``

    Raises:
        InvalidInput: where there are no labels of two classes yet
    """
    run = Run(dataset._dataset, key).require("scores", "learning from labels")
    seed = run.stages["scores"].get("seed", 0)
    stages = {CORRECTING: 2, **stage_weights("dynamics"), WRITING: 2}
    with Session(
        dataset,
        key,
        "Learning from labels",
        stages,
        sinks,
        seed,
        device,
        needs="scores",
        whole=True,
        stage_folder="learning",
        kind="learn_labels",
    ) as job:
        job.reporter.stage(CORRECTING)
        applied = job.record.stages.get("selection")
        scored = job.record.stages["scores"]["scored"]
        told = _correct(job, seed)
        stage = job.record.stages["scores"]
        options = ScoringOptions(
            ProxyConfig.from_dict(stage.get("proxy")), stage["score"], None, stage.get("image_size") or 32
        )
        keeping.keep(job, "scores", job.working.train(options))
        if applied:
            apply_again(job, applied, scored)
        for one in state.rounds_of(job.record)[-1:]:
            one.when[LEARNT] = time.time()
            state.keep(job.record, one)
        for warning in told["warnings"]:
            job.reporter.warn(warning)
        job.publish(job.reporter.stage(WRITING))
        return {"key": key, **told}


def _correct(job, seed):
    """Puts corrected pseudo-labels into the draft. Returns what is told of them."""
    labelling = state.labelling_of(job.record)
    if labelling is None:
        raise InvalidInput(f"The run '{job.key}' has no rounds yet. Use next_batch first.", "key")
    held = samples.read(job.dataset, job.key, labelling.labels_field)
    job.use_labels()
    working = job.working
    ids = np.array(working.ids)
    known = samples.labelled(ids, held.known)
    if len(known.classes) < 2:
        raise InvalidInput(
            "There is nothing to learn from yet: labels of two classes at least are needed. Take labels back first.",
            "key",
        )
    before = len(job.names)
    found = rounds.corrected(
        job.working.embeddings(), working.labels, known, seed, {at: name for at, name in enumerate(job.names)}
    )
    working.labels = found.labels.astype(np.int32)
    working.num_clusters, job.names = len(found.names), found.names
    job.draft.put(*fields.label_columns(job.key, working.ids, working.labels, found.confidence, names=found.names))
    job.draft.clear([f"{job.key}.agreement"])  # of the heads of a clustering that these labels are not of
    stage = job.record.stages["pseudo_labels"]
    stage.update(clusters=len(found.names), learnt={"labels": len(known), "by_model": int(found.by_model.sum())})
    job.draft.results["clusters"] = None
    return {
        "labels": len(known),
        "clusters": before,
        "by_model": int(found.by_model.sum()),
        "classes": len(found.names),
        "warnings": found.warnings,
    }
