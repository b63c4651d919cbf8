"""A job on a run: what has been read or made so far, and how each stage's result is written."""

import os
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

import numpy as np
from pymongo.errors import PyMongoError

from ..beta_search import default_grid
from ..cluster_health import health, per_cluster
from ..clustering import ClusteringConfig
from ..encoders import Embeddings
from ..errors import InvalidInput
from ..pipeline import DECODING_SHARE, STAGES, Pipeline, resolve_beta_proxy, resolve_proxy, stage_weights
from ..progress import part
from ..proxy import ProxyConfig
from ..pruning import Zones, difficulty_rank, resolve_beta, resolve_budget
from ..scores import HARD_WHEN
from . import changes, deletion, fields, graph, jobs, ranking, record, samples, selection, workspace
from .decoded import DEFAULT_IMAGE_SIZE, DecodedImages

LARGE = 200_000
"""Above this many vectors they are kept in a memory-mapped file of the run instead of a field."""

MAX_LISTED_FAILURES = 10_000
HISTOGRAM_BINS = 60
WRITING = "Writing to the dataset"


def clustering_config(preset):
    presets = {"auto": ClusteringConfig.default, "quick": ClusteringConfig.quick,
               "published": ClusteringConfig.published}  # fmt: skip
    if preset not in presets:
        raise InvalidInput(f"Unknown clustering preset {preset!r}. Use one of: {', '.join(presets)}.", "preset")
    return presets[preset]()


class Session:
    """A job on a dataset with its record, its pipeline and what has been read or made so far (a context manager)."""

    def __init__(self, collection, key, operation, stages, sinks, seed=0, device="auto", needs=None,
                 whole=False, stage_folder="stages", on_images=()):  # fmt: skip
        if not whole:
            samples.check_collection(collection)
        self.dataset = collection._dataset
        self.collection = fields.writable(self.dataset) if whole else collection
        record.check_key(self.dataset, key)
        if needs:
            record.require_record(self.dataset, key, needs, operation.lower())
        self.key = key
        self.folder = record.run_folder(self.dataset, key)
        self.record = record.load_record(self.dataset, key) or record.RunRecord(key)
        weights = stages if isinstance(stages, dict) else {**stage_weights(*stages, on_images=on_images), WRITING: 2}
        self._job = jobs.job(self.dataset, key, operation, weights, sinks)
        self._seed, self._device, self._stage_folder = seed, device, stage_folder
        self.ids = self.vectors = self.labels = self.names = self.rank_scores = None
        self._decoded = DecodedImages(self.collection)
        self.since = time.time()

    def __enter__(self):
        self.reporter = self._job.__enter__()
        try:
            folder = self.folder / self._stage_folder
            self.pipe = Pipeline(seed=self._seed, device=self._device, folder=folder, reporter=self.reporter)
            # Another process may have worked on this run between the form and the lock.
            self.record = record.load_record(self.dataset, self.key) or self.record
        except BaseException as error:
            self._job.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, *error):
        if error[0] is not None:
            return self._job.__exit__(*error)
        with ExitStack() as ending:
            ending.push(self._job)  # it ends, and gives its lock back, whatever fails here
            if "scores" in self.record.stages:
                with suppress(PyMongoError):  # kept for whoever opens the panel next, and not needed
                    changes.count_changes(self.dataset, self.record)
            self.reporter.done()

    def _finish(self, stage, **details):
        """Records a finished stage; what was made from an older result of it is forgotten."""
        self.record.drop_after(stage)
        self.record.stages[stage] = {"seed": self._seed, **details}
        record.save_record(self.dataset, self.record)

    def embed(self, encoder, weights, field):
        field = field or f"{self.key}_embeddings"
        record.check_embeddings_field(self.dataset, self.record, field)
        mine = self.dataset.has_sample_field(field)
        found = samples.read_samples(self.collection)
        compute = None
        if encoder.startswith(samples.ZOO_PREFIX):
            compute = partial(samples.zoo_embeddings, self.collection, found, encoder)
        result = self.pipe.embed(found.paths, encoder, weights=weights, compute=compute)
        self._take(found, result)
        if self.record.owns_embeddings and self.record.embeddings_field != field:
            self._drop_embeddings()
        if "embeddings" not in self.pipe.resumed:
            self._drop_plots()
        if mine:
            self.dataset.clear_sample_field(field)
        # The record comes first: a crash while writing leaves a field that delete_run knows of.
        self.record.embeddings_field, self.record.owns_embeddings = field, True
        record.save_record(self.dataset, self.record)
        if len(self.ids) > LARGE:
            self._save_vectors()
        else:
            fields.write_vectors(self.dataset, field, self.ids, self.vectors)
        fields.clear(self.dataset, self.key, ("pseudo_labels", "scores", "selection"))
        self._finish("embeddings", encoder=encoder, weights=weights, embedded=len(self.ids), failed=self.record.failed,
                     dimensions=int(self.vectors.shape[1]), seconds=self.pipe.seconds["embeddings"])  # fmt: skip
        self.save_failures()

    def use_vectors(self, field):
        """Takes the vectors of an existing field."""
        field = field or self.record.embeddings_field
        if not field:
            raise InvalidInput("Name the vector field to use, or compute embeddings first.", "embeddings_field")
        if field == self.record.embeddings_field and self._vector_file().is_file():
            found = samples.read_samples(self.collection)
            vectors, known = self.known_vectors(found.ids)
            failures = {index: "no vector" for index in np.flatnonzero(~known).tolist()}
            result = Embeddings(vectors, known, failures)
        else:
            found, result = samples.read_vectors(self.collection, field)
        earlier = self._known_failures() if field == self.record.embeddings_field else {}
        self._take(found, result, earlier)
        if field != self.record.embeddings_field:
            if self.record.owns_embeddings:
                self._drop_embeddings()
            self.record.embeddings_field, self.record.owns_embeddings = field, False
            self.record.stages.pop("embeddings", None)
            self._drop_plots()

    def _take(self, found, embeddings, earlier=None):
        self.ids = [i for i, ok in zip(found.ids, embeddings.ok) if ok]
        self.vectors = embeddings.vectors
        reasons = {found.ids[i]: reason for i, reason in embeddings.failures.items()}
        self.failures = {i: (earlier or {}).get(i, reason) for i, reason in reasons.items()}
        self.record.failed = len(self.failures)

    def _known_failures(self):
        return record.load_results(self.dataset, self.key).get("failures", {})

    def save_failures(self):
        listed = dict(list(self.failures.items())[:MAX_LISTED_FAILURES])
        record.save_results(self.dataset, self.key, failures=listed)

    def _drop_plots(self):
        """Removes what shows other vectors than the run's: its plots and its neighbours."""
        graph.remove(self.folder)
        for brain_key in list(self.record.brain_keys):
            deletion.remove_brain_run(self.dataset, self.record, brain_key)

    def _drop_embeddings(self):
        deletion.release_embeddings(self.dataset, self.record)
        self._vector_file().unlink(missing_ok=True)

    def _vector_file(self):
        return self.folder / "embeddings.npy"

    def _save_vectors(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        np.save(self._vector_file(), self.vectors)
        np.save(self.folder / "embedding_ids.npy", np.array(self.ids))

    def add_vectors(self, ids, vectors):
        """Keeps the vectors (Q, D) of new samples with the run's own."""
        if not self._vector_file().is_file():
            fields.write_vectors(self.dataset, self.record.embeddings_field, ids, vectors)
            return
        stored, known = self._open_vectors()
        # The vectors first, and only ever behind the others: a crash between the two files does no harm.
        together = np.concatenate([stored[: len(known)], vectors.astype(stored.dtype)])
        del stored
        for name, array in (("embeddings.npy", together), ("embedding_ids.npy", np.array(known + ids))):
            path = self.folder / name
            partial = path.with_name(f"{path.name}.partial")
            with open(partial, "wb") as file:
                np.save(file, array)
            os.replace(partial, path)

    def _open_vectors(self):
        """(M, D) memory-mapped vectors of the run's file, and their M ids."""
        path = self._vector_file()
        return np.load(path, mmap_mode="r"), np.load(path.with_name("embedding_ids.npy")).tolist()

    def cluster(self, num_clusters, k, preset):
        config = clustering_config(preset)
        count = None
        if num_clusters == "auto":
            count = self.pipe.count_clusters(self.vectors)
            num_clusters = count.suggested
        neighbors, result = self.pipe.pseudo_labels(self.vectors, num_clusters, k=k, config=config)
        self._own_group()
        fields.clear(self.dataset, self.key, ("pseudo_labels", "scores", "selection"))
        fields.write_pseudo_labels(self.dataset, self.key, self.ids, result.labels, result.confidence,
                                   result.agreement)  # fmt: skip
        graph.save(self.folder, self.ids, neighbors.indices, neighbors.similarities)
        self.labels, self.num_clusters = result.labels, num_clusters
        self.names = [f"cluster {label}" for label in range(num_clusters)]
        ranking.new_ranking(self.record)
        self._finish("pseudo_labels", clusters=num_clusters, neighbors=neighbors.k, neighbor_search=neighbors.method,
                     neighbor_recall=neighbors.recall, estimated=count is not None, config=config.to_dict(),
                     labelled=len(self.ids), since=self.since, embeddings_field=self.record.embeddings_field,
                     seconds=self.pipe.seconds["neighbors"] + self.pipe.seconds["pseudo_labels"])  # fmt: skip
        self.save_failures()
        record.save_results(
            self.dataset,
            self.key,
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

    def _own_group(self):
        """Declares the run's nested field, recording it first."""
        owned = self.record.owns_field
        if not owned and self.dataset.has_sample_field(self.key):
            fields.ensure_group(self.dataset, self.key, owned=False)
        self.record.owns_field = True
        record.save_record(self.dataset, self.record)
        fields.ensure_group(self.dataset, self.key, owned=True)

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
            raise InvalidInput(f"No sample has scores of the run '{self.key}' any more. Compute the scores again.")
        self.rank_scores = scores[known]
        self.labels = np.array([by_id[i] for i in self.ids], dtype=np.int32)
        self.num_clusters = max(len(self.names), 2)
        self.score_name = stage["score"]

    def _vectors_of(self, ids):
        """Vectors (M, D) of these ids; a sample that has lost its vector is an error."""
        if self.vectors is not None:
            return self.vectors
        vectors, known = self.known_vectors(ids)
        if not known.all():
            first = ids[int(np.argmin(known))]
            raise InvalidInput(
                f"{int((~known).sum()):,} samples of the run have no usable vector in '{self.record.embeddings_field}' "
                f"any more (first: {first}). Compute the embeddings and pseudo-labels again."
            )
        return vectors

    def known_vectors(self, ids):
        """Vectors (K, D) float32 of those of the M ids that have one, in their order, and which have, (M,) bool."""
        if self._vector_file().is_file():
            stored, known_ids = self._open_vectors()
            place = {i: row for row, i in enumerate(known_ids)}
            rows = np.array([place.get(i, -1) for i in ids], dtype=np.int64)
            return np.asarray(stored[rows[rows >= 0]], dtype=np.float32), rows >= 0
        field = self.record.embeddings_field
        view = fields.writable(self.dataset)
        view = view if 2 * len(ids) > view.count() else view.select(ids)
        found, embeddings = samples.read_vectors(view, field)
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
        self._own_group()
        fields.clear(self.dataset, self.key, ("scores", "selection"))
        self.rank_scores, self.score_name = getattr(result, score), score
        rank = difficulty_rank(self.rank_scores, hard=HARD_WHEN[score], ids=self.ids)
        fields.write_scores(self.dataset, self.key, self.ids, result, rank)
        ranking.new_ranking(self.record)
        workspace.ensure_workspace(self.dataset, self.record)
        self._finish("scores", score=score, proxy=config.to_dict(), scored=len(self.ids), epochs=result.epochs,
                     image_size=size if config.on_images else None,
                     seconds=self.pipe.seconds["dynamics"])  # fmt: skip
        ranking.keep_ranking(self.dataset, self.record, self.ids, self.rank_scores, self.labels, self.names)
        self.save_failures()
        record.save_results(self.dataset, self.key, histogram=self._histogram(), beta=None)

    def _histogram(self):
        counts, edges = np.histogram(self.rank_scores, bins=HISTOGRAM_BINS)
        score = self.score_name
        return {"score": score, "hard": HARD_WHEN[score], "counts": counts.tolist(), "edges": edges.tolist()}

    def rank_again(self):
        """Ranks the samples that have scores densely from 0 again, without training."""
        self.use_scores()
        rank = difficulty_rank(self.rank_scores, hard=HARD_WHEN[self.score_name], ids=self.ids)
        fields.clear(self.dataset, self.key, ("selection",))
        fields.write_ranks(self.dataset, self.key, self.ids, rank)
        self.record.stages["scores"]["scored"] = len(self.ids)
        self.record.stages["pseudo_labels"]["labelled"] = len(self.ids)
        ranking.new_ranking(self.record)
        record.save_record(self.dataset, self.record)
        ranking.keep_ranking(self.dataset, self.record, self.ids, self.rank_scores, self.labels, self.names)
        record.save_results(self.dataset, self.key, histogram=self._histogram())

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
        """As :meth:`~.decoded.DecodedImages.get`, and the progress that is left of the stage."""
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
        result = self.pipe.beta(inputs, self.labels[ok], self.rank_scores[ok], taken, hard=HARD_WHEN[self.score_name],
                                grid=grid, repeats=repeats, config=config, ids=ids, progress=progress)  # fmt: skip
        reason = result.reason
        if unread:
            first = next(iter(unread.values()))
            reason += f" Images that cannot be read took no part: {len(unread):,} (the first: {first})."
        self._finish("beta", budget=budget, repeats=int(repeats), chosen=result.chosen, reason=reason,
                     proxy=config.to_dict(), seconds=self.pipe.seconds["beta"])  # fmt: skip
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
        record.save_results(self.dataset, self.key, beta=curve)
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
        report = self.reporter.stage("Selecting the coreset")
        self.apply(count, float(beta))
        report(0.5, "zones written")
        selection.save(self.dataset, self.record, tag, view_name)
        self.record.stages["selection"]["seconds"] = round(time.monotonic() - start, 3)
        record.save_record(self.dataset, self.record)

    def apply(self, budget, beta):
        """Writes the zones of a budget (a count or a fraction) and a β."""
        n = self.record.stages["scores"]["scored"]
        count = resolve_budget(budget, n)
        hard_count = resolve_beta(beta, count, n)
        zones = Zones(np.arange(n), hard_count, count)
        fields.write_zones(self.dataset, self.key, zones.zone)
        self.record.drop_after("selection")
        self.record.stages["selection"] = {"beta": beta, "budget": count, "hard": hard_count, "coreset": count,
                                           "easy": n - hard_count - count, "when": time.time()}  # fmt: skip
        record.save_record(self.dataset, self.record)

    def check_names(self, tag, view_name, expected=None):
        """See :func:`~.selection.check_names`."""
        selection.check_names(self.dataset, self.record, tag, view_name, expected)

    def summary(self, stage):
        """What the caller is told."""
        self.reporter.stage(WRITING)
        stages = self.record.stages
        applied = stages.get("selection", {})
        searched = stages.get("beta", {})
        results = record.load_results(self.dataset, self.key)
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
            "coreset": applied.get("coreset"),
            "hard": applied.get("hard"),
            "easy": applied.get("easy"),
            "embeddings_field": self.record.embeddings_field,
            "warnings": results.get("clusters", {}).get("warnings", []),
            "stages": {name: details.get("seconds") for name, details in stages.items()},
            "resumed": self.pipe.resumed,
        }
