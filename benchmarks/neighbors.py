"""Exact against approximate neighbours: python -m benchmarks.neighbors --samples 100000 --dimensions 512."""

import argparse
import time

import numpy as np

from elfs_plugin.neighbors.graph import DEFAULT_K, knn_graph
from elfs_plugin.progress import Reporter, TerminalBar

from .common import add_data_options, chosen_data, machine, table
from .manifold import manifold


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser)
    parser.add_argument("--samples", type=int, help="synthetic embeddings instead of a file")
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--k", type=int, default=DEFAULT_K)
    parser.add_argument("--recall", type=float, default=0.95, help="wanted of the approximate search")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = manifold(options.samples, options.dimensions) if options.samples else chosen_data(options)
    print(machine())
    print(f"{data.name}, {data.vectors.shape[0]:,} x {data.vectors.shape[1]}, k {options.k}\n")
    exact, exact_seconds = timed(data.vectors, options, "exact")
    approximate, seconds = timed(data.vectors, options, "approximate")
    rows = [
        ["exact", f"{exact_seconds:.1f}", "1", "1"],
        ["approximate", f"{seconds:.1f}", f"{approximate.recall:.3f}", f"{recall(approximate, exact):.3f}"],
    ]
    print(table(["method", "seconds", "recall it reports (a sample)", "recall over all points"], rows))
    print(f"\nexact / approximate: {exact_seconds / seconds:.1f}")


def timed(vectors, options, method):
    """The graph and the seconds it took."""
    bar = Reporter({method: 1}, [TerminalBar()])
    start = time.perf_counter()
    graph = knn_graph(
        vectors, options.k, method=method, recall=options.recall, seed=options.seed, progress=bar.stage(method)
    )
    seconds = time.perf_counter() - start
    bar.done()
    return graph, seconds


def recall(graph, exact):
    """The share of the k neighbours found that are as similar as the true k-th one."""
    return float(np.mean(graph.similarities >= exact.similarities[:, -1:] - 1e-6))


if __name__ == "__main__":
    main()
