"""The default clustering on synthetic data that had no part in choosing its settings, beside spherical k-means.

The true clusters are used for the audit columns alone. k-means is given as it comes, and as the best by its own
objective of as many starts as the clustering has heads.

    python -m benchmarks.shapes [--samples 10000] [--seeds 3] [--save]
"""

import argparse

import numpy as np
import torch

from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster, standardize
from elfs_plugin.clustering.temi_training import kmeans_targets
from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.neighbors.graph import knn_graph, suggest_k
from elfs_plugin.progress import silent

from .common import synthetic
from .manifold import manifold
from .results import Column, Table, mean_sd, percent, started

SHAPES = {
    "100 Gaussians, well apart": (100, lambda n, seed: synthetic(n, 64, 100, seed, spread=1.0)),
    "100 Gaussians, overlapping": (100, lambda n, seed: synthetic(n, 16, 100, seed, spread=1.0)),
    "20 Gaussians, largest 100 times the smallest": (
        20,
        lambda n, seed: synthetic(n, 32, 20, seed, spread=1.5, imbalance=100),
    ),
    "smooth manifold, 10 groups": (10, lambda n, seed: manifold(n, 128, seed=seed)),
}


def objective(unit, labels):
    """What spherical k-means maximises: the sum over samples of the cosine with their cluster's centre."""
    sums = np.zeros((labels.max() + 1, unit.shape[1]))
    np.add.at(sums, labels, unit)
    return float(np.linalg.norm(sums, axis=1).sum())


def vote(truth, neighbors):
    """Share of the samples whose neighbours' most frequent true cluster is their own: how separable the data are."""
    counts = np.zeros((len(truth), truth.max() + 1), dtype=np.int32)
    np.add.at(counts, (np.arange(len(truth))[:, None], truth[neighbors]), 1)
    return float(np.mean(counts.argmax(axis=1) == truth))


def measure(data, clusters, seed, config):
    """Accuracies: of the neighbours' vote, of the clustering, of one k-means, of the best of several."""
    graph = knn_graph(data.vectors, suggest_k(len(data.vectors), clusters))
    found = cluster(data.vectors, graph, clusters, config=config, seed=seed).labels
    standardised = standardize(data.vectors)
    starts = kmeans_targets(torch.from_numpy(standardised), clusters, config.heads, seed + 1, silent).numpy()
    unit = standardised / np.linalg.norm(standardised, axis=1, keepdims=True)
    best = max(starts, key=lambda labels: objective(unit, labels))
    audit = [pseudo_label_accuracy(labels, data.truth) for labels in (found, starts[0], best)]
    return [vote(data.truth, graph.indices), *audit]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3, help="of the data and of the clusterings")
    options, recording = started("shapes", parser, arguments)
    config = ClusteringConfig.quick()
    table = Table(
        [
            "data",
            percent("neighbours' vote"),
            percent("`quick`"),
            percent("k-means"),
            percent(f"k-means, best of {config.heads}"),
            Column("`quick` - best", signed=True),
        ]
    )
    print("\n" + table.head())
    for name, (clusters, make) in SHAPES.items():
        found = np.array([measure(make(options.samples, s), clusters, s, config) for s in range(options.seeds)])
        cells = [mean_sd(column) for column in found.T]
        print(table.add(name, *cells, mean_sd(found[:, 1] - found[:, 3])), flush=True)
    recording.finish({"accuracy": table})


if __name__ == "__main__":
    main()
