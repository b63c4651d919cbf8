"""The family of selectors: seconds of every method at one budget, everything that it needs made before.

On the given embeddings, or on 50,000 x 384 synthetic ones. What each coreset teaches is told by
``python -m elfs_plugin compare``.

    python -m benchmarks.selectors [--embeddings FILE] [--budget 0.1]
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from elfs_plugin.neighbors import knn_graph
from elfs_plugin.proxy import train_proxy
from elfs_plugin.selectors import Pool, available, select
from elfs_plugin.warm_up import with_outputs

from .common import add_data_options, from_file, machine, synthetic, table

VARIANTS = {
    "d2, label-free": ("d2", {"score": "constant"}),
    "k_center, hardest 10% cut": ("k_center", {"drop_hardest": 0.1}),
    "prototypicality, near": ("prototypicality", {"keep": "near"}),
    "random, equal quota": ("random", {"quota": "equal"}),
}


def methods():
    """Row name -> (method, parameters): the whole family with its defaults, and some variants."""
    return {**{name: (name, {}) for name in available()}, **VARIANTS}


def times(vectors, budget, clusters=10, seed=0):
    """Prints the table of times. What the methods need is stood in for where its values do not change the work."""
    n = len(vectors)
    start = time.perf_counter()
    graph = knn_graph(vectors, 50)
    print(f"neighbours: {time.perf_counter() - start:.1f} s")
    rng = np.random.default_rng(seed)
    labels = rng.integers(clusters, size=n)
    pool = Pool(np.arange(n), embeddings=vectors, neighbors=graph, pseudo_labels=labels)
    start, cpu = time.perf_counter(), time.process_time()
    pool = with_outputs(pool, seed=seed)
    print(f"warm-up: {time.perf_counter() - start:.1f} s ({time.process_time() - cpu:.1f} processor seconds)")
    start = time.perf_counter()
    pool = replace(pool, dynamics=train_proxy(vectors, labels, num_classes=clusters, seed=seed))
    print(f"proxy: {time.perf_counter() - start:.1f} s\n", flush=True)
    lines, total = [], np.zeros(2)
    for name, (method, params) in methods().items():
        start, cpu = time.perf_counter(), time.process_time()
        select(method, pool, budget, seed=seed, **params)
        spent = np.array([time.perf_counter() - start, time.process_time() - cpu])
        total += spent
        lines.append([name, *(f"{value:.2f}" for value in spent)])
        print(f"  {name}: {spent[0]:.2f} s", flush=True)
    lines.append(["**all**", *(f"**{value:.1f}**" for value in total)])
    print("\n" + table(["method", "seconds", "processor seconds"], lines) + "\n", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--budget", type=float, default=0.1)
    options = parser.parse_args()
    print(machine())
    data = from_file(options.embeddings) if options.embeddings else synthetic(50_000, 384)
    print(f"{data.name}: {data.vectors.shape[0]:,} x {data.vectors.shape[1]}, budget {options.budget:.0%}")
    times(data.vectors, options.budget)


if __name__ == "__main__":
    main()
