"""What the β search is worth: the coreset at the chosen β beside the best β there is and beside Random.

The last fifth of every class is the evaluation set, the rest the pool. Clustering, scores, β and coreset see the pool's
embeddings alone. Then a linear probe is trained with the TRUE labels of each coreset, the same recipe for all, and
tested on the evaluation set. True labels enter nowhere else.

    python -m benchmarks.beta [--embeddings FILE --labels FILE|per-class:C | --synthetic] [--seeds 5] [--speed]
                              [--save DATA]

A second table compares other ways to choose from the same curves.
"""

import argparse
from collections import defaultdict
from dataclasses import replace

import numpy as np
import torch

from elfs_plugin.beta_search.search import search_beta
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster, standardize
from elfs_plugin.clustering.temi_training import kmeans_targets
from elfs_plugin.devices import one_thread
from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.neighbors.graph import knn_graph, suggest_k
from elfs_plugin.progress import silent
from elfs_plugin.proxy import mlp as mlp_ensemble
from elfs_plugin.pruning.usual_beta import usual_beta
from elfs_plugin.pruning.zones import double_end

from .audit import Probe, random_rows, split
from .common import add_data_options, audited_data, shape, synthetic, timed
from .manifold import manifold
from .reference import plain_beta_search
from .results import Table, mean_sd, percent, started

BUDGETS = (0.01, 0.1, 0.3)


def other_choices(betas, accuracies, kept):
    """Name -> row of the β that another rule would take from the same (B, repeats) curve."""
    mean, spread = accuracies.mean(axis=1), accuracies.std(axis=1)
    best = int(mean.argmax())
    return {
        "the best of the curve": best,
        "the smallest within one standard deviation": int(np.flatnonzero(mean >= mean[best] - spread[best] - 1e-12)[0]),
        "the usual β, no search": int(np.abs(betas - usual_beta(kept)).argmin()),
    }


def synthetic_sets(samples):
    """(Data, (N,) pseudo-labels on the pool by spherical k-means) of synthetic sets whose labels are wrong at the hard
    end: overlapping Gaussians of uneven sizes, and a smooth manifold."""
    for seed in range(4):
        sets = {
            "uneven Gaussians": synthetic(samples, 16, 10, 900 + seed, spread=1.1, imbalance=5),
            "smooth manifold": manifold(samples, 96, degrees=20, seed=4000 + seed),
        }
        for name, data in sets.items():
            pool, _ = split(data.truth)
            vectors = torch.from_numpy(standardize(data.vectors[pool]))
            yield replace(data, name=name), kmeans_targets(vectors, 10, 1, seed, silent).numpy()[0]


def measure(vectors, labels, probe, budgets, seeds, repeats):
    """{budget: {column: a value for each seed}}."""
    num_classes = int(labels.max()) + 1
    rows = {budget: defaultdict(list) for budget in budgets}
    for seed in range(seeds):
        scores = mlp_ensemble.train(vectors, labels, num_classes, seed=seed).aum
        for budget, row in rows.items():
            found = search_beta(vectors, labels, scores, budget, repeats=repeats, seed=seed)
            accuracy = {beta: probe.accuracy(double_end(scores, budget, beta).coreset) for beta in found.betas}
            best = max(accuracy, key=accuracy.get)
            count = len(double_end(scores, budget, 0).coreset)
            row["beta"].append(found.chosen)
            row["chosen"].append(accuracy[found.chosen])
            row["oracle_beta"].append(best)
            row["oracle"].append(accuracy[best])
            row["random"].append(probe.accuracy(random_rows(len(vectors), count, seed)))
            others = other_choices(found.betas, found.accuracies, count / len(vectors))
            row["other"].append({name: accuracy[best] - accuracy[found.betas[at]] for name, at in others.items()})
    return rows


def speed(vectors, labels, repeats, budget=0.1):
    """A table: seconds of one search, and of the same candidates as plain MLPs one after another."""
    scores = mlp_ensemble.train(vectors, labels, int(labels.max()) + 1).aum
    found, batched, _ = timed(search_beta, vectors, labels, scores, budget, repeats=repeats)
    rng = np.random.default_rng(0)
    held_out = [rng.permutation(len(vectors))[: len(vectors) // 10] for _ in range(repeats)]
    jobs = [(double_end(scores, budget, beta).coreset, test) for test in held_out for beta in found.betas]
    with one_thread(torch.device("cpu")):  # quicker than several for networks this small
        _, plain, _ = timed(plain_beta_search, vectors, labels, *zip(*jobs))
    table = Table(["candidates", "as one model, s", "plain MLPs, s", "times faster"])
    table.add(len(jobs), batched, plain, plain / batched)
    return table


def clustered(data, clusters):
    """(pool,) pseudo-labels by the default clustering."""
    vectors = data.vectors[split(data.truth)[0]]
    clusters = clusters or len(np.unique(data.truth))
    graph = knn_graph(vectors, suggest_k(len(vectors), clusters))
    return cluster(vectors, graph, clusters, config=ClusteringConfig.quick()).labels


def audited(data, labels, options):
    """(:func:`measure` on the pool of the data, share of the pool's pseudo-labels that are right)."""
    pool, evaluation = split(data.truth)
    vectors = data.vectors[pool]
    right = pseudo_label_accuracy(labels, data.truth[pool])
    print(
        f"{data.name}: pool {shape(vectors)}, evaluation {len(evaluation):,}, pseudo-labels {right:.1%} right",
        flush=True,
    )
    probe = Probe(data, pool, evaluation)
    return measure(vectors, labels, probe, options.budgets, options.seeds, options.repeats), right


def search_table():
    return Table(
        [
            "budget",
            "β found",
            percent("coreset"),
            "best β",
            percent("coreset at it"),
            "cost of choosing",
            percent("Random"),
        ]
    )


def rules_table():
    return Table(
        [
            "data",
            "budget",
            "as it is",
            "the best of the curve",
            "the smallest within one deviation",
            "the usual β, no search",
        ]
    )


def add_search(table, rows):
    for budget, row in rows.items():
        gap = np.subtract(row["oracle"], row["chosen"])
        table.add(
            f"{budget:.0%}",
            row["beta"],
            mean_sd(row["chosen"]),
            row["oracle_beta"],
            mean_sd(row["oracle"]),
            mean_sd(gap),
            mean_sd(row["random"]),
        )


def add_rules(table, name, rows):
    for budget, row in rows.items():
        gap = np.subtract(row["oracle"], row["chosen"])
        others = [mean_sd([one[rule] for one in row["other"]]) for rule in row["other"][0]]
        table.add(name, f"{budget:.0%}", mean_sd(gap), *others)


def of_synthetic(options):
    """The table of rules, over all sets of each kind."""
    together = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for data, labels in synthetic_sets(options.samples):
        for budget, row in audited(data, labels, options)[0].items():
            for column, values in row.items():
                together[data.name][budget][column] += values
    table = rules_table()
    for name, rows in together.items():
        add_rules(table, name, rows)
    return table


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--pseudo-labels", help="(pool,) .npy file, in place of clustering the pool")
    parser.add_argument("--clusters", type=int, help="default: the number of classes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5, help="held-out splits per β")
    parser.add_argument("--synthetic", action="store_true", help="synthetic sets with wrong labels at the hard end")
    parser.add_argument("--samples", type=int, default=7500, help="of each synthetic set")
    parser.add_argument("--budgets", type=float, nargs="+", default=BUDGETS)
    parser.add_argument("--speed", action="store_true", help="also time the search beside plain MLPs")
    options, recording = started("beta", parser, arguments)
    if options.synthetic:
        recording.finish({"rules": of_synthetic(options)})
        return
    data = audited_data(options, parser)
    labels = np.load(options.pseudo_labels) if options.pseudo_labels else clustered(data, options.clusters)
    rows, right = audited(data, labels, options)
    around = Table(["seeds", "held-out splits", percent("pseudo-labels right")])
    around.add(options.seeds, options.repeats, 100 * right)
    tables = {"search": search_table(), "rules": rules_table(), "pool": around}
    add_search(tables["search"], rows)
    add_rules(tables["rules"], data.name, rows)
    if options.speed:
        tables["speed"] = speed(data.vectors[split(data.truth)[0]], labels, options.repeats)
    recording.finish(tables)


if __name__ == "__main__":
    main()
