"""What a pre-cut costs in quality, and what it saves: graph coverage of a whole pool, and of a part of it.

    python -m benchmarks.precut --embeddings FILE --labels per-class:C [--version long-tail] [--kept 10000]
    python -m benchmarks.precut --samples 1000000 --dimensions 64 --classes 100 [--imbalance 100] [--kept 100000]
    python -m benchmarks.precut --cost 100000 1000000 --dimensions 128

The part is balanced (hierarchical k-means) or drawn at random. Beside them stands Random. Measured is the accuracy of a
logistic regression on the true labels of what was chosen, on held-out samples, and the mean cosine distance of the
pool's samples to the nearest chosen one. Synthetic data are Gaussian clusters, of which the largest has ``--imbalance``
times as many samples as the smallest. With ``--cost`` it is only seen how long the pre-cut to a tenth takes, of vectors
on a curved surface in a memory-mapped file.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from elfs_plugin import selectors
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.neighbors.label_transfer import cross_neighbors
from elfs_plugin.precut.balanced import balanced_rows
from elfs_plugin.seeds import repeats

from .common import add_data_options, chosen_data, shape, synthetic, timed
from .evidence import tested
from .evidence_sets import VERSIONS, plain
from .manifold import manifold_into
from .memory import Watched, private_memory
from .results import Column, Table, mean_sd, percent, started

K = 50
WAYS = {
    "whole": "graph coverage of the whole pool",
    "balanced": "graph coverage of a balanced pre-cut",
    "random": "graph coverage of as many drawn at random",
    "neither": "Random",
}
DISTANCE_ROWS = 20_000


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--version", choices=VERSIONS, default="plain", help="of data from a file")
    parser.add_argument("--samples", type=int, help="synthetic data of so many samples")
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--imbalance", type=float, default=1.0)
    parser.add_argument("--spread", type=float, default=1.5)
    parser.add_argument("--kept", type=int, default=10_000, help="samples that are left by the pre-cut")
    parser.add_argument("--budgets", type=int, nargs="+", default=[100, 400, 1000, 4000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cost", type=int, nargs="+", metavar="ROWS", help="time and memory alone, for each size")
    options, recording = started("precut", parser, arguments)
    if options.cost:
        recording.finish({"cost": cost_table(options)})
        return
    case = case_of(options)
    if options.kept >= len(case.vectors) or max(options.budgets) > options.kept:
        parser.error(f"--kept is a number below {len(case.vectors):,}, and not below the largest budget")
    accuracies, distances, seconds = measure(case, options)
    recording.finish(tables_of(case, options, accuracies, distances, seconds))


def cost_table(options):
    table = Table(["rows", "dimensions", "kept", "seconds", "CPU s", Column("private memory more, GB", 2)])
    for rows in options.cost:
        with tempfile.TemporaryDirectory(prefix="elfs-precut-") as folder, Watched() as watched:
            manifold_into(Path(folder, "vectors.npy"), rows, options.dimensions)
            vectors = np.load(Path(folder, "vectors.npy"), mmap_mode="r")
            watched.reset()
            before = private_memory()
            _, seconds, processors = timed(balanced_rows, vectors, rows // 10)
            more = watched.reset() - before
        print(table.add(rows, options.dimensions, rows // 10, seconds, processors, more / 1e9), flush=True)
    return table


def case_of(options):
    if not options.samples:
        return VERSIONS[options.version](plain(chosen_data(options)))
    data = synthetic(
        options.samples, options.dimensions, options.classes, spread=options.spread, imbalance=options.imbalance
    )
    return plain(data)


def measure(case, options):
    """({way: (S, B) accuracies}, {way: (S, B) distances}, {step: S seconds})."""
    accuracies, distances = ({way: [] for way in WAYS} for _ in range(2))
    seconds = {"pre-cut": [], "whole": [], "balanced": []}
    sample = np.sort(np.random.default_rng(0).permutation(len(case.vectors))[:DISTANCE_ROWS])
    for s, seed in enumerate(repeats(0, options.seeds)):
        for way in WAYS:
            if way == "whole" and s:  # it draws nothing at random
                continue
            chosen, took = rows_of(way, case, seed, options)
            for step, value in took.items():
                seconds[step].append(value)
            accuracies[way].append([tested(case, rows).mean() for rows in chosen])
            distances[way].append([distance(case.vectors, sample, rows) for rows in chosen])
            shown = ", ".join(f"{100 * value:.1f}" for value in accuracies[way][-1])
            print(f"seed {s + 1} of {options.seeds}, {way}: {shown}", flush=True)
    return accuracies, distances, seconds


def rows_of(way, case, seed, options):
    """([rows of the pool for each budget], {step: seconds})."""
    n, most = len(case.vectors), max(options.budgets)
    order = np.random.default_rng(seed).permutation(n)
    if way == "neither":
        return [order[:budget] for budget in options.budgets], {}
    kept, took = np.arange(n), {}
    if way == "balanced":
        kept, took["pre-cut"], _ = timed(balanced_rows, case.vectors, options.kept, seed=seed)
    elif way == "random":
        kept = np.sort(order[: options.kept])
    chosen, spent, _ = timed(covered, case.vectors if way == "whole" else case.vectors[kept], most, seed)
    if way in ("whole", "balanced"):
        took[way] = spent
    return [kept[chosen[:budget]] for budget in options.budgets], took


def covered(vectors, budget, seed):
    """Rows in the order of graph coverage; those of a smaller budget begin them."""
    graph = knn_graph(vectors, K, seed=seed)
    pool = selectors.Pool(np.arange(len(vectors)), embeddings=vectors, neighbors=graph)
    return selectors.select("graph_coverage", pool, budget, seed=seed).indices


def distance(vectors, sample, rows):
    """Mean cosine distance of the sampled rows to the nearest of ``rows``."""
    return float(1 - cross_neighbors(vectors[sample], vectors[rows], 1)[1].mean())


def tables_of(case, options, accuracies, distances, seconds):
    columns = [Column("choice"), Column("seeds", None)]
    quality = Table([*columns, *[percent(f"{b:,}") for b in options.budgets]])
    coverage = Table([*columns, *[Column(f"{b:,}", 4) for b in options.budgets]])
    for way, name in WAYS.items():
        values, far = np.array(accuracies[way]), np.array(distances[way])
        quality.add(name, len(values), *[_cell(values[:, b], 100) for b in range(len(options.budgets))])
        coverage.add(name, len(far), *[_cell(far[:, b], 1) for b in range(len(options.budgets))])
    pool = Table(["pool", "images", "kept", "pre-cut, s", "graph and coverage of the whole, s", "of the part, s"])
    means = [float(np.mean(seconds[step])) for step in ("pre-cut", "whole", "balanced")]
    pool.add(f"{shape(case.vectors)}, {case.classes} classes", len(case.vectors), options.kept, *means)
    return {"accuracy": quality, "distance": coverage, "pool": pool}


def _cell(values, scale):
    return mean_sd(values, scale) if len(values) > 1 else {"mean": scale * float(values[0])}


if __name__ == "__main__":
    main()
