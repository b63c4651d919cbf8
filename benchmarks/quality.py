"""The quality table: the whole path over seeds, and the coreset beside Random at several budgets.

The last fifth of every class is the evaluation set, the rest the pool, whose embeddings are all the path sees. A linear
probe is then trained with the TRUE labels of each subset, the same recipe for all, and tested on the evaluation set.

    python -m benchmarks.quality [--embeddings FILE --labels FILE|per-class:C] [--seeds 5]
"""

import argparse
import itertools
import time

import numpy as np

from elfs_plugin.beta_search.search import search_beta
from elfs_plugin.clustering.pseudo_labels import cluster
from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.neighbors.graph import knn_graph, suggest_k
from elfs_plugin.proxy.train import train_proxy
from elfs_plugin.pruning.zones import double_end

from .beta import Probe, split
from .common import add_data_options, chosen_data, machine, mean_spread, table

BUDGETS = (0.01, 0.05, 0.1, 0.3, 0.5)


def run_seed(vectors, graph, clusters, budgets, probe, seed):
    """(pseudo-labels, {budget: (β, coreset accuracy, Random's accuracy, coreset)}, seconds)."""
    start = time.perf_counter()
    labels = cluster(vectors, graph, clusters, seed=seed).labels
    scores = train_proxy(vectors, labels, num_classes=clusters, seed=seed).aum
    rows = {}
    for budget in budgets:
        beta = search_beta(vectors, labels, scores, budget, seed=seed).chosen
        rows[budget] = [beta, double_end(scores, budget, beta).coreset]
    seconds = time.perf_counter() - start
    for budget, (beta, coreset) in rows.items():
        random = np.random.default_rng([seed, len(coreset)]).choice(len(vectors), len(coreset), replace=False)
        rows[budget] = (beta, probe.accuracy(coreset), probe.accuracy(random), coreset)
    return labels, rows, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--clusters", type=int, help="default: the number of classes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budgets", type=float, nargs="+", default=BUDGETS)
    options = parser.parse_args()
    data = chosen_data(options)
    if data.truth is None:
        parser.error("the audit needs true labels: --labels FILE or per-class:C")
    clusters = options.clusters or len(np.unique(data.truth))
    pool, evaluation = split(data.truth)
    vectors, truth = data.vectors[pool], data.truth[pool]
    probe = Probe(vectors, truth, data.vectors[evaluation], data.truth[evaluation])
    print(machine())
    print(f"{data.name}: pool {len(pool):,} x {vectors.shape[1]}, evaluation {len(evaluation):,}\n", flush=True)
    graph = knn_graph(vectors, suggest_k(len(vectors), clusters))
    runs = [run_seed(vectors, graph, clusters, options.budgets, probe, seed) for seed in range(options.seeds)]

    right = [pseudo_label_accuracy(labels, truth) for labels, _, _ in runs]
    print(
        f"Pseudo-labels right: {mean_spread(right)} % over {len(runs)} seeds; {np.mean([s for _, _, s in runs]):.0f} "
        f"seconds a seed from the graph to {len(options.budgets)} coresets.\n"
    )
    lines = []
    for budget in options.budgets:
        rows = [row[budget] for _, row, _ in runs]
        coreset, random = (np.array([row[i] for row in rows]) for i in (1, 2))
        common = [len(np.intersect1d(a[3], b[3])) / len(a[3]) for a, b in itertools.combinations(rows, 2)]
        lines.append(
            [
                f"{budget:.0%}",
                f"{len(rows[0][3]):,}",
                " ".join(f"{row[0]:g}" for row in rows),
                mean_spread(coreset),
                mean_spread(random),
                f"{100 * (coreset - random).mean():+.1f}",
                mean_spread(common, digits=0) if common else "-",
            ]
        )
    print(table(["budget", "images", "β found", "coreset, %", "Random, %", "difference", "seeds share, %"], lines))
    print(f"\nAll {len(pool):,} true labels of the pool: {probe.accuracy(np.arange(len(pool))):.1%}")


if __name__ == "__main__":
    main()
