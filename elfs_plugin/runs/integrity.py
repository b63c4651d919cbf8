"""Whether a run still fits its dataset: what has changed under it, and what to do about each change.

Cheap enough to be asked whenever the panel is drawn: counts come from indexes, nothing is read sample by sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import fiftyone as fo

from ..providers import PROVIDERS
from . import vectors
from .deletion import is_half_deleted
from .similarity_index import similarity_indexes
from .versions import ranking_version

if TYPE_CHECKING:
    from .run import Run


@dataclass(frozen=True)
class Finding:
    """``code`` for programs, ``text`` for people; ``operator`` (a short name) with its ``label`` is the next step, or
    both are None."""

    code: str
    text: str
    operator: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class RunHealth:
    """The findings about a run. ``broken``: its ranks cannot be shown until a finding is mended."""

    key: str
    findings: list[Finding]
    broken: bool

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self.findings]


_RUN = ("run_elfs", "Run ELFS again")
_EMBEDDINGS = (PROVIDERS["embeddings"], "Compute embeddings again")
_LABELS = (PROVIDERS["pseudo_labels"], "Compute pseudo-labels again")
_SCORES = (PROVIDERS["scores"], "Compute scores again")
_UPDATE = ("update_run", "Update run")
_DELETE = ("delete_run", "Delete run")
_REPAIR = ("repair_run", "Finish writing")

_BROKEN = {"field_missing", "label_missing", "rank_missing", "samples_gone"}


def check_run(run: Run) -> RunHealth:
    """:class:`RunHealth` of a :class:`~.run.Run`; one that is fine has no findings.

    Codes: ``dataset_deleted``, ``run_deleted``, ``newer_version``, ``in_progress``, ``field_missing``,
    ``label_missing``, ``rank_missing``, ``vectors_missing``, ``index_changed``, ``samples_gone``, ``samples_deleted``,
    ``samples_added``, ``ranks_changed``, ``results_missing``, ``names_out_of_date``, ``unfinished`` (a job was killed
    while it wrote), ``half_deleted``.
    """
    key = run.key
    if run.dataset.deleted:
        return RunHealth(key, [Finding("dataset_deleted", "The dataset has been deleted.")], True)
    record, job = run.record, run.job
    working = []
    if job and job["state"] == "running":
        text = f"{job['operation']} is at work on the run '{key}'; what is shown may change."
        working = [Finding("in_progress", text)]
    if record is None:
        if working:
            return RunHealth(key, working, False)
        text = f"The run '{key}' has been deleted. Choose another run, or start a new one."
        return RunHealth(key, [Finding("run_deleted", text, "run_elfs", "Run ELFS")], True)
    found = list(working)
    if record.is_newer:
        text = (
            f"The run '{key}' was made by a newer version of the plugin. It can be looked at as far as this version "
            "understands it; update the plugin to change it."
        )
        found.insert(0, Finding("newer_version", text))
    if record.pending and not working:
        found.append(_unfinished(record))
        # Whatever else there is to say is of results that are about to change.
        return RunHealth(key, found, "scores" not in record.stages or is_half_deleted(record))
    missing = _missing_fields(run)
    found += missing
    if "scores" in record.stages and not _BROKEN & {finding.code for finding in missing}:
        found += _changed_samples(run)
    if "scores" in record.stages and not run.results.get("histogram"):
        text = "The run's stored results (histogram, β curve, failures) are missing or cannot be read."
        found.append(Finding("results_missing", f"{text} The scores on the samples are there.", *_SCORES))
    return RunHealth(key, found, bool(_BROKEN & {finding.code for finding in found}))


def _unfinished(record):
    if is_half_deleted(record):
        text = (
            f"The deletion of the run '{record.key}' was interrupted: part of it is gone. Delete it again for the rest."
        )
        return Finding("half_deleted", text, *_DELETE)
    text = (
        f"A job on the run '{record.key}' was interrupted while it wrote its results: scores, zones, tags and views "
        "may be of two states. All is there to finish it, in seconds; any further job on the run does that too."
    )
    return Finding("unfinished", text, *_REPAIR)


def _missing_fields(run):
    schema = run.dataset.get_field_schema(flat=True)
    key, stages, vector_field, found = run.key, run.stages, run.record.embeddings_field, []
    if "pseudo_labels" in stages or "scores" in stages:
        given = run.record.similarity_index or vector_field in schema
        again = _LABELS if given else _RUN
        if key not in schema:
            renamed = _renamed(run.dataset, schema)
            text = f"The field '{key}' that holds the run's results has been deleted or renamed."
            if renamed:
                text += f" It looks as if it were '{renamed}' now: rename it back, or run ELFS again."
            found.append(Finding("field_missing", text, *again))
        elif f"{key}.pseudo_label" not in schema:
            found.append(
                Finding("label_missing", f"The field '{key}.pseudo_label' has been deleted or renamed.", *again)
            )
        elif "scores" in stages and f"{key}.rank" not in schema:
            text = f"The field '{key}.rank' has been deleted or renamed."
            found.append(Finding("rank_missing", text, *_SCORES))
    if run.record.similarity_index:
        found += _index_findings(run)
    if vector_field and vector_field not in schema and not vectors.has_file(run.folder, run.record.vectors):
        text = f"The vector field '{vector_field}' has been deleted or renamed. "
        text += "The β search, an update and an embedding plot need it; what is selected stays."
        found.append(Finding("vectors_missing", text, *(_EMBEDDINGS if run.record.owns_embeddings else _LABELS)))
    return found


def _index_findings(run):
    """What has become of the similarity index that the run takes its vectors from."""
    record = run.record
    index = similarity_indexes(run.dataset).get(record.similarity_index)
    if index is None:
        text = (
            f"The similarity index '{record.similarity_index}' has been deleted or renamed. The β search, an update "
            "and an embedding plot need its vectors; what is selected stays."
        )
        return [Finding("vectors_missing", text, *_LABELS)]
    if record.index_made is not None and index.made != record.index_made:
        text = (
            f"The similarity index '{index.key}' has been made again since its vectors were read. If by another model, "
            "compute pseudo-labels again: clusters and scores are of the old vectors."
        )
        return [Finding("index_changed", text, *_LABELS)]
    return []


def _renamed(dataset, schema):
    """A field that looks like a run's and belongs to none, or None."""
    known = set(dataset.list_runs())
    for path, kind in schema.items():
        alone = "." not in path and path not in known and isinstance(kind, fo.EmbeddedDocumentField)
        if alone and {f"{path}.pseudo_label", f"{path}.agreement"} <= set(schema):
            return path
    return None


def _changed_samples(run):
    changes = run.changes
    if changes.scored and not changes.present:
        if run.dataset._sample_collection.estimated_document_count():
            text = f"None of the {changes.scored:,} images of the run has a rank any more: they or the values are gone."
            return [Finding("samples_gone", text, *_RUN)]
        text = f"The {changes.scored:,} images of the run have been deleted, and the dataset is empty."
        return [Finding("samples_gone", text, *_DELETE)]
    found = []
    if changes.deleted:
        text = (
            f"{changes.deleted:,} of the {changes.scored:,} scored images are gone: deleted, or without a rank. "
            "Counts and zones are those of the run; an update closes the gaps without training."
        )
        found.append(Finding("samples_deleted", text, *_UPDATE))
    elif not changes.dense or changes.present != changes.scored:
        text = f"The values of '{run.key}.rank' were changed: they are no longer 0 to {changes.scored - 1:,}."
        found.append(Finding("ranks_changed", text, *_UPDATE))
    if changes.added:
        text = f"{changes.added:,} images were added after the run and have no score. An update places them."
        found.append(Finding("samples_added", text, *_UPDATE))
    return found + _outdated_names(run.record)


def _outdated_names(record):
    """Coresets that were saved from other ranks than the run has now. The batch of a round is no coreset to be saved
    again: it is what was labelled."""
    now = ranking_version(record)
    saved = {tag: details for tag, details in record.saved.items() if "round" not in details}
    older = [tag for tag, details in saved.items() if details.get("ranking") not in (None, now)]
    if not older or "selection" not in record.stages:
        return []
    named = ", ".join(f"'{tag}'" for tag in older[:5]) + (f" and {len(older) - 5:,} more" if len(older) > 5 else "")
    text = (
        f"Saved before the scores last changed: {named}. The tag, and the view that was saved beside it, hold the "
        "images that were chosen then; the zones are those of the new ranks. Save again to bring them together."
    )
    return [Finding("names_out_of_date", text)]
