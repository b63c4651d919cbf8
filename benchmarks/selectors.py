"""The family of selectors: time of each, and what a probe learns from its coreset beside Random's.

Part one: seconds of every method on the given embeddings (or 50,000 x 384 synthetic ones) at one budget, everything
that it needs made before. Part two, with true labels: the last fifth of every class is the evaluation set, the rest the
pool; clustering, proxy and warm-up see the pool's embeddings alone. A linear probe is trained with the TRUE labels of
each coreset, the same recipe for all, and tested on the evaluation set.

    python -m benchmarks.selectors [--embeddings FILE --labels FILE|per-class:C] [--seeds 3] [--only times|quality]
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from elfs_plugin.clustering import cluster
from elfs_plugin.neighbors import knn_graph, suggest_k
from elfs_plugin.proxy import train_proxy
from elfs_plugin.selectors import Pool, available, select
from elfs_plugin.warm_up import with_outputs

from .beta import Probe, split
from .common import add_data_options, chosen_data, from_file, machine, mean_spread, synthetic, table

VARIANTS = {
    "d2, label-free": ("d2", {"score": "constant"}),
    "k_center, hardest 10% cut": ("k_center", {"drop_hardest": 0.1}),
    "prototypicality, near": ("prototypicality", {"keep": "near"}),
    "random, equal quota": ("random", {"quota": "equal"}),
}


def methods():
    """Row name -> (method, parameters): the whole family with its defaults, and some variants."""
    return {**{name: (name, {}) for name in available()}, **VARIANTS}


def made_pool(vectors, clusters, seed):
    """(pool with all that any method needs, {what: seconds})."""
    seconds, marks = {}, [time.perf_counter()]

    def done(what):
        marks.append(time.perf_counter())
        seconds[what] = marks[-1] - marks[-2]

    graph = knn_graph(vectors, suggest_k(len(vectors), clusters))
    done("neighbours")
    pseudo = cluster(vectors, graph, clusters, seed=seed)
    done("clustering")
    labels = np.asarray(pseudo.labels)
    dynamics = train_proxy(vectors, labels, num_classes=clusters, seed=seed)
    done("proxy")
    pool = Pool(np.arange(len(vectors)), embeddings=vectors, neighbors=graph, pseudo_labels=labels, dynamics=dynamics,
                confidence=pseudo.confidence)  # fmt: skip
    pool = with_outputs(pool, seed=seed)
    done("warm-up")
    return pool, seconds


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


def quality(data, budgets, seeds):
    """Prints probe accuracies on true labels beside Random's."""
    rows, evaluation = split(data.truth)
    vectors, truth = data.vectors[rows], data.truth[rows]
    probe = Probe(vectors, truth, data.vectors[evaluation], data.truth[evaluation])
    clusters = len(np.unique(truth))
    print(f"{data.name}: pool {len(rows):,} x {vectors.shape[1]}, evaluation {len(evaluation):,}, {seeds} seeds\n")
    found = {}
    for seed in range(seeds):
        pool, _ = made_pool(vectors, clusters, seed)
        for name, (method, params) in methods().items():
            for budget in budgets:
                chosen = select(method, pool, budget, seed=seed, **params).indices
                found.setdefault((name, budget), []).append(probe.accuracy(chosen))
    lines = []
    for name in methods():
        line = [name]
        for budget in budgets:
            ours, random = np.array(found[name, budget]), np.array(found["random", budget])
            line += [mean_spread(ours), "" if name == "random" else f"{100 * (ours - random).mean():+.1f}"]
        lines.append(line)
    header = ["method", *(part for budget in budgets for part in (f"{budget:.0%}, %", "- Random"))]
    print(table(header, lines), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--budget", type=float, default=0.1, help="of the table of times")
    parser.add_argument("--budgets", type=float, nargs="+", default=(0.01, 0.1, 0.3))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=("times", "quality"))
    options = parser.parse_args()
    print(machine())
    if options.only != "quality":
        data = from_file(options.embeddings) if options.embeddings else synthetic(50_000, 384)
        print(f"{data.name}: {data.vectors.shape[0]:,} x {data.vectors.shape[1]}, budget {options.budget:.0%}")
        times(data.vectors, options.budget)
    if options.only != "times":
        data = chosen_data(options)
        if data.truth is None:
            parser.error("the audit needs true labels: --labels FILE or per-class:C")
        quality(data, options.budgets, options.seeds)


if __name__ == "__main__":
    main()
