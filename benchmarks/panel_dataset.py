"""A dataset of any size with a finished run, within a minute or two: what the panel is measured on.

Nothing is trained. The code of real runs declares and writes the fields of a few hundred samples; MongoDB then gets N
copies of their documents with the values of a synthetic ranking; the code of real runs writes the record, the results
and the files. All samples share the few hundred image files.
"""

import time
from types import SimpleNamespace

import numpy as np

CLUSTERS = 100
BUDGET, BETA = 0.1, 0.1
KEY = "elfs"
TAG = "elfs_coreset"
VECTORS = f"{KEY}_embeddings"
DIMENSIONS = 64

_CHUNK = 20_000


def write_images(folder, count=300, side=96):
    """Writes scikit-learn's first digits as small JPEG files. Returns their paths."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, digit in enumerate(load_digits().images[:count]):
        paths.append(str(folder / f"{index:04d}.jpg"))
        Image.fromarray((digit * (255 / 16)).astype(np.uint8)).resize((side, side)).convert("RGB").save(paths[-1])
    return paths


def synthetic_scores(n, seed=0):
    """A ranking of N samples: (N,) float64 scores like AUM, hardest first, and (N,) int32 labels of uneven clusters."""
    rng = np.random.default_rng([seed, 0])
    scores = np.sort(np.where(rng.random(n) < 0.8, rng.normal(4.5, 1.2, n), rng.normal(0.5, 1.5, n)))
    share = rng.random(CLUSTERS) + 0.2
    return scores, rng.choice(CLUSTERS, size=n, p=share / share.sum()).astype(np.int32)


def make_dataset(name, paths, n, seed=0):
    """The dataset; its samples are the ranks in a random order, as in reality."""
    import fiftyone as fo

    dataset = fo.Dataset(name, persistent=True, overwrite=True)
    dataset.add_samples((fo.Sample(path) for path in paths), num_samples=len(paths), progress=False)
    dataset.compute_metadata(num_workers=1, progress=False)
    scores, labels = synthetic_scores(n, seed)
    since = time.time()
    _write_templates(dataset, seed)
    ids = _replace_samples(dataset, scores, labels, seed)
    _finish_run(dataset, ids, scores, labels, since)
    dataset.reload()
    return dataset


def _write_templates(dataset, seed):
    """Declares and fills the run's fields on the first samples, by the code of real runs."""
    from elfs_plugin.proxy.dynamics import HARD_WHEN
    from elfs_plugin.pruning.zones import difficulty_rank, double_end
    from elfs_plugin.runs import fields, journal, record

    ids = dataset.values("id")
    count = len(ids)
    rng = np.random.default_rng([seed, 3])
    share = rng.uniform(0.5, 1, count)
    scores = SimpleNamespace(**{name: rng.random(count) for name in fields.SCORES})
    rank = difficulty_rank(scores.aum, hard=HARD_WHEN["aum"], ids=ids)
    zones = double_end(np.arange(count), BUDGET, BETA)
    draft = journal.Draft()
    draft.put(fields.vector_column(VECTORS, ids, rng.standard_normal((count, DIMENSIONS), dtype=np.float32)))
    draft.put(*fields.label_columns(KEY, ids, np.zeros(count, dtype=np.int32), share, share))
    draft.put(*fields.score_columns(KEY, ids, scores, rank))
    draft.step("indexes")
    draft.step("zones", hard=zones.hard_count, coreset=zones.budget)
    journal.publish(dataset, record.RunRecord(KEY, owns_field=True), draft)
    dataset.tag_samples(TAG)


def _replace_samples(dataset, scores, labels, seed):
    """Copies of the run's samples, N of them, instead of the samples themselves. Returns the ids by rank."""
    from bson import ObjectId

    from elfs_plugin.runs.vectors import LARGE

    n = len(scores)
    hard, budget = int(BETA * n), int(BUDGET * n)
    rng = np.random.default_rng([seed, 1])
    collection = dataset._sample_collection
    templates = list(collection.find({}))
    if n > LARGE:  # then a run keeps its vectors in a file
        for template in templates:
            template.pop(VECTORS, None)
    ids = np.empty(n, dtype=object)
    ranks = rng.permutation(n)
    random, confidence, kind = rng.random(n), rng.uniform(0.5, 1, n), rng.integers(len(templates), size=n)
    collection.delete_many({})
    for start in range(0, n, _CHUNK):
        documents = []
        for place in range(start, min(start + _CHUNK, n)):
            rank = int(ranks[place])
            zone = "hard" if rank < hard else "coreset" if rank < hard + budget else "easy"
            template = templates[kind[place]]
            label = {
                **template[KEY]["pseudo_label"],
                "_id": ObjectId(),
                "label": f"cluster {labels[rank]}",
                "confidence": float(confidence[place]),
            }
            values = {
                **template[KEY],
                "pseudo_label": label,
                "agreement": float(confidence[place]),
                "aum": float(scores[rank]),
                "rank": rank,
                "zone": zone,
            }
            tags = [TAG] if zone == "coreset" else []
            ids[rank] = ObjectId()
            documents.append({**template, "_id": ids[rank], "_rand": float(random[place]), "tags": tags, KEY: values})
        collection.insert_many(documents, ordered=False)
    return np.array([str(i) for i in ids])


def _finish_run(dataset, ids, scores, labels, since):
    """The record, the results and the files of a run over N samples, ``ids`` by rank."""
    from elfs_plugin import runs
    from elfs_plugin.clustering.health import health, health_warnings, per_cluster
    from elfs_plugin.clustering.pseudo_labels import PseudoLabels
    from elfs_plugin.runs import changes, graph, journal, ranking, record, vectors, views
    from elfs_plugin.runs.keeping import HISTOGRAM_BINS
    from elfs_plugin.runs.vectors import LARGE

    n = len(ids)
    hard, budget = int(BETA * n), int(BUDGET * n)
    run = record.RunRecord(KEY, embeddings_field=VECTORS, owns_embeddings=True, owns_field=True)
    ranking.new_ranking(run)
    curve = _beta_curve(budget)
    run.stages = {
        "embeddings": {"seed": 0, "encoder": "pixels", "embedded": n, "failed": 0, "dimensions": DIMENSIONS},
        "pseudo_labels": {"seed": 0, "clusters": CLUSTERS, "labelled": n, "since": since, "estimated": False},
        "scores": {"seed": 0, "score": "aum", "scored": n},
        "beta": {"seed": 0, "budget": budget, "chosen": BETA, "reason": curve["reason"]},
        "selection": {
            "beta": BETA,
            "budget": budget,
            "hard": hard,
            "coreset": budget,
            "easy": n - hard - budget,
            "when": time.time(),
        },
    }
    record.save_record(dataset, run)
    names = [f"cluster {label}" for label in range(CLUSTERS)]
    ranking.keep_ranking(runs.Run(dataset, KEY, run), ids, scores, labels, names)
    confidence = np.random.default_rng([0, 2]).uniform(0.5, 1, n)
    result = PseudoLabels(
        labels,
        confidence,
        confidence,
        np.zeros(8),
        0,
        np.bincount(labels, minlength=CLUSTERS),
        np.zeros(10),
        np.zeros(8),
        0.9,
    )
    counts, edges = np.histogram(scores, bins=HISTOGRAM_BINS)
    journal.save_results(
        dataset,
        KEY,
        failures={},
        histogram={"score": "aum", "hard": "low", "counts": counts.tolist(), "edges": edges.tolist()},
        clusters={
            "occupancy": result.occupancy.tolist(),
            **health(result),
            "warnings": health_warnings(result),
            "per_cluster": per_cluster(result, ids),
        },
        beta=curve,
    )
    folder = record.run_folder(dataset, KEY)
    neighbors = np.random.default_rng([0, 4]).integers(n, size=(n, graph.KEPT), dtype=np.int32)
    run.graph = graph.save(folder, ids, neighbors, np.full(neighbors.shape, 0.9, dtype=np.float16))
    if n > LARGE:
        run.vectors = vectors.save(folder, ids, np.zeros((n, DIMENSIONS), dtype=np.float32))
    run.tags, run.saved_views = [TAG], [TAG]
    run.saved[TAG] = {"beta": BETA, "hard": hard, "budget": budget, "when": run.stages["selection"]["when"]}
    record.save_record(dataset, run)
    dataset.save_view(TAG, views.zone_view(runs.Run(dataset, KEY, run), "coreset"), overwrite=True)
    changes.count_changes(dataset, run)  # as a job does at its end


def _beta_curve(budget):
    """A β curve of the shape that a search leaves."""
    betas = [round(0.05 * step, 2) for step in range(11)]
    mean = [0.7 - (beta - BETA) ** 2 for beta in betas]
    return {
        "budget": budget,
        "betas": betas,
        "accuracies": [[m - 0.01, m, m + 0.01] for m in mean],
        "mean": mean,
        "spread": [0.008] * len(betas),
        "chosen": BETA,
        "reason": f"β = {BETA}.",
    }
