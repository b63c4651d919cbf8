"""The family of selectors: seconds of every method at one budget, everything that it needs made before.

On the given embeddings, or on 50,000 x 384 synthetic ones. What each coreset teaches is told by
``benchmarks.methods``.

    python -m benchmarks.selectors [--embeddings FILE | --samples 50000 --dimensions 384] [--budget 0.1]
                                   [--methods k_center herding ...] [--save DATA]

``--manifold`` draws the synthetic ones from few degrees of freedom, as an encoder's are: a million then takes an
approximate neighbour search minutes and not hours.
"""

import argparse
from dataclasses import replace

import numpy as np

from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.proxy.train import train_proxy
from elfs_plugin.proxy.warm_up import with_outputs
from elfs_plugin.selectors import Pool, available, required, select

from .common import add_data_options, from_file, peak_gigabytes, shape, synthetic, timed
from .manifold import manifold
from .results import Column, Table, started

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
    """(table of seconds, table of what was made before). Where its values do not change the work, what the methods need
    is stood in for."""
    needs = set()
    for method, params in chosen.values():
        own = {name: value for name, value in params.items() if name != "quota"}  # which every method takes
        needs.update(required(method, **own), available()[method]["optional"])
    before = Table(["made before", "seconds", "CPU seconds"])
    pool = prepared(vectors, needs, clusters, seed, before)
    columns = ["method", Column("seconds", 2), Column("CPU seconds", 2), Column("peak memory of the process, GB", 2)]
    table, total = Table(columns), np.zeros(2)
    for name, (method, params) in chosen.items():
        _, *spent = timed(select, method, pool, budget, seed=seed, **params)
        total += spent
        print(table.add(f"`{method}`" + name.removeprefix(method), *spent, peak_gigabytes()), flush=True)
    table.add("all", *total, peak_gigabytes())
    return table, before


def prepared(vectors, needs, clusters, seed, before):
    """The pool; what takes long is made only where a method can use it, and noted in the table ``before``."""
    n = len(vectors)
    labels = np.random.default_rng(seed).integers(clusters, size=n)
    pool = Pool(np.arange(n), embeddings=vectors, pseudo_labels=labels)
    if "neighbors" in needs:
        graph, *spent = timed(knn_graph, vectors, 50)
        before.add("neighbours", *spent)
        pool = replace(pool, neighbors=graph)
    if needs & {"probabilities", "confidence", "grand"}:
        pool, *spent = timed(with_outputs, pool, seed=seed)
        before.add("warm-up", *spent)
    if "dynamics" in needs:
        dynamics, *spent = timed(train_proxy, vectors, labels, num_classes=clusters, seed=seed)
        before.add("proxy", *spent)
        pool = replace(pool, dynamics=dynamics)
    return pool


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--budget", type=float, default=0.1, help="a fraction, or a count from 1 on")
    parser.add_argument("--samples", type=int, default=50_000, help="synthetic embeddings, without a file (50,000)")
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--manifold", action="store_true", help="synthetic embeddings on a smooth manifold")
    parser.add_argument("--methods", nargs="+", choices=sorted(methods()), metavar="METHOD", help="only these")
    options, recording = started("selectors", parser, arguments)
    made = manifold if options.manifold else synthetic
    data = from_file(options.embeddings) if options.embeddings else made(options.samples, options.dimensions)
    budget = int(options.budget) if options.budget > 1 else options.budget
    print(f"{data.name}: {shape(data.vectors)}, budget {budget:,}")
    chosen = {name: how for name, how in methods().items() if name in (options.methods or methods())}
    table, before = times(data.vectors, budget, chosen)
    recording.finish({"seconds": table, "before": before})


if __name__ == "__main__":
    main()
