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
from elfs_plugin.progress import silent

from .common import add_data_options, audited_data, shape
from .reference import PlainTemi
from .results import Column, Table, mean_sd, percent, started


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


def add_row(table, name, found, steps):
    pairs = [pseudo_label_accuracy(a["labels"], b["labels"]) for a, b in itertools.combinations(found, 2)]
    accuracies = [one["accuracy"] for one in found]
    table.add(
        name,
        len(found),
        steps,
        np.mean([one["seconds"] for one in found]),
        mean_sd(accuracies),
        100 * min(accuracies),
        mean_sd([one["heads"] for one in found]),
        mean_sd(pairs),
    )


def add_kmeans(table, data, clusters, count=10):
    targets = kmeans_targets(torch.from_numpy(standardize(data.vectors)), clusters, count, 0, silent).numpy()
    right = [pseudo_label_accuracy(labels, data.truth) for labels in targets]
    pairs = [pseudo_label_accuracy(a, b) for a, b in itertools.combinations(targets, 2)]
    table.add("spherical k-means", count, None, None, mean_sd(right), 100 * min(right), None, mean_sd(pairs))


def main(arguments=None):
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
    options, recording = started("clustering", parser, arguments)
    data = audited_data(options, parser)
    clusters = options.clusters or len(np.unique(data.truth))
    print(f"{data.name}: {shape(data.vectors)}, {clusters} clusters", flush=True)
    graph = knn_graph(data.vectors, suggest_k(len(data.vectors), clusters))

    plain, batched = seconds_per_step(data.vectors, graph, clusters, options.steps)
    total = ClusteringConfig.published().schedule(len(data.vectors))[2]
    quick = ClusteringConfig.quick()
    average = replace(quick, combine="average")
    steps = quick.schedule(len(data.vectors))[2]
    seeds = range(options.seeds)
    found = runs(data, graph, clusters, quick, seeds)
    table = Table(
        [
            "clustering",
            "seeds",
            "steps",
            Column("seconds", 0),
            percent("pseudo-labels right"),
            percent("worst"),
            percent("heads agree"),
            percent("seeds agree"),
        ]
    )
    add_row(table, "`quick`, best head", found, steps)
    add_row(table, "`quick`, average of heads", runs(data, graph, clusters, average, seeds[:3]), steps)
    add_kmeans(table, data, clusters)
    if options.published_heads:
        published = replace(ClusteringConfig.published(), heads=options.published_heads)
        name = f"published schedule, {options.published_heads} heads, this engine"
        add_row(table, name, runs(data, graph, clusters, published, [0]), total)

    step = Table(
        [
            "a step of the published recipe (50 heads)",
            Column("seconds", 3),
            Column("all steps, hours", 2),
            Column("times as long as `quick`", 0),
        ]
    )
    seconds = np.mean([one["seconds"] for one in found])
    for name, spent in (("plain loop over float32 heads", plain), ("this engine", batched)):
        step.add(name, spent, spent * total / 3600, spent * total / seconds)
    recording.finish({"quality": table, "speed": step})


if __name__ == "__main__":
    main()
