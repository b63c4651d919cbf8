"""A job that runs stages of ELFS on a run: what they start from is read here, what they made goes into its draft.

:mod:`.keeping` turns the results of stages into values and records.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..contracts import Budget, Sink
from ..encoders.embed import Embeddings
from ..errors import InvalidInput
from ..pipeline import WorkingSet
from ..progress import silent
from ..proxy.train import ProxyConfig
from ..pruning.scores import HARD_WHEN
from ..pruning.zones import as_beta, difficulty_rank, resolve_beta, resolve_budget
from ..stages import STAGES, Stages, stage_weights
from . import coverage, fields, folder, keeping, own, ranking, roster, samples, saving, vectors
from .fiftyone_types import Collection
from .index_vectors import read_index
from .run_job import RunJob
from .similarity_index import find_index
from .write_back import add as add_write_back

WRITING = "Writing to the dataset"
READING = "Reading the similarity index"


class Session(RunJob):
    """See :class:`~.run_job.RunJob`. Nothing of an earlier run is touched before the new results are complete; where
    there is nothing to protect, each stage is written when it is finished.

    Attributes:
        collection: what the job works on, of the job's own dataset object
        stages: a :class:`~...stages.Stages`, whose finished results lie in the run's folder
        working: the :class:`~...pipeline.WorkingSet`; its ids are sample ids in order
        names: of the pseudo-labels: ``names[l]`` is the label l
        since: when the job began, in seconds since 1970

    Args:
        collection: a dataset or a view
        stages: stage keys, or shown name -> share of the work
        needs: the stage that must be finished
        whole: work on all samples of the dataset, whatever the view is
        stage_folder: where finished stages are kept, in the run's folder
        on_images: those stages that train on images
        kind: see :class:`~.run_job.RunJob`
    """

    def __init__(
        self,
        collection: Collection,
        key: str,
        operation: str,
        stages: Iterable[str] | dict[str, float],
        sinks: Iterable[Sink],
        seed: int = 0,
        device: str = "auto",
        needs: str | None = None,
        whole: bool = False,
        stage_folder: str = "stages",
        on_images: Iterable[str] = (),
        kind: str | None = None,
    ) -> None:
        if not whole:
            samples.check_collection(collection)
        weights = stages if isinstance(stages, dict) else {**stage_weights(*stages, on_images=on_images), WRITING: 2}
        super().__init__(collection, key, operation, weights, sinks, kind=kind, needs=needs)
        self._shows_reading = READING in weights
        fields.check_not_read_only(self.dataset, key)
        self.collection = fields.writable(self.dataset) if whole else own.rebound(collection, self.dataset)
        self.seed, self._device, self._stage_folder = seed, device, stage_folder
        self.names: list[str] | None = None
        self._paths: dict[str, str] | None = None
        self._ranking: tuple[Any, ...] | None = None
        self.since = time.time()

    def begin(self) -> None:
        folder.remove_orphans()
        self.stages = Stages(
            seed=self.seed, device=self._device, folder=self.run.folder / self._stage_folder, reporter=self.reporter
        )
        self.working = WorkingSet(self.stages, self._image_paths, self._needed_vectors)
        self._protects = bool({"pseudo_labels", "scores"} & set(self.run.stages))

    def publish(self, progress: Callable[[float], None] = lambda fraction: None) -> None:
        super().publish(progress)
        if self._ranking is not None:
            ranking.keep_ranking(self.run, *self._ranking)
            roster.save(self.dataset, self.key, ranking.ranking_version(self.record), self._ranking[0])
            self._ranking = None

    def finish(self, stage: str, **details: Any) -> None:
        """Notes a finished stage; what was made from an older result of it is forgotten."""
        self.record.drop_after(stage)
        self.record.stages[stage] = {"seed": self.seed, **details}
        if not self._protects:
            self.publish()

    def clear(self, *stages: str) -> None:
        """Lets the values of these stages go when the draft is written."""
        self.draft.clear(f"{self.key}.{name}" for stage in stages for name in fields.PATHS[stage])

    def new_ranking(self) -> None:
        """The scores have changed: what is keyed by the ranking is made anew."""
        ranking.new_ranking(self.record)
        self._ranking = (self.working.ids, self.working.scores, self.working.labels, self.names)

    def read(self, found: samples.Samples) -> samples.Samples:
        """Remembers the paths of :class:`~.samples.Samples` as they were when they were first read."""
        self._paths = dict(zip(found.ids, found.paths))
        return found

    def _image_paths(self):
        if self._paths is None:
            self.read(samples.read_samples(self.collection))
        return self._paths

    def _needed_vectors(self, ids):
        """Vectors (M, D) of these ids; a sample that has lost its vector is an error."""
        found, known = vectors.read(self.run, ids)
        if not known.all():
            first = ids[int(np.argmin(known))]
            raise InvalidInput(
                f"{int((~known).sum()):,} samples of the run have no usable vector in {self.record.vectors_in} "
                f"any more (first: {first}). Compute the embeddings and pseudo-labels again."
            )
        return found

    def use_vectors(self, field: str | None, similarity_index: Any = None) -> None:
        """Takes the vectors of an existing field or similarity index; where none is named, those of the run.

        Raises:
            InvalidInput: for a field or an index that does not exist or holds no usable vector
        """
        record = self.record
        field, index = self._source(field, similarity_index)
        before = record.embeddings_field, record.similarity_index
        same = before == (field, index and index.key)
        if index is not None:
            found = self.read(samples.read_samples(self.collection))
            embeddings = self._indexed(index, found.ids)
        elif same and vectors.has_file(self.run.folder, record.vectors):
            found = self.read(samples.read_samples(self.collection))
            stored, known = vectors.read(self.run, found.ids)
            embeddings = Embeddings(stored, known, {row: "no vector" for row in np.flatnonzero(~known).tolist()})
        else:
            found, embeddings = samples.read_vectors(self.collection, field)
            self.read(found)
        reasons = self.run.results.get("failures", {}) if same and index is None else {}
        self.working.take(found.ids, embeddings, reasons)
        record.failed = len(self.working.failures)
        if not same:
            if record.owns_embeddings:
                self.draft.step("release", field=record.embeddings_field)
            record.embeddings_field, record.owns_embeddings, record.vectors = field, False, ""
            record.similarity_index = index and index.key
            record.stages.pop("embeddings", None)
            keeping.drop_plots(self)
        record.index_made = index and index.made

    def _source(self, field, key):
        """(field, None) or (None, :class:`~.similarity_index.Index`)."""
        if field and key:
            raise InvalidInput("Give a vector field or a similarity index, not both.", "similarity_index")
        if not field and not key:
            field, key = self.record.embeddings_field, self.record.similarity_index
        if key:
            index = find_index(self.dataset, key)
            return (index.field, None) if index.field else (None, index)
        if not field:
            raise InvalidInput(
                "Name the vector field or the similarity index to use, or compute embeddings first.", "embeddings_field"
            )
        return field, None

    def _indexed(self, index, ids):
        """The :class:`~..encoders.embed.Embeddings` of samples in a similarity index."""
        progress = self.reporter.stage(READING) if self._shows_reading else silent
        return read_index(self.dataset, index, ids, progress=progress)

    def use_labels(self) -> None:
        """Takes the pseudo-labels on the dataset."""
        working = self.working
        working.ids, working.labels, self.names = fields.read_labels(self.collection, self.key)
        if not working.ids:
            raise InvalidInput(f"No sample of this view has a pseudo-label of the run '{self.key}'.")
        working.num_clusters = max(len(self.names), 2)
        working.failures = dict(self.run.results.get("failures", {}))

    def use_scores(self) -> None:
        """Takes the pseudo-labels and the scores on the dataset."""
        stage, working = self.record.stages["scores"], self.working
        whole = fields.writable(self.dataset)
        ids, scores = fields.read_scores(whole, self.key, stage["score"])
        label_ids, labels, self.names = fields.read_labels(whole, self.key)
        by_id = dict(zip(label_ids, labels))
        known = [i in by_id for i in ids]
        working.ids = [i for i, ok in zip(ids, known) if ok]
        if not working.ids:
            raise InvalidInput(f"No sample has scores of the run '{self.key}' any more. Run ELFS again.")
        working.score, working.scores = stage["score"], scores[known]
        working.labels = np.array([by_id[i] for i in working.ids], dtype=np.int32)
        working.num_clusters = max(len(self.names), 2)
        working.scored_by, working.scored_at = ProxyConfig.from_dict(stage.get("proxy")), stage.get("image_size")

    def rank_again(self) -> None:
        """Ranks the samples that have scores densely from 0 again, without training."""
        self.use_scores()
        working = self.working
        rank = difficulty_rank(working.scores, hard=HARD_WHEN[working.score], ids=working.ids)
        self.clear("selection")
        self.draft.put(fields.rank_column(self.key, working.ids, rank))
        self.draft.step("indexes")
        self.record.stages["scores"]["scored"] = len(working.ids)
        self.record.stages["pseudo_labels"]["labelled"] = len(working.ids)
        self.new_ranking()
        self.draft.results["histogram"] = keeping.histogram(working)

    def select(
        self,
        budget: Budget | str,
        beta: float | str,
        tag: str | None,
        view_name: str | None,
        expected: str | None = None,
        write_back: bool = False,
    ) -> None:
        """Applies double-end pruning and saves the coreset under the names that are given, see
        :func:`~.operations.select_coreset`."""
        start = time.monotonic()
        self.working.forget_images()
        if isinstance(beta, str) and beta == "auto":
            if "beta" not in self.record.stages:
                raise InvalidInput("No β has been searched yet. Set β, or use search_beta first.", "beta")
            beta = self.record.stages["beta"]["chosen"]
        n = self.record.stages["scores"]["scored"]
        count = resolve_budget(budget, n)
        resolve_beta(beta, count, n)
        self.check_names(tag, view_name, expected)
        self.reporter.stage(STAGES["selection"])
        self.apply(count, as_beta(beta))
        saving.save(self.draft, self.record, tag, view_name)
        if write_back:
            add_write_back(self.draft, self.record, self.dataset, tag)
        self.record.stages["selection"]["seconds"] = round(time.monotonic() - start, 3)

    def apply(self, budget: Budget | str, beta: float | str) -> None:
        """Takes the zones of a budget (a count or a fraction) and a β."""
        n = self.record.stages["scores"]["scored"]
        count = resolve_budget(budget, n)
        hard_count = resolve_beta(beta, count, n)
        ranked = self.draft.columns.get(f"{self.key}.rank")
        if ranked is None:
            self.draft.step("zones", hard=hard_count, coreset=count)
            self.draft.cleared.discard(f"{self.key}.zone")  # the step writes all of them, and only where they change
        else:  # each sample is written anyway: once is enough
            self.draft.put(fields.zone_column(self.key, ranked, hard_count, count))
        self.record.drop_after("selection")
        self.record.stages["selection"] = {
            "beta": beta,
            "budget": count,
            "hard": hard_count,
            "coreset": count,
            "easy": n - hard_count - count,
            "when": time.time(),
        }

    def check_names(self, tag: str | None, view_name: str | None, expected: str | None = None) -> None:
        """See :func:`~.saving.check_names`."""
        saving.check_names(self.dataset, self.record, tag, view_name, expected)

    def summary(self, stage: str, other: dict[str, Any] | None = None) -> dict[str, Any]:
        """Writes what is to be written, and says what the caller is told; ``other``: what
        :func:`~.choose.keep_choice` says of the coreset that another method than ELFS has chosen."""
        self.publish(self.reporter.stage(WRITING))
        stages, results = self.record.stages, self.run.results
        applied, searched = stages.get("selection", {}), stages.get("beta", {})
        warnings = list(results.get("clusters", {}).get("warnings", []))
        coreset, ids = applied.get("coreset"), self.working.ids
        if stage == "selection" and applied:
            if other is None:
                coreset, found = coverage.check(self.dataset, self.record)
            else:
                found = other["warnings"]
            warnings += found
            for text in found:
                self.reporter.warn(text)
        return {
            "key": self.key,
            "stage": stage,
            "samples": len(ids) if ids is not None else stages["scores"]["scored"],
            "failed": self.record.failed,
            "cut_away": self.record.cut_away,
            "clusters": stages.get("pseudo_labels", {}).get("clusters"),
            "estimate": (results.get("cluster_count") or {}).get("explanation"),
            "beta": applied.get("beta", searched.get("chosen")),
            "reason": searched.get("reason"),
            "budget": applied.get("budget", searched.get("budget")),
            "coreset": coreset,
            "hard": applied.get("hard"),
            "easy": applied.get("easy"),
            "embeddings_field": self.record.embeddings_field,
            "similarity_index": self.record.similarity_index,
            "encoder": stages.get("embeddings", {}).get("encoder"),
            "seen_labels": stages.get("embeddings", {}).get("seen_labels"),
            **({"method": "elfs", "recommended": None, "notes": [], **(other or {})} if stage == "selection" else {}),
            "warnings": warnings,
            "stages": {name: details.get("seconds") for name, details in stages.items()},
            "resumed": self.stages.resumed,
        }
