"""The quality table: the whole path over seeds, and the coreset beside Random at several budgets.

The last fifth of every class is the evaluation set, the rest the pool, whose embeddings are all the path sees. A linear
probe is then trained with the TRUE labels of each subset, the same recipe for all, and tested on the evaluation set.

    python -m benchmarks.quality [--embeddings FILE --labels FILE|per-class:C] [--seeds 5] [--save DATA]
"""

import argparse
import itertools

import numpy as np

from elfs_plugin.beta_search.search import search_beta
from elfs_plugin.clustering.pseudo_labels import cluster
from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.neighbors.graph import knn_graph, suggest_k
from elfs_plugin.proxy.train import train_proxy
from elfs_plugin.pruning.zones import double_end

from .audit import Probe, random_rows, split
from .common import add_data_options, audited_data, shape
from .results import Column, Table, mean_sd, percent, started

BUDGETS = (0.01, 0.05, 0.1, 0.3, 0.5)


def run_seed(vectors, graph, clusters, budgets, probe, seed):
    """(pseudo-labels, {budget: (β, coreset accuracy, Random's accuracy, coreset)})."""
    labels = cluster(vectors, graph, clusters, seed=seed).labels
    scores = train_proxy(vectors, labels, num_classes=clusters, seed=seed).aum
    rows = {}
    for budget in budgets:
        beta = search_beta(vectors, labels, scores, budget, seed=seed).chosen
        coreset = double_end(scores, budget, beta).coreset
        random = random_rows(len(vectors), len(coreset), seed)
        rows[budget] = (beta, probe.accuracy(coreset), probe.accuracy(random), coreset)
    return labels, rows


def coresets(runs, budgets):
    columns = [
        "budget",
        "images",
        "β found",
        percent("coreset"),
        percent("Random"),
        Column("difference", signed=True),
        percent("seeds share", 0),
    ]
    table = Table(columns)
    for budget in budgets:
        rows = [row[budget] for _, row in runs]
        coreset, random = (np.array([row[i] for row in rows]) for i in (1, 2))
        common = [len(np.intersect1d(a[3], b[3])) / len(a[3]) for a, b in itertools.combinations(rows, 2)]
        table.add(
            f"{budget:.0%}",
            len(rows[0][3]),
            [row[0] for row in rows],
            mean_sd(coreset),
            mean_sd(random),
            100 * (coreset - random).mean(),
            mean_sd(common),
        )
    return table


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--clusters", type=int, help="default: the number of classes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budgets", type=float, nargs="+", default=BUDGETS)
    options, recording = started("quality", parser, arguments)
    data = audited_data(options, parser)
    clusters = options.clusters or len(np.unique(data.truth))
    pool, evaluation = split(data.truth)
    vectors, truth = data.vectors[pool], data.truth[pool]
    probe = Probe(data, pool, evaluation)
    print(f"{data.name}: pool {shape(vectors)}, evaluation {len(evaluation):,}", flush=True)
    graph = knn_graph(vectors, suggest_k(len(vectors), clusters))
    runs = [run_seed(vectors, graph, clusters, options.budgets, probe, seed) for seed in range(options.seeds)]

    around = Table(["pool", "seeds", percent("pseudo-labels right"), percent("all true labels")])
    right = [pseudo_label_accuracy(labels, truth) for labels, _ in runs]
    around.add(len(pool), len(runs), mean_sd(right), 100 * probe.accuracy(np.arange(len(pool))))
    recording.finish({"coresets": coresets(runs, options.budgets), "pool": around})


if __name__ == "__main__":
    main()
