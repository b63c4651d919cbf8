"""A job on a run: what has been read or made so far, and what is to be written when it is complete."""

import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

import numpy as np
from pymongo.errors import PyMongoError

from ..beta_search.search import default_grid
from ..clustering.health import health, per_cluster
from ..clustering.pseudo_labels import ClusteringConfig, validate_num_clusters
from ..encoders.embed import Embeddings
from ..errors import InvalidInput
from ..files import FULL
from ..pipeline import DECODING_SHARE, STAGES, Pipeline, resolve_beta_proxy, resolve_proxy, stage_weights
from ..progress import part
from ..proxy.train import ProxyConfig
from ..pruning.scores import HARD_WHEN
from ..pruning.zones import as_beta, difficulty_rank, resolve_beta, resolve_budget
from ..validation import validate_seed
from . import (
    changes,
    coverage,
    fields,
    folder,
    graph,
    jobs,
    journal,
    own,
    ranking,
    record,
    roster,
    samples,
    vectors,
    workspace,
)
from . import saving as selection
from .pixels import DEFAULT_IMAGE_SIZE, DecodedImages
from .repair import settle

MAX_LISTED_FAILURES = 10_000
HISTOGRAM_BINS = 60
WRITING = "Writing to the dataset"

_MOST_IN_A_QUERY = 100_000
"""Ids that are asked for in one query; MongoDB takes some 700,000."""


def clustering_config(preset):
    presets = {
        "auto": ClusteringConfig.default,
        "quick": ClusteringConfig.quick,
        "published": ClusteringConfig.published,
    }
    if not isinstance(preset, str) or preset not in presets:
        raise InvalidInput(f"Unknown clustering preset {preset!r}. Use one of: {', '.join(presets)}.", "preset")
    return presets[preset]()


class Session:
    """A job on a dataset with its record, its pipeline and what has been read or made so far (a context manager).

    Nothing of an earlier run is touched before the new results are complete: they are collected in a draft, which
    :meth:`publish` writes as a whole. Where there is nothing to protect, each stage is written when it is finished.
    """

    def __init__(
        self,
        collection,
        key,
        operation,
        stages,
        sinks,
        seed=0,
        device="auto",
        needs=None,
        whole=False,
        stage_folder="stages",
        on_images=(),
        kind=None,
    ):
        if not whole:
            samples.check_collection(collection)
        self.shared = collection._dataset
        self.dataset = own.own_dataset(self.shared)
        self.collection = fields.writable(self.dataset) if whole else own.rebound(collection, self.dataset)
        record.check_key(self.dataset, key)
        fields.check_not_read_only(self.dataset, key)
        if needs:
            record.require_record(self.dataset, key, needs, operation.lower())
        self.key = key
        self.folder = record.run_folder(self.dataset, key)
        self.record = record.load_record(self.dataset, key) or record.RunRecord(key)
        weights = stages if isinstance(stages, dict) else {**stage_weights(*stages, on_images=on_images), WRITING: 2}
        self._job = jobs.job(self.dataset, key, operation, weights, sinks, kind)
        self._needs, self._operation = needs, operation
        self._seed, self._device, self._stage_folder = validate_seed(seed), device, stage_folder
        self.ids = self.vectors = self.labels = self.names = self.rank_scores = None
        self._decoded = DecodedImages(self._image_paths)
        self._paths = self._ranking = None
        self._draft = journal.Draft()
        self.since = time.time()

    def __enter__(self):
        self.reporter = self._job.__enter__()
        try:
            folder.prepare(self.dataset, self.key)
            # What an earlier job had decided is finished first, and what it had only begun goes.
            settle(self.dataset, self.key, self.reporter.verify)
            folder.remove_orphans()
            self.pipe = Pipeline(
                seed=self._seed, device=self._device, folder=self.folder / self._stage_folder, reporter=self.reporter
            )
            # Another process may have worked on this run between the form and the lock.
            self.record = record.load_record(self.dataset, self.key) or record.RunRecord(self.key)
            record.check_key(self.dataset, self.key)
            if self._needs:
                record.require_record(self.dataset, self.key, self._needs, self._operation.lower())
                record.check_there(self.dataset, self.key, self._needs)
            self._protects = bool({"pseudo_labels", "scores"} & set(self.record.stages))
        except BaseException as error:
            self._job.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, *error):
        with suppress(PyMongoError):  # also what was finished before an error is to be seen
            own.refresh(self.shared)
        if error[0] is not None:
            return self._job.__exit__(*error)
        with ExitStack() as ending:
            ending.push(self._job)  # it ends, and gives its lock back, whatever fails here
            if "scores" in self.record.stages:
                with suppress(PyMongoError):  # kept for whoever opens the panel next, and not needed
                    changes.count_changes(self.dataset, self.record)
            self.reporter.done()

    def publish(self, progress=lambda fraction: None):
        """Writes what has been made since the last time, all of it or nothing."""
        if self._draft.is_empty:
            return
        self.record = journal.publish(self.dataset, self.record, self._draft, self.reporter.verify, progress)
        self._draft = journal.Draft()
        graph.remove_others(self.folder, self.record.graph)
        vectors.remove_others(self.folder, self.record.vectors)
        if self._ranking is not None:
            ranking.keep_ranking(self.dataset, self.record, *self._ranking)
            roster.save(self.dataset, self.key, ranking.ranking_version(self.record), self._ranking[0])
            self._ranking = None

    def _finish(self, stage, **details):
        """Notes a finished stage; what was made from an older result of it is forgotten."""
        self.record.drop_after(stage)
        self.record.stages[stage] = {"seed": self._seed, **details}
        if not self._protects:
            self.publish()

    def _clear(self, *stages):
        self._draft.clear(f"{self.key}.{name}" for stage in stages for name in fields.PATHS[stage])

    def _image_paths(self):
        """id -> path of the collection's images, as they were when they were first read."""
        if self._paths is None:
            self._read(samples.read_samples(self.collection))
        return self._paths

    def _read(self, found):
        self._paths = dict(zip(found.ids, found.paths))
        return found

    def embed(self, encoder, weights, field):
        field = field or f"{self.key}_embeddings"
        record.check_embeddings_field(self.dataset, self.record, field)
        found = self._read(samples.read_samples(self.collection))
        compute = None
        if encoder.startswith(samples.ZOO_PREFIX):
            compute = partial(samples.zoo_embeddings, fields.writable(self.dataset), found, encoder)
        result = self.pipe.embed(found.paths, encoder, weights=weights, compute=compute)
        self._take(found, result)
        if self.record.owns_embeddings and self.record.embeddings_field != field:
            self._draft.step("release", field=self.record.embeddings_field)
        if "embeddings" not in self.pipe.resumed:
            self._drop_plots()
        self.record.embeddings_field, self.record.owns_embeddings, self.record.vectors = field, True, ""
        if len(self.ids) > vectors.LARGE:
            self.record.vectors = vectors.save(self.folder, self.ids, self.vectors)
            if self.dataset.has_sample_field(field):
                self._draft.clear([field])
        else:
            self._draft.put(fields.vector_column(field, self.ids, self.vectors))
        self._clear("pseudo_labels", "scores", "selection")
        self.save_failures()
        self._finish(
            "embeddings",
            encoder=encoder,
            weights=weights,
            embedded=len(self.ids),
            failed=self.record.failed,
            dimensions=int(self.vectors.shape[1]),
            seconds=self.pipe.seconds["embeddings"],
        )

    def use_vectors(self, field):
        """Takes the vectors of an existing field."""
        field = field or self.record.embeddings_field
        if not field:
            raise InvalidInput("Name the vector field to use, or compute embeddings first.", "embeddings_field")
        if field == self.record.embeddings_field and vectors.has_file(self.folder, self.record.vectors):
            found = self._read(samples.read_samples(self.collection))
            stored, known = self.known_vectors(found.ids)
            failures = {index: "no vector" for index in np.flatnonzero(~known).tolist()}
            result = Embeddings(stored, known, failures)
        else:
            found, result = samples.read_vectors(self.collection, field)
            self._read(found)
        earlier = self._known_failures() if field == self.record.embeddings_field else {}
        self._take(found, result, earlier)
        if field != self.record.embeddings_field:
            if self.record.owns_embeddings:
                self._draft.step("release", field=self.record.embeddings_field)
            self.record.embeddings_field, self.record.owns_embeddings, self.record.vectors = field, False, ""
            self.record.stages.pop("embeddings", None)
            self._drop_plots()

    def _take(self, found, embeddings, earlier=None):
        self.ids = [i for i, ok in zip(found.ids, embeddings.ok) if ok]
        self.vectors = embeddings.vectors
        reasons = {found.ids[i]: reason for i, reason in embeddings.failures.items()}
        self.failures = {i: (earlier or {}).get(i, reason) for i, reason in reasons.items()}
        self.record.failed = len(self.failures)

    def check_enough(self, num_clusters, budget):
        """Refuses, as soon as it is known how many samples can be used, what they are too few for."""
        if num_clusters != "auto":
            validate_num_clusters(num_clusters, len(self.ids))
        resolve_budget(budget, len(self.ids))

    def _known_failures(self):
        return record.load_results(self.dataset, self.key).get("failures", {})

    def save_failures(self):
        self._draft.results["failures"] = dict(list(self.failures.items())[:MAX_LISTED_FAILURES])

    def _drop_plots(self):
        """Removes what shows other vectors than the run's: its plots and its neighbours."""
        self.record.graph = ""
        if self.record.brain_keys:
            self._draft.step("drop_plots", keys=list(self.record.brain_keys))
            self.record.brain_keys = []

    def add_vectors(self, ids, new):
        """Keeps the vectors (Q, D) of new samples with the run's own."""
        if not vectors.has_file(self.folder, self.record.vectors):
            self._draft.add(fields.vector_column(self.record.embeddings_field, ids, new))
            return
        stored, known = vectors.load(self.folder, self.record.vectors)
        together = np.concatenate([stored[: len(known)], new.astype(stored.dtype)])
        self.record.vectors = vectors.save(self.folder, [*known.tolist(), *ids], together)

    def cluster(self, num_clusters, k, preset):
        config = clustering_config(preset)
        count = None
        if num_clusters == "auto":
            count = self.pipe.count_clusters(self.vectors)
            num_clusters = count.suggested
        neighbors, result = self.pipe.pseudo_labels(self.vectors, num_clusters, k=k, config=config)
        self.record.owns_field = True
        self._clear("scores", "selection")
        self._draft.put(*fields.label_columns(self.key, self.ids, result.labels, result.confidence, result.agreement))
        self._keep_graph(partial(graph.save, self.folder, self.ids, neighbors.indices, neighbors.similarities))
        self.labels, self.num_clusters = result.labels, num_clusters
        self.names = [f"cluster {label}" for label in range(num_clusters)]
        ranking.new_ranking(self.record)
        self.save_failures()
        self._draft.results.update(
            clusters={
                "occupancy": result.occupancy.tolist(),
                "head_losses": result.head_losses.tolist(),
                "loss_curve": result.loss_curve.tolist(),
                "head_scores": result.head_scores.tolist(),
                "best_head": result.best_head,
                **health(result),
                "warnings": result.warnings,
                "per_cluster": per_cluster(result, self.ids),
            },
            cluster_count=count and count.to_dict(),
            histogram=None,
            beta=None,
        )
        self._finish(
            "pseudo_labels",
            clusters=num_clusters,
            neighbors=neighbors.k,
            neighbor_search=neighbors.method,
            neighbor_recall=neighbors.recall,
            estimated=count is not None,
            config=config.to_dict(),
            labelled=len(self.ids),
            since=self.since,
            embeddings_field=self.record.embeddings_field,
            seconds=self.pipe.seconds["neighbors"] + self.pipe.seconds["pseudo_labels"],
        )

    def _keep_graph(self, save):
        """The neighbours are kept for the panel and for other methods; a run can do without."""
        try:
            self.record.graph = save()
        except OSError as error:
            self.record.graph = ""
            why = "the disk is full" if error.errno in FULL else error.strerror or str(error)
            self.reporter.warn(f"The neighbours could not be kept in {self.folder} ({why}); the panel shows none.")

    def add_labels(self, ids, labels, confidence, names):
        """Takes pseudo-labels of new samples in, beside those of the others."""
        self._draft.add(*fields.label_columns(self.key, ids, labels, confidence, names=names))

    def extend_graph(self, ids, neighbors, similarities):
        """Takes new samples into the neighbours that are kept, see :func:`~.graph.extend`."""
        self._keep_graph(partial(graph.extend, self.folder, self.record.graph, ids, neighbors, similarities))

    def use_labels(self):
        """Takes the pseudo-labels on the dataset."""
        self.ids, self.labels, self.names = fields.read_labels(self.collection, self.key)
        if not self.ids:
            raise InvalidInput(f"No sample of this view has a pseudo-label of the run '{self.key}'.")
        self.num_clusters = max(len(self.names), 2)
        self.failures = self._known_failures()

    def use_scores(self):
        """Takes the pseudo-labels and the scores on the dataset."""
        stage = self.record.stages["scores"]
        whole = fields.writable(self.dataset)
        ids, scores = fields.read_scores(whole, self.key, stage["score"])
        label_ids, labels, self.names = fields.read_labels(whole, self.key)
        by_id = dict(zip(label_ids, labels))
        known = [i in by_id for i in ids]
        self.ids = [i for i, ok in zip(ids, known) if ok]
        if not self.ids:
            raise InvalidInput(f"No sample has scores of the run '{self.key}' any more. Run ELFS again.")
        self.rank_scores = scores[known]
        self.labels = np.array([by_id[i] for i in self.ids], dtype=np.int32)
        self.num_clusters = max(len(self.names), 2)
        self.score_name = stage["score"]

    def _vectors_of(self, ids):
        """Vectors (M, D) of these ids; a sample that has lost its vector is an error."""
        if self.vectors is not None:
            return self.vectors
        found, known = self.known_vectors(ids)
        if not known.all():
            first = ids[int(np.argmin(known))]
            raise InvalidInput(
                f"{int((~known).sum()):,} samples of the run have no usable vector in '{self.record.embeddings_field}' "
                f"any more (first: {first}). Compute the embeddings and pseudo-labels again."
            )
        return found

    def known_vectors(self, ids):
        """Vectors (K, D) float32 of those of the M ids that have one, in their order, and which have, (M,) bool."""
        if vectors.has_file(self.folder, self.record.vectors):
            stored, known_ids = vectors.load(self.folder, self.record.vectors)
            place = {i: row for row, i in enumerate(known_ids.tolist())}
            rows = np.array([place.get(i, -1) for i in ids], dtype=np.int64)
            return np.asarray(stored[rows[rows >= 0]], dtype=np.float32), rows >= 0
        view = fields.writable(self.dataset)
        few = 2 * len(ids) <= view.count() and len(ids) <= _MOST_IN_A_QUERY
        found, embeddings = samples.read_vectors(view.select(ids) if few else view, self.record.embeddings_field)
        place = dict(zip([i for i, ok in zip(found.ids, embeddings.ok) if ok], range(len(embeddings.vectors))))
        rows = np.array([place.get(i, -1) for i in ids], dtype=np.int64)
        return embeddings.vectors[rows[rows >= 0]], rows >= 0

    def score(self, proxy, score, epochs, image_size):
        config = resolve_proxy(proxy)
        if epochs:
            config = replace(config, epochs=int(epochs))
        progress = None
        if config.on_images:
            size = int(config.image_size or image_size)
            inputs, unread, progress = self._images("dynamics", size)
            self._leave_out(unread)
        else:
            self.vectors = inputs = self._vectors_of(self.ids)
        result = self.pipe.dynamics(inputs, self.labels, self.num_clusters, config=config, progress=progress)
        self.record.owns_field = True
        self._clear("selection")
        self.rank_scores, self.score_name = getattr(result, score), score
        rank = difficulty_rank(self.rank_scores, hard=HARD_WHEN[score], ids=self.ids)
        self._draft.put(*fields.score_columns(self.key, self.ids, result, rank))
        self._draft.step("indexes")
        if not self.dataset.has_workspace(workspace.NAME):
            self._draft.step("workspace")
            self.record.workspace = workspace.NAME
        self._new_ranking()
        self.save_failures()
        self._draft.results.update(histogram=self._histogram(), beta=None)
        self._finish(
            "scores",
            score=score,
            proxy=config.to_dict(),
            scored=len(self.ids),
            epochs=result.epochs,
            image_size=size if config.on_images else None,
            seconds=self.pipe.seconds["dynamics"],
        )

    def _new_ranking(self):
        ranking.new_ranking(self.record)
        self._ranking = (self.ids, self.rank_scores, self.labels, self.names)

    def _histogram(self):
        counts, edges = np.histogram(self.rank_scores, bins=HISTOGRAM_BINS)
        score = self.score_name
        return {"score": score, "hard": HARD_WHEN[score], "counts": counts.tolist(), "edges": edges.tolist()}

    def rank_again(self):
        """Ranks the samples that have scores densely from 0 again, without training."""
        self.use_scores()
        rank = difficulty_rank(self.rank_scores, hard=HARD_WHEN[self.score_name], ids=self.ids)
        self._clear("selection")
        self._draft.put(fields.rank_column(self.key, self.ids, rank))
        self._draft.step("indexes")
        self.record.stages["scores"]["scored"] = len(self.ids)
        self.record.stages["pseudo_labels"]["labelled"] = len(self.ids)
        self._new_ranking()
        self._draft.results["histogram"] = self._histogram()

    def _leave_out(self, unread):
        """Excludes samples, and lists them with the reasons {id: reason}."""
        self.failures.update(unread)
        self.record.failed = len(self.failures)
        ok = self._readable(unread)
        self.ids = [i for i in self.ids if i not in unread]
        self.labels = self.labels[ok]
        if self.vectors is not None:
            self.vectors = self.vectors[ok]

    def _readable(self, unread):
        return np.array([i not in unread for i in self.ids])

    def _images(self, stage, size):
        """As :meth:`~.pixels.DecodedImages.get`, and the progress that is left of the stage."""
        progress = self.reporter.stage(STAGES[stage])
        found = self._decoded.get(self.ids, size, part(progress, 0.0, DECODING_SHARE))
        return *found, part(progress, DECODING_SHARE, 1.0)

    def search(self, budget, grid, repeats, proxy="auto", image_size=None):
        n = len(self.ids)
        budget = resolve_budget(budget, n)
        scored_by = ProxyConfig.from_dict(self.record.stages["scores"].get("proxy"))
        config = resolve_beta_proxy(proxy, scored_by)
        taken, unread, progress = budget, {}, None
        if config.on_images:
            scored_at = self.record.stages["scores"].get("image_size") if config.kind == scored_by.kind else None
            size = config.image_size or image_size or scored_at or DEFAULT_IMAGE_SIZE
            inputs, unread, progress = self._images("beta", int(size))
            # Not more than its share of those that can be read: every β that is possible with all of them still is.
            taken = max(1, budget * len(inputs) // n)
            grid = default_grid(budget, n) if grid is None else grid
        else:
            self._decoded.forget()
            self.vectors = inputs = self._vectors_of(self.ids)
        ok, ids = self._readable(unread), [i for i in self.ids if i not in unread]
        result = self.pipe.beta(
            inputs,
            self.labels[ok],
            self.rank_scores[ok],
            taken,
            hard=HARD_WHEN[self.score_name],
            grid=grid,
            repeats=repeats,
            config=config,
            ids=ids,
            progress=progress,
        )
        reason = result.reason
        if unread:
            first = next(iter(unread.values()))
            reason += f" Images that cannot be read took no part: {len(unread):,} (the first: {first})."
        curve = {
            "budget": budget,
            "betas": result.betas.tolist(),
            "accuracies": result.accuracies.tolist(),
            "mean": result.mean.tolist(),
            "spread": result.spread.tolist(),
            "chosen": result.chosen,
            "smallest": result.smallest,
            "reason": reason,
            "proxy": config.kind,
        }
        self._draft.results["beta"] = curve
        self._finish(
            "beta",
            budget=budget,
            repeats=int(repeats),
            chosen=result.chosen,
            reason=reason,
            proxy=config.to_dict(),
            seconds=self.pipe.seconds["beta"],
        )
        return result.chosen

    def select(self, budget, beta, tag, view_name, expected=None):
        start = time.monotonic()
        self._decoded.forget()
        n = self.record.stages["scores"]["scored"]
        count = resolve_budget(budget, n)
        if beta == "auto":
            searched = self.record.stages.get("beta")
            if searched is None:
                raise InvalidInput("No β has been searched yet. Set β, or use search_beta first.", "beta")
            beta = searched["chosen"]
        resolve_beta(beta, count, n)
        self.check_names(tag, view_name, expected)
        self.reporter.stage(STAGES["selection"])
        self.apply(count, as_beta(beta))
        selection.save(self._draft, self.record, tag, view_name)
        self.record.stages["selection"]["seconds"] = round(time.monotonic() - start, 3)

    def apply(self, budget, beta):
        """Takes the zones of a budget (a count or a fraction) and a β."""
        n = self.record.stages["scores"]["scored"]
        count = resolve_budget(budget, n)
        hard_count = resolve_beta(beta, count, n)
        self._draft.step("zones", hard=hard_count, coreset=count)
        self._draft.cleared.discard(f"{self.key}.zone")  # the step writes all of them, and only where they change
        self.record.drop_after("selection")
        self.record.stages["selection"] = {
            "beta": beta,
            "budget": count,
            "hard": hard_count,
            "coreset": count,
            "easy": n - hard_count - count,
            "when": time.time(),
        }

    def check_names(self, tag, view_name, expected=None):
        """See :func:`~.saving.check_names`."""
        selection.check_names(self.dataset, self.record, tag, view_name, expected)

    def summary(self, stage):
        """Writes what is to be written, and says what the caller is told."""
        writing = self.reporter.stage(WRITING)
        self.publish(writing)
        stages = self.record.stages
        applied = stages.get("selection", {})
        searched = stages.get("beta", {})
        results = record.load_results(self.dataset, self.key)
        warnings = list(results.get("clusters", {}).get("warnings", []))
        coreset = applied.get("coreset")
        if stage == "selection" and applied:
            coreset, found = coverage.check(self.dataset, self.record)
            warnings += found
            for text in found:
                self.reporter.warn(text)
        return {
            "key": self.key,
            "stage": stage,
            "samples": len(self.ids) if self.ids is not None else stages["scores"]["scored"],
            "failed": self.record.failed,
            "clusters": stages.get("pseudo_labels", {}).get("clusters"),
            "estimate": (results.get("cluster_count") or {}).get("explanation"),
            "beta": applied.get("beta", searched.get("chosen")),
            "reason": searched.get("reason"),
            "budget": applied.get("budget", searched.get("budget")),
            "coreset": coreset,
            "hard": applied.get("hard"),
            "easy": applied.get("easy"),
            "embeddings_field": self.record.embeddings_field,
            "warnings": warnings,
            "stages": {name: details.get("seconds") for name, details in stages.items()},
            "resumed": self.pipe.resumed,
        }
