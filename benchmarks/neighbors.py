"""Exact against approximate neighbours: python -m benchmarks.neighbors --samples 100000 --dimensions 512."""

import argparse

import numpy as np

from elfs_plugin.neighbors.graph import DEFAULT_K, knn_graph
from elfs_plugin.progress import Reporter, TerminalBar

from .common import add_data_options, chosen_data, shape, timed
from .manifold import manifold
from .results import Column, Table, started

METHODS = ("exact", "approximate")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser)
    parser.add_argument("--samples", type=int, help="synthetic embeddings instead of a file")
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--k", type=int, default=DEFAULT_K)
    parser.add_argument("--recall", type=float, default=0.95, help="wanted of the approximate search")
    parser.add_argument("--seed", type=int, default=0)
    options, recording = started("neighbors", parser, arguments)
    data = manifold(options.samples, options.dimensions) if options.samples else chosen_data(options)
    print(f"{data.name}, {shape(data.vectors)}, k {options.k}")
    (exact, exact_seconds), (approximate, seconds) = (graph_of(data.vectors, options, m) for m in METHODS)
    table = Table(["method", "seconds", Column("recall it reports (a sample)", 3), Column("recall over all points", 3)])
    table.add("exact", exact_seconds, 1, 1)
    table.add("approximate", seconds, approximate.recall, recall(approximate, exact))
    recording.finish({"methods": table})


def graph_of(vectors, options, method):
    """The graph and the seconds it took."""
    bar = Reporter({method: 1}, [TerminalBar()])
    graph, seconds, _ = timed(
        knn_graph,
        vectors,
        options.k,
        method=method,
        recall=options.recall,
        seed=options.seed,
        progress=bar.stage(method),
    )
    bar.done()
    return graph, seconds


def recall(graph, exact):
    """The share of the k neighbours found that are as similar as the true k-th one."""
    return float(np.mean(graph.similarities >= exact.similarities[:, -1:] - 1e-6))


if __name__ == "__main__":
    main()
