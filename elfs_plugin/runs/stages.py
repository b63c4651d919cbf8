"""One function per operator: read the dataset, run the pipeline's stages, write what they made.

All take ``collection`` (a dataset or view) and ``key`` (the run), return a small summary as a dict, and raise
:class:`~..errors.ElfsError` with a message for the user. ``sinks`` receive the progress.
"""

import csv
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import fiftyone as fo
import numpy as np
from fiftyone import ViewField as F

from ..beta_search import DEFAULT_REPEATS, validate_search
from ..cluster_health import health
from ..clustering import ClusteringConfig, validate_num_clusters
from ..dynamics import HARD_WHEN
from ..errors import InvalidInput, NameTaken
from ..images import load_pixels
from ..pipeline import DECODING_SHARE, STAGES, Pipeline, resolve_proxy, stage_weights
from ..progress import part
from ..pruning import Zones, difficulty_rank, resolve_beta, resolve_budget
from . import fields, jobs, record, samples

SCORES = ("aum", "forgetting", "el2n", "dual")
"""The scores that are written on samples and can be ranked by."""

LARGE = 200_000
"""Above this many vectors they are kept in a memory-mapped file of the run instead of a field."""

MAX_LISTED_FAILURES = 10_000
HISTOGRAM_BINS = 60
ZONES = ("hard", "coreset", "easy")
WRITING = "Writing to the dataset"


def compute_embeddings(collection, key="elfs", *, encoder="pixels", weights=None, embeddings_field=None, seed=0,
                       device="auto", sinks=()):  # fmt: skip
    """Embeds the images of ``collection`` into a vector field (default ``<key>_embeddings``)."""
    with _session(collection, key, "Computing embeddings", ("embeddings",), sinks, seed, device) as run:
        run.embed(encoder, weights, embeddings_field)
        return run.summary("embeddings")


def compute_pseudo_labels(collection, key="elfs", *, num_clusters, embeddings_field=None, neighbors=None, preset="auto",
                          seed=0, device="auto", sinks=()):  # fmt: skip
    """Clusters an existing vector field (default: the run's own) into pseudo-labels.

    ``num_clusters="auto"`` estimates their number first; the evidence is kept in the run.
    """
    _clustering_config(preset)
    stages = [*_counting(num_clusters), "neighbors", "pseudo_labels"]
    with _session(collection, key, "Computing pseudo-labels", stages, sinks, seed, device) as run:
        run.use_vectors(embeddings_field)
        run.cluster(num_clusters, neighbors, preset)
        return run.summary("pseudo_labels")


def compute_scores(collection, key="elfs", *, proxy="auto", score="aum", epochs=None, image_size=32, seed=0,
                   device="auto", sinks=()):  # fmt: skip
    """Trains a proxy on the run's pseudo-labels and writes its scores and the rank."""
    _check_score(score)
    with _session(
        collection, key, "Computing scores", ("dynamics",), sinks, seed, device, needs="pseudo_labels"
    ) as run:
        run.use_labels()
        run.score(proxy, score, epochs, image_size)
        return run.summary("scores")


def search_beta(collection, key="elfs", *, budget, grid=None, repeats=DEFAULT_REPEATS, seed=0, device="auto", sinks=()):
    """Searches β for a budget on the run's pseudo-labels; the curve is kept in the run."""
    with _session(collection, key, "Searching β", ("beta",), sinks, seed, device, needs="scores") as run:
        run.use_scores()
        run.search(budget, grid, repeats)
        return run.summary("beta")


def select_coreset(collection, key="elfs", *, budget, beta="auto", tag=None, view_name=None, sinks=()):
    """Applies double-end pruning to the run's ranks: writes zones, and a tag and a saved view when named.

    ``beta="auto"`` takes the β of the last search.
    """
    with _session(collection, key, "Selecting the coreset", ("selection",), sinks, needs="scores") as run:
        run.select(budget, beta, tag, view_name)
        return run.summary("selection")


def run_elfs(collection, key="elfs", *, num_clusters, budget, encoder="pixels", weights=None, embeddings_field=None,
             neighbors=None, preset="auto", proxy="auto", score="aum", epochs=None, image_size=32, beta="auto",
             repeats=DEFAULT_REPEATS, tag=None, view_name=None, seed=0, device="auto", sinks=()):  # fmt: skip
    """The whole of ELFS on ``collection``.

    With ``encoder=None`` the vectors of the existing ``embeddings_field`` are used; otherwise they are computed and
    written to it (default ``<key>_embeddings``).
    """
    _check_score(score)
    _clustering_config(preset)
    resolve_proxy(proxy)
    samples.check_collection(collection)
    n = len(samples.read_samples(collection))
    if num_clusters != "auto":
        validate_num_clusters(num_clusters, n)
    resolve_budget(budget, n)
    if beta == "auto":
        validate_search(n, repeats)
    else:
        resolve_beta(beta, resolve_budget(budget, n), n)
    stages = ["embeddings"] if encoder else []
    stages += [*_counting(num_clusters), "neighbors", "pseudo_labels", "dynamics"]
    stages += (["beta"] if beta == "auto" else []) + ["selection"]
    with _session(collection, key, "Running ELFS", stages, sinks, seed, device) as run:
        run.check_output_names(tag, view_name)
        if encoder:
            run.embed(encoder, weights, embeddings_field)
        else:
            run.use_vectors(embeddings_field)
        run.cluster(num_clusters, neighbors, preset)
        run.score(proxy, score, epochs, image_size)
        if beta == "auto":
            beta = run.search(budget, None, repeats)
        run.select(budget, beta, tag, view_name)
        return run.summary("selection")


def _counting(num_clusters):
    """The stage that an estimated number of clusters adds."""
    return ["cluster_count"] if num_clusters == "auto" else []


def _check_score(score):
    if score not in SCORES:
        raise InvalidInput(f"Unknown score {score!r}. Use one of: {', '.join(SCORES)}.", "score")


def _clustering_config(preset):
    presets = {"auto": ClusteringConfig.default, "quick": ClusteringConfig.quick,
               "published": ClusteringConfig.published}  # fmt: skip
    if preset not in presets:
        raise InvalidInput(f"Unknown clustering preset {preset!r}. Use one of: {', '.join(presets)}.", "preset")
    return presets[preset]()


class _session:
    """A job on a dataset with its record, its pipeline and what has been read or made so far (a context manager)."""

    def __init__(self, collection, key, operation, stages, sinks, seed=0, device="auto", needs=None):
        if needs != "scores":  # those that need scores work on the samples of the run, wherever the view is
            samples.check_collection(collection)
        self.collection = collection
        self.dataset = collection._dataset
        record.check_key(self.dataset, key)
        if needs:
            record.require_record(self.dataset, key, needs, operation.lower())
        self.key = key
        self.record = record.load_record(self.dataset, key) or record.RunRecord(key)
        weights = {**stage_weights(*stages), WRITING: 2}
        self._job = jobs.job(self.dataset, key, operation, weights, sinks)
        self._seed, self._device = seed, device
        self.ids = self.vectors = self.labels = self.rank_scores = None

    def __enter__(self):
        self.reporter = self._job.__enter__()
        try:
            folder = record.run_folder(self.dataset, self.key) / "stages"
            self.pipe = Pipeline(seed=self._seed, device=self._device, folder=folder, reporter=self.reporter)
            # Another process may have worked on this run between the form and the lock.
            self.record = record.load_record(self.dataset, self.key) or self.record
            self._paths = None
        except BaseException as error:
            self._job.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, *error):
        if error[0] is None:
            self.reporter.done()
        return self._job.__exit__(*error)

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
        self._save_failures()

    def use_vectors(self, field):
        """Takes the vectors of an existing field."""
        field = field or self.record.embeddings_field
        if not field:
            raise InvalidInput("Name the vector field to use, or compute embeddings first.", "embeddings_field")
        if field == self.record.embeddings_field and self._vector_file().is_file():
            found = samples.read_samples(self.collection)
            known = self._load_vectors()
            values = [known.get(i) for i in found.ids]
            result = samples.validate_vectors(values)
        else:
            found, result = samples.read_vectors(self.collection, field)
        earlier = self._known_failures() if field == self.record.embeddings_field else {}
        self._take(found, result, earlier)
        if field != self.record.embeddings_field:
            if self.record.owns_embeddings:
                self._drop_embeddings()
            self.record.embeddings_field, self.record.owns_embeddings = field, False
            self.record.stages.pop("embeddings", None)

    def _take(self, found, embeddings, earlier=None):
        self.ids = [i for i, ok in zip(found.ids, embeddings.ok) if ok]
        self._paths = dict(zip(found.ids, found.paths))
        self.vectors = embeddings.vectors
        reasons = {found.ids[i]: reason for i, reason in embeddings.failures.items()}
        self.failures = {i: (earlier or {}).get(i, reason) for i, reason in reasons.items()}
        self.record.failed = len(self.failures)

    def _known_failures(self):
        return record.load_results(self.dataset, self.key).get("failures", {})

    def _save_failures(self):
        listed = dict(list(self.failures.items())[:MAX_LISTED_FAILURES])
        record.save_results(self.dataset, self.key, failures=listed)

    def _drop_embeddings(self):
        _release_embeddings(self.dataset, self.record)
        self._vector_file().unlink(missing_ok=True)

    def _vector_file(self):
        return record.run_folder(self.dataset, self.key) / "embeddings.npy"

    def _save_vectors(self):
        path = self._vector_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, self.vectors)
        np.save(path.with_name("embedding_ids.npy"), np.array(self.ids))

    def _load_vectors(self):
        path = self._vector_file()
        return dict(zip(np.load(path.with_name("embedding_ids.npy")).tolist(), np.load(path, mmap_mode="r")))

    def cluster(self, num_clusters, neighbors, preset):
        config = _clustering_config(preset)
        count = None
        if num_clusters == "auto":
            count = self.pipe.count_clusters(self.vectors)
            num_clusters = count.suggested
        graph, result = self.pipe.pseudo_labels(self.vectors, num_clusters, k=neighbors, config=config)
        self._own_group()
        fields.clear(self.dataset, self.key, ("pseudo_labels", "scores", "selection"))
        fields.write_pseudo_labels(self.dataset, self.key, self.ids, result.labels, result.confidence,
                                   result.agreement)  # fmt: skip
        self.labels, self.num_clusters = result.labels, num_clusters
        self._finish("pseudo_labels", clusters=num_clusters, neighbors=graph.k, neighbor_search=graph.method,
                     neighbor_recall=graph.recall, estimated=count is not None, config=config.to_dict(),
                     labelled=len(self.ids), embeddings_field=self.record.embeddings_field,
                     seconds=self.pipe.seconds["neighbors"] + self.pipe.seconds["pseudo_labels"])  # fmt: skip
        self._save_failures()
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
        self.ids, self.labels, names = fields.read_labels(self.collection, self.key)
        if not self.ids:
            raise InvalidInput(f"No sample of this view has a pseudo-label of the run '{self.key}'.")
        self.num_clusters = max(len(names), 2)
        self.failures = self._known_failures()

    def use_scores(self):
        """Takes the pseudo-labels and the scores on the dataset."""
        stage = self.record.stages["scores"]
        whole = fields.writable(self.dataset)
        self.ids, self.rank_scores = fields.read_scores(whole, self.key, stage["score"])
        label_ids, labels, names = fields.read_labels(whole, self.key)
        by_id = dict(zip(label_ids, labels))
        self.labels = np.array([by_id[i] for i in self.ids], dtype=np.int32)
        self.num_clusters = max(len(names), 2)
        self.score_name = stage["score"]

    def _vectors_of(self, ids):
        """Vectors (M, D) of these ids; a sample that has lost its vector is an error."""
        if self.vectors is not None:
            return self.vectors
        field = self.record.embeddings_field
        if self._vector_file().is_file():
            known = self._load_vectors()
        else:
            found, embeddings = samples.read_vectors(fields.writable(self.dataset).select(ids), field)
            known = dict(zip([i for i, ok in zip(found.ids, embeddings.ok) if ok], embeddings.vectors))
        lost = [i for i in ids if i not in known]
        if lost:
            raise InvalidInput(
                f"{len(lost):,} samples of the run have no usable vector in '{field}' any more (first: {lost[0]}). "
                "Compute the embeddings and pseudo-labels again."
            )
        return np.stack([known[i] for i in ids]).astype(np.float32)

    def score(self, proxy, score, epochs, image_size):
        config = resolve_proxy(proxy)
        if epochs:
            config = replace(config, epochs=int(epochs))
        progress = None
        if config.on_images:
            progress = self.reporter.stage(STAGES["dynamics"])
            inputs = self._pixels(config.image_size or image_size, part(progress, 0.0, DECODING_SHARE))
            progress = part(progress, DECODING_SHARE, 1.0)
        else:
            self.vectors = inputs = self._vectors_of(self.ids)
        result = self.pipe.dynamics(inputs, self.labels, self.num_clusters, config=config, progress=progress)
        self._own_group()
        fields.clear(self.dataset, self.key, ("scores", "selection"))
        self.rank_scores, self.score_name = getattr(result, score), score
        rank = difficulty_rank(self.rank_scores, hard=HARD_WHEN[score], ids=self.ids)
        fields.write_scores(self.dataset, self.key, self.ids, result, rank)
        self._finish("scores", score=score, proxy=config.to_dict(), scored=len(self.ids), epochs=result.epochs,
                     seconds=self.pipe.seconds["dynamics"])  # fmt: skip
        self._save_failures()
        counts, edges = np.histogram(self.rank_scores, bins=HISTOGRAM_BINS)
        histogram = {"score": score, "hard": HARD_WHEN[score], "counts": counts.tolist(), "edges": edges.tolist()}
        record.save_results(self.dataset, self.key, histogram=histogram, beta=None)

    def _pixels(self, image_size, progress):
        """Decodes the run's images for the faithful proxy; those that cannot be read are excluded and listed."""
        if self._paths is None:
            found = samples.read_samples(self.collection)
            self._paths = dict(zip(found.ids, found.paths))
        pixels = load_pixels([self._paths[i] for i in self.ids], int(image_size), progress=progress)
        if not len(pixels.values):
            raise InvalidInput("None of the run's images can be read. Use the MLP proxy on embeddings.", "proxy")
        for index, reason in pixels.failures.items():
            self.failures[self.ids[index]] = reason
        self.record.failed = len(self.failures)
        self.ids = [i for i, ok in zip(self.ids, pixels.ok) if ok]
        self.labels = self.labels[pixels.ok]
        if self.vectors is not None:
            self.vectors = self.vectors[pixels.ok]
        return pixels.values

    def search(self, budget, grid, repeats):
        n = len(self.ids)
        budget = resolve_budget(budget, n)
        self.vectors = self._vectors_of(self.ids)
        result = self.pipe.beta(self.vectors, self.labels, self.rank_scores, budget, hard=HARD_WHEN[self.score_name],
                                grid=grid, repeats=repeats, ids=self.ids)  # fmt: skip
        self._finish("beta", budget=budget, repeats=int(repeats), chosen=result.chosen, reason=result.reason,
                     seconds=self.pipe.seconds["beta"])  # fmt: skip
        curve = {
            "budget": budget,
            "betas": result.betas.tolist(),
            "accuracies": result.accuracies.tolist(),
            "mean": result.mean.tolist(),
            "spread": result.spread.tolist(),
            "chosen": result.chosen,
            "reason": result.reason,
        }
        record.save_results(self.dataset, self.key, beta=curve)
        return result.chosen

    def select(self, budget, beta, tag, view_name):
        start = time.monotonic()
        n = self.record.stages["scores"]["scored"]
        count = resolve_budget(budget, n)
        if beta == "auto":
            searched = self.record.stages.get("beta")
            if searched is None:
                raise InvalidInput("No β has been searched yet. Set β, or use search_beta first.", "beta")
            beta = searched["chosen"]
        hard_count = resolve_beta(beta, count, n)
        self.check_output_names(tag, view_name)
        report = self.reporter.stage("Selecting the coreset")
        zones = Zones(np.arange(n), hard_count, count)
        fields.write_zones(self.dataset, self.key, zones.zone)
        report(0.5, "zones written")
        self.record.drop_after("selection")
        self.record.stages["selection"] = {"beta": float(beta), "budget": count, "hard": hard_count,
                                           "coreset": count, "easy": n - hard_count - count}  # fmt: skip
        self._name_outputs(tag, view_name)
        self.record.stages["selection"]["seconds"] = round(time.monotonic() - start, 3)
        record.save_record(self.dataset, self.record)

    def check_output_names(self, tag, view_name):
        """Raises :class:`NameTaken` for a tag or saved view that exists and is not this run's."""
        if tag and tag not in self.record.tags and tag in fields.writable(self.dataset).distinct("tags"):
            raise NameTaken(f"The tag '{tag}' is already in use on this dataset. Choose another tag.", "tag")
        if view_name and self.dataset.has_saved_view(view_name) and view_name not in self.record.saved_views:
            raise NameTaken(f"A saved view '{view_name}' already exists. Choose another name.", "view_name")

    def _name_outputs(self, tag, view_name):
        coreset = zone_view(self.dataset, self.key, "coreset", self.record)
        if tag:
            if tag not in self.record.tags:
                self.record.tags.append(tag)
                record.save_record(self.dataset, self.record)
            fields.writable(self.dataset).match_tags(tag).untag_samples(tag)
            coreset.tag_samples(tag)
        if view_name:
            if view_name not in self.record.saved_views:
                self.record.saved_views.append(view_name)
                record.save_record(self.dataset, self.record)
            selection = self.record.stages["selection"]
            text = f"ELFS coreset of run {self.key}: {selection['coreset']} images, β = {selection['beta']:.3g}"
            self.dataset.save_view(view_name, coreset, description=text, overwrite=True)

    def summary(self, stage):
        """What the caller is told."""
        self.reporter.stage(WRITING)
        stages = self.record.stages
        selection = stages.get("selection", {})
        searched = stages.get("beta", {})
        results = record.load_results(self.dataset, self.key)
        return {
            "key": self.key,
            "stage": stage,
            "samples": len(self.ids) if self.ids is not None else stages["scores"]["scored"],
            "failed": self.record.failed,
            "clusters": stages.get("pseudo_labels", {}).get("clusters"),
            "estimate": (results.get("cluster_count") or {}).get("explanation"),
            "beta": selection.get("beta", searched.get("chosen")),
            "reason": searched.get("reason"),
            "budget": selection.get("budget", searched.get("budget")),
            "coreset": selection.get("coreset"),
            "hard": selection.get("hard"),
            "easy": selection.get("easy"),
            "embeddings_field": self.record.embeddings_field,
            "warnings": results.get("clusters", {}).get("warnings", []),
            "stages": {name: details.get("seconds") for name, details in stages.items()},
            "resumed": self.pipe.resumed,
        }


def rank_view(dataset, key, low, high):
    """The samples with low <= rank < high, hardest first not implied: a match on an interval, small at any N."""
    rank = F(f"{key}.rank")
    return fields.writable(dataset).match((rank >= int(low)) & (rank < int(high)))


def zone_view(dataset, key, zone, run=None):
    """The view of a zone (``"hard"``, ``"coreset"``, ``"easy"``) of an applied selection."""
    run = run or record.require_record(dataset, key, "selection", "showing a zone")
    if zone not in ZONES:
        raise InvalidInput(f"Unknown zone {zone!r}. Use one of: {', '.join(ZONES)}.", "zone")
    selection = run.stages["selection"]
    m, b = selection["hard"], selection["coreset"]
    low, high = {"hard": (0, m), "coreset": (m, m + b), "easy": (m + b, m + b + selection["easy"])}[zone]
    return rank_view(dataset, key, low, high)


EXPORT_FORMATS = {
    "csv": "CSV list: absolute path, id, rank, scores, pseudo-label",
    "images": "Folder of images",
    "fiftyone": "FiftyOne dataset (images and all fields)",
}


def export_coreset(collection, key="elfs", *, path, format="csv", zone="coreset", overwrite=False):
    """Writes a zone to disk for a labelling tool. Returns {"path", "exported"}.

    Raises:
        InvalidInput: for a relative path, an existing target without ``overwrite``, an unknown format
    """
    dataset = collection._dataset
    view = zone_view(dataset, key, zone)
    if format not in EXPORT_FORMATS:
        raise InvalidInput(f"Unknown format {format!r}. Use one of: {', '.join(EXPORT_FORMATS)}.", "format")
    path = Path(path).expanduser() if path else None
    if path is None or not path.is_absolute():
        raise InvalidInput("Give an absolute path to write to.", "path")
    taken = path.is_file() or (path.is_dir() and any(path.iterdir())) or (path.is_dir() and format == "csv")
    if taken and (not overwrite or (path.is_dir() and format == "csv")):
        raise InvalidInput(f"{path} already exists. Choose another path, or allow overwriting.", "path")
    n = len(view)
    if n == 0:
        raise InvalidInput(f"The zone '{zone}' of the run '{key}' holds no images. There is nothing to export.", "zone")
    if format == "csv":
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_csv(view, key, path)
    elif format == "images":
        path.mkdir(parents=True, exist_ok=True)
        root = os.path.commonpath([os.path.dirname(p) for p in view.values("filepath")])
        view.export(str(path), dataset_type=fo.types.ImageDirectory, export_media=True, rel_dir=root,
                    overwrite=overwrite, progress=False)  # fmt: skip
    else:
        view.export(str(path), dataset_type=fo.types.FiftyOneDataset, export_media=True, overwrite=overwrite,
                    progress=False)  # fmt: skip
    return {"path": str(path), "exported": n}


def _write_csv(view, key, path):
    columns = ["filepath", "id", f"{key}.rank", f"{key}.aum", f"{key}.forgetting", f"{key}.el2n",
               f"{key}.pseudo_label.label", f"{key}.pseudo_label.confidence"]  # fmt: skip
    rows = sorted(zip(*view.values(columns)), key=lambda row: row[2])
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([name.removeprefix(f"{key}.") for name in columns])
        writer.writerows(rows)
    os.replace(partial, path)


def delete_run(dataset, key="elfs"):
    """Removes everything the run wrote and nothing else. Returns what was removed.

    An embeddings field that existed before, or that another run uses, stays.
    """
    dataset = dataset._dataset
    found = record.load_record(dataset, key)
    if found is None:
        have = ", ".join(record.list_runs(dataset)) or "none"
        raise InvalidInput(f"There is no ELFS run '{key}' on this dataset (runs: {have}).", "key")
    lock = jobs.Lock(jobs.store(dataset), key)
    lock.acquire("Deleting the run")
    try:
        for tag in found.tags:
            fields.writable(dataset).match_tags(tag).untag_samples(tag)
        for name in found.saved_views:
            if dataset.has_saved_view(name):
                dataset.delete_saved_view(name)
        removed = []
        if found.owns_field and dataset.has_sample_field(key):
            if f"{key}.rank" in dataset.list_indexes():
                dataset.drop_index(f"{key}.rank")
            dataset.delete_sample_field(key)
            removed.append(key)
        if _release_embeddings(dataset, found):
            removed.append(found.embeddings_field)
        record.remove_run_folder(dataset, key)
        jobs.forget(dataset, key)
        dataset.delete_run(key)
        return {"key": key, "fields": removed, "tags": found.tags, "saved_views": found.saved_views}
    finally:
        lock.release()


def _release_embeddings(dataset, run):
    """Deletes the vector field that a run wrote, or leaves it to another run that uses it. Returns whether deleted."""
    if not run.owns_embeddings or not dataset.has_sample_field(run.embeddings_field):
        return False
    for key in record.list_runs(dataset):
        other = record.load_record(dataset, key)
        if key != run.key and other.embeddings_field == run.embeddings_field:
            other.owns_embeddings = True
            record.save_record(dataset, other)
            return False
    dataset.delete_sample_field(run.embeddings_field)
    return True


def suggested_clusters(collection):
    """A starting value for the form: 10, or fewer for a tiny view."""
    return max(2, min(10, collection.count() // 5))
