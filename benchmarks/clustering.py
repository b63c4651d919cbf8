"""What the clustering costs and how good it is, beside a plain implementation of the published recipe in the same run.

True labels are used for the audit columns alone.

    python -m benchmarks.clustering [--embeddings FILE --labels FILE|per-class:C] [--seeds 5] [--published-heads 8]
"""

import argparse
import itertools
import time
from dataclasses import replace

import numpy as np
import torch

from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster, standardize
from elfs_plugin.clustering.temi import Heads
from elfs_plugin.clustering.temi_training import Training, kmeans_targets
from elfs_plugin.devices import matmul_dtype, reuse_heap
from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.neighbors.graph import knn_graph, suggest_k

from .common import add_data_options, chosen_data, machine, mean_spread, table
from .reference import PlainTemi


def seconds_per_step(data, graph, clusters, steps):
    """(plain, batched): seconds of one step of the published recipe (50 heads), the median of some."""
    config = ClusteringConfig.published()
    batch, per_epoch, _ = config.schedule(len(data))
    standardised = torch.from_numpy(standardize(data))
    plain = PlainTemi(standardised, graph.indices, clusters, heads=config.heads, batch=batch)
    plain_seconds = _median(plain.step, steps)
    device = torch.device("cpu")
    student = Heads(config.heads, data.shape[1], clusters, dtype=matmul_dtype(device))
    training = Training(student, standardised, torch.from_numpy(graph.indices), config, batch, per_epoch, steps + 2, 0)

    def step():
        training._advance()
        training.step += 1

    with reuse_heap(device):
        return plain_seconds, _median(step, steps)


def _median(call, times):
    call()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def runs(data, graph, clusters, config, seeds):
    """One dict per seed: seconds, accuracy, loss, agreement, labels."""
    found = []
    for seed in seeds:
        start = time.perf_counter()
        result = cluster(data.vectors, graph, clusters, config=config, seed=seed)
        found.append(
            {
                "seconds": time.perf_counter() - start,
                "accuracy": pseudo_label_accuracy(result.labels, data.truth),
                "loss": result.head_losses[result.best_head],
                "heads": result.agreement.mean(),
                "labels": result.labels,
            }
        )
    return found


def row(name, found, steps):
    pairs = [pseudo_label_accuracy(a["labels"], b["labels"]) for a, b in itertools.combinations(found, 2)]
    return [
        name,
        len(found),
        f"{steps:,}",
        f"{np.mean([one['seconds'] for one in found]):.0f}",
        mean_spread([one["accuracy"] for one in found]),
        f"{min(one['accuracy'] for one in found):.1%}",
        mean_spread([one["heads"] for one in found]),
        mean_spread(pairs) if pairs else "-",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--clusters", type=int, help="default: the number of classes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="steps timed of the plain implementation")
    parser.add_argument(
        "--published-heads",
        type=int,
        default=0,
        help="also run the published schedule with so many heads, in the batched engine (on a CPU: minutes a head)",
    )
    options = parser.parse_args()
    data = chosen_data(options)
    if data.truth is None:
        parser.error("the audit needs true labels: --labels FILE or per-class:C")
    clusters = options.clusters or len(np.unique(data.truth))
    print(machine())
    print(f"{data.name}: {data.vectors.shape[0]:,} x {data.vectors.shape[1]}, {clusters} clusters\n", flush=True)
    graph = knn_graph(data.vectors, suggest_k(len(data.vectors), clusters))

    plain, batched = seconds_per_step(data.vectors, graph, clusters, options.steps)
    total = ClusteringConfig.published().schedule(len(data.vectors))[2]
    print(
        f"A step of the published recipe (50 heads): plain {plain:.3f} s, batched {batched:.3f} s, "
        f"{plain / batched:.1f} times faster. Plain, all {total:,} steps: {plain * total / 3600:.2f} hours.\n",
        flush=True,
    )

    seeds = range(options.seeds)
    quick = ClusteringConfig.quick()
    found = runs(data, graph, clusters, quick, seeds)
    rows = [row("quick, best head", found, quick.schedule(len(data.vectors))[2])]
    seconds = np.mean([one["seconds"] for one in found])
    average = replace(quick, combine="average")
    rows.append(
        row(
            "quick, average of heads",
            runs(data, graph, clusters, average, seeds[:3]),
            average.schedule(len(data.vectors))[2],
        )
    )
    targets = kmeans_targets(torch.from_numpy(standardize(data.vectors)), clusters, 10, 0, lambda *_: None).numpy()
    kmeans = [pseudo_label_accuracy(labels, data.truth) for labels in targets]
    pairs = [pseudo_label_accuracy(a, b) for a, b in itertools.combinations(targets, 2)]
    rows.append(["spherical k-means", 10, "-", "-", mean_spread(kmeans), f"{min(kmeans):.1%}", "-", mean_spread(pairs)])
    if options.published_heads:
        published = replace(ClusteringConfig.published(), heads=options.published_heads)
        name = f"published schedule, {options.published_heads} heads"
        rows.append(row(name, runs(data, graph, clusters, published, [0]), total))
    print(
        table(
            [
                "clustering",
                "seeds",
                "steps",
                "seconds",
                "pseudo-labels right, %",
                "worst",
                "heads agree, %",
                "seeds agree, %",
            ],
            rows,
        )
    )
    print(f"\nThe plain published recipe would take {plain * total / seconds:.0f} times as long as quick.")


if __name__ == "__main__":
    main()
