"""The family of selectors: seconds of every method at one budget, everything that it needs made before.

On the given embeddings, or on 50,000 x 384 synthetic ones. What each coreset teaches is told by
``python -m elfs_plugin compare``.

    python -m benchmarks.selectors [--embeddings FILE | --samples 50000 --dimensions 384] [--budget 0.1]
                                   [--methods k_center herding ...]
"""

import argparse
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.proxy.train import train_proxy
from elfs_plugin.proxy.warm_up import with_outputs
from elfs_plugin.selectors import Pool, available, required, select

from .common import add_data_options, from_file, machine, peak_gigabytes, synthetic, table

VARIANTS = {
    "d2, label-free": ("d2", {"score": "constant"}),
    "k_center, hardest 10% cut": ("k_center", {"drop_hardest": 0.1}),
    "prototypicality, near": ("prototypicality", {"keep": "near"}),
    "random, equal quota": ("random", {"quota": "equal"}),
}


def methods():
    """Row name -> (method, parameters): the whole family with its defaults, and some variants."""
    return {**{name: (name, {}) for name in available()}, **VARIANTS}


def times(vectors, budget, chosen, clusters=10, seed=0):
    """Prints the table of times. What the methods need is stood in for where its values do not change the work."""
    needs = set()
    for method, params in chosen.values():
        own = {name: value for name, value in params.items() if name != "quota"}  # which every method takes
        needs.update(required(method, **own), available()[method]["optional"])
    pool = prepared(vectors, needs, clusters, seed)
    lines, total = [], np.zeros(2)
    for name, (method, params) in chosen.items():
        start, cpu = time.perf_counter(), time.process_time()
        select(method, pool, budget, seed=seed, **params)
        spent = np.array([time.perf_counter() - start, time.process_time() - cpu])
        total += spent
        lines.append([name, *(f"{value:.2f}" for value in spent)])
        print(f"  {name}: {spent[0]:.2f} s", flush=True)
    lines.append(["**all**", *(f"**{value:.1f}**" for value in total)])
    print("\n" + table(["method", "seconds", "processor seconds"], lines) + "\n", flush=True)


def prepared(vectors, needs, clusters, seed):
    """The pool; what takes long is made only where a method can use it."""
    n = len(vectors)
    labels = np.random.default_rng(seed).integers(clusters, size=n)
    pool = Pool(np.arange(n), embeddings=vectors, pseudo_labels=labels)
    if "neighbors" in needs:
        with timed("neighbours"):
            pool = replace(pool, neighbors=knn_graph(vectors, 50))
    if needs & {"probabilities", "confidence", "grand"}:
        with timed("warm-up"):
            pool = with_outputs(pool, seed=seed)
    if "dynamics" in needs:
        with timed("proxy"):
            pool = replace(pool, dynamics=train_proxy(vectors, labels, num_classes=clusters, seed=seed))
    return pool


@contextmanager
def timed(name):
    start, cpu = time.perf_counter(), time.process_time()
    yield
    spent, used = time.perf_counter() - start, time.process_time() - cpu
    print(f"{name}: {spent:.1f} s ({used:.1f} processor seconds)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--samples", type=int, default=50_000, help="synthetic embeddings, without a file (50,000)")
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--methods", nargs="+", choices=sorted(methods()), metavar="METHOD", help="only these")
    options = parser.parse_args()
    print(machine())
    data = from_file(options.embeddings) if options.embeddings else synthetic(options.samples, options.dimensions)
    print(f"{data.name}: {data.vectors.shape[0]:,} x {data.vectors.shape[1]}, budget {options.budget:.0%}")
    chosen = {name: how for name, how in methods().items() if name in (options.methods or methods())}
    times(data.vectors, options.budget, chosen)
    print(f"peak memory {peak_gigabytes():.1f} GB")


if __name__ == "__main__":
    main()
