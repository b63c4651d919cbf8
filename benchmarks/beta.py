"""What the β search is worth: the coreset at the chosen β beside the best β there is and beside Random.

The last fifth of every class is the evaluation set, the rest the pool. Clustering, scores, β and coreset see the pool's
embeddings alone. Then a linear probe is trained with the TRUE labels of each coreset, the same recipe for all, and
tested on the evaluation set. True labels enter nowhere else.

    python -m benchmarks.beta [--embeddings FILE --labels FILE|per-class:C | --synthetic] [--seeds 5]

A second table compares other ways to choose from the same curves.
"""

import argparse
import time
from collections import defaultdict

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

from .common import add_data_options, chosen_data, machine, mean_spread, synthetic, table
from .manifold import manifold
from .reference import plain_beta_search

BUDGETS = (0.01, 0.1, 0.3)
PROBE_STRENGTH = 0.01
"""Inverse weight of the probe's L2 penalty."""


def split(truth):
    """(pool, evaluation) rows: of every class the last fifth is for the evaluation."""
    pool, evaluation = [], []
    for label in np.unique(truth):
        rows = np.flatnonzero(truth == label)
        cut = len(rows) - len(rows) // 5
        pool.append(rows[:cut])
        evaluation.append(rows[cut:])
    return np.sort(np.concatenate(pool)), np.sort(np.concatenate(evaluation))


class Probe:
    """Multinomial logistic regression on standardised embeddings, trained with true labels."""

    def __init__(self, pool, pool_truth, evaluation, evaluation_truth):
        mean, scale = pool.mean(axis=0), pool.std(axis=0).clip(1e-6)
        self._pool, self._evaluation = (pool - mean) / scale, (evaluation - mean) / scale
        self._pool_truth, self._evaluation_truth = pool_truth, evaluation_truth

    def accuracy(self, chosen):
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        classes = np.unique(self._pool_truth[chosen])
        if len(classes) < 2:
            return float(np.mean(self._evaluation_truth == classes[0]))
        model = LogisticRegression(C=PROBE_STRENGTH, max_iter=300, tol=1e-3)
        with threadpool_limits(1):  # on a busy machine threads of small products wait for each other
            model.fit(self._pool[chosen], self._pool_truth[chosen])
        return float(np.mean(model.predict(self._evaluation) == self._evaluation_truth))


def other_choices(betas, accuracies, kept):
    """Name -> row of the β that another rule would take from the same (B, repeats) curve."""
    mean, spread = accuracies.mean(axis=1), accuracies.std(axis=1)
    best = int(mean.argmax())
    return {
        "the best of the curve": best,
        "the smallest within one standard deviation": int(np.flatnonzero(mean >= mean[best] - spread[best] - 1e-12)[0]),
        "the usual β, no search": int(np.abs(betas - usual_beta(kept)).argmin()),
    }


def synthetic_sets(samples=7500):
    """(Data, (N,) pseudo-labels on the pool by spherical k-means) of synthetic sets whose labels are wrong at the hard
    end: overlapping Gaussians of uneven sizes, and a smooth manifold."""
    for seed in range(4):
        for data in (
            synthetic(samples, 16, 10, 900 + seed, spread=1.1, imbalance=5),
            manifold(samples, 96, degrees=20, seed=4000 + seed),
        ):
            pool, _ = split(data.truth)
            vectors = torch.from_numpy(standardize(data.vectors[pool]))
            yield data, kmeans_targets(vectors, 10, 1, seed, silent).numpy()[0]


def measure(vectors, labels, probe, budgets, seeds, repeats):
    """One dict per budget with arrays over the seeds, and the seconds spent."""
    num_classes = int(labels.max()) + 1
    rows = {budget: defaultdict(list) for budget in budgets}
    seconds = {"dynamics": [], "search": []}
    for seed in range(seeds):
        start = time.perf_counter()
        scores = mlp_ensemble.train(vectors, labels, num_classes, seed=seed).aum
        seconds["dynamics"].append(time.perf_counter() - start)
        for budget, row in rows.items():
            start = time.perf_counter()
            found = search_beta(vectors, labels, scores, budget, repeats=repeats, seed=seed)
            seconds["search"].append(time.perf_counter() - start)
            accuracy = {beta: probe.accuracy(double_end(scores, budget, beta).coreset) for beta in found.betas}
            best = max(accuracy, key=accuracy.get)
            count = len(double_end(scores, budget, 0).coreset)
            random = np.random.default_rng([seed, count]).choice(len(vectors), count, replace=False)
            row["beta"].append(found.chosen)
            row["chosen"].append(accuracy[found.chosen])
            row["oracle_beta"].append(best)
            row["oracle"].append(accuracy[best])
            row["random"].append(probe.accuracy(random))
            others = other_choices(found.betas, found.accuracies, count / len(vectors))
            row["other"].append({name: accuracy[best] - accuracy[found.betas[at]] for name, at in others.items()})
    return rows, seconds


def speed(vectors, labels, budget=0.1, repeats=5):
    """(seconds of one search, seconds of the same candidates as plain MLPs one after another, candidates)."""
    scores = mlp_ensemble.train(vectors, labels, int(labels.max()) + 1).aum
    start = time.perf_counter()
    found = search_beta(vectors, labels, scores, budget, repeats=repeats)
    batched = time.perf_counter() - start
    rng = np.random.default_rng(0)
    held_out = [rng.permutation(len(vectors))[: len(vectors) // 10] for _ in range(repeats)]
    jobs = [(double_end(scores, budget, beta).coreset, test) for test in held_out for beta in found.betas]
    start = time.perf_counter()
    with one_thread(torch.device("cpu")):  # quicker than several for networks this small
        plain_beta_search(vectors, labels, *zip(*jobs))
    return batched, time.perf_counter() - start, len(jobs)


def clustered(data, clusters):
    """(pool,) pseudo-labels by the default clustering."""
    vectors = data.vectors[split(data.truth)[0]]
    clusters = clusters or len(np.unique(data.truth))
    graph = knn_graph(vectors, suggest_k(len(vectors), clusters))
    return cluster(vectors, graph, clusters, config=ClusteringConfig.quick()).labels


def audited(data, labels, options):
    """(rows, seconds) of :func:`measure` on the pool of the data, and the pool's vectors."""
    pool, evaluation = split(data.truth)
    vectors = data.vectors[pool]
    right = pseudo_label_accuracy(labels, data.truth[pool])
    print(
        f"\n{data.name}: pool {len(pool):,} x {vectors.shape[1]}, evaluation {len(evaluation):,}, pseudo-labels "
        f"{right:.1%} right, {options.seeds} seeds, {options.repeats} repeats\n",
        flush=True,
    )
    probe = Probe(vectors, data.truth[pool], data.vectors[evaluation], data.truth[evaluation])
    return *measure(vectors, labels, probe, options.budgets, options.seeds, options.repeats), vectors


def show(rows):
    lines, others = [], []
    for budget, row in rows.items():
        gap = np.subtract(row["oracle"], row["chosen"])
        lines.append(
            [
                f"{budget:.0%}",
                " ".join(f"{beta:g}" for beta in row["beta"]),
                mean_spread(row["chosen"]),
                " ".join(f"{beta:g}" for beta in row["oracle_beta"]),
                mean_spread(row["oracle"]),
                mean_spread(gap),
                mean_spread(row["random"]),
            ]
        )
        costs = {"as it is": gap, **{name: [one[name] for one in row["other"]] for name in row["other"][0]}}
        others.append([f"{budget:.0%}", *(mean_spread(cost) for cost in costs.values())])
    header = ["budget", "β chosen", "coreset, %", "best β", "coreset at it, %", "cost of choosing", "Random, %"]
    print(table(header, lines) + "\n\nCost of choosing by other rules, points:\n")
    print(table(["budget", *costs], others), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--pseudo-labels", help="(pool,) .npy file, in place of clustering the pool")
    parser.add_argument("--clusters", type=int, help="default: the number of classes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5, help="held-out splits per β")
    parser.add_argument("--synthetic", action="store_true", help="synthetic sets with wrong labels at the hard end")
    parser.add_argument("--budgets", type=float, nargs="+", default=BUDGETS)
    options = parser.parse_args()
    print(machine(), flush=True)
    if options.synthetic:
        together = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        for data, labels in synthetic_sets():
            for budget, row in audited(data, labels, options)[0].items():
                for column, values in row.items():
                    together[data.name][budget][column] += values
        for name, rows in together.items():
            print(f"\n{name}, all sets together\n")
            show(rows)
        return
    data = chosen_data(options)
    if data.truth is None:
        parser.error("the audit needs true labels: --labels FILE or per-class:C")
    labels = np.load(options.pseudo_labels) if options.pseudo_labels else clustered(data, options.clusters)
    rows, seconds, vectors = audited(data, labels, options)
    show(rows)
    batched, plain, count = speed(vectors, labels)
    print(
        f"\n{count} candidates at a budget of 10%: {batched:.1f} s as one model, {plain:.1f} s as plain MLPs one after "
        f"another, {plain / batched:.1f} times as long."
    )
    print(
        f"\nSeconds: dynamics {np.mean(seconds['dynamics']):.1f}, one β search {np.mean(seconds['search']):.1f} "
        "(means over the runs)"
    )


if __name__ == "__main__":
    main()
