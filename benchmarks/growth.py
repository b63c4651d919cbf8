"""How time and memory grow with the number of samples, stage by stage, on synthetic embeddings.

    python -m benchmarks.growth --samples 10000 100000 1000000 --dimensions 64 512

Every size runs in a process of its own, every stage with its default settings. The tables are Markdown; beside the
seconds that passed they give those of the processors, all cores together, which other work on the machine changes less.
"""

import argparse
import contextlib
import json
import math
import pathlib
import re
import time

import numpy as np

from elfs_plugin.beta_search.search import search_beta
from elfs_plugin.clustering.pseudo_labels import cluster
from elfs_plugin.neighbors.graph import NeighborGraph, knn_graph, suggest_k
from elfs_plugin.progress import Reporter, TerminalBar
from elfs_plugin.proxy.train import train_proxy
from elfs_plugin.pruning.zones import double_end

from .common import in_own_process, machine, peak_gigabytes, synthetic, table
from .manifold import intrinsic_dimension, manifold

STAGES = ("neighbors", "clustering", "proxy", "beta", "pruning")
DATA = {"manifold": manifold, "clusters": synthetic}
BUDGET = 0.1
CLUSTERS = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dimensions", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--data", choices=DATA, default="manifold")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--here", action="store_true", help="one size in this process; prints JSON")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(run(options.samples[0], options.dimensions[0], options)))
        return
    print(machine())
    for dimensions in options.dimensions:
        results = []
        for samples in sorted(options.samples):
            results.append(
                in_own_process(
                    "benchmarks.growth",
                    "--here",
                    "--samples",
                    samples,
                    "--dimensions",
                    dimensions,
                    "--data",
                    options.data,
                    "--seed",
                    options.seed,
                    "--stages",
                    *options.stages,
                )
            )
        report(results, dimensions, options)


def report(results, dimensions, options):
    """The tables of one number of dimensions."""
    sizes = [result["samples"] for result in results]
    intrinsic = ", ".join(f"{result['intrinsic']:.0f}" for result in results)
    print(f"\n{dimensions} dimensions, data `{options.data}` (intrinsic dimension {intrinsic})\n")
    header = ["stage", *(f"{n:,}" for n in sizes), *(f"exponent {a:,} to {b:,}" for a, b in zip(sizes, sizes[1:]))]
    rows = []
    for stage in options.stages:
        took = [result["stages"][stage] for result in results]
        cells = [f"{t['seconds']:.1f} s ({t['processors']:.1f} s), {t['gigabytes']:.2f} GB" for t in took]
        exponents = []
        for n, before, m, after in zip(sizes, took, sizes[1:], took[1:]):
            passed, worked = (exponent(n, before[what], m, after[what]) for what in ("seconds", "processors"))
            exponents.append(f"{passed:.2f} ({worked:.2f})")
        rows.append([stage, *cells, *exponents])
    rows.append(["the embeddings themselves", *(f"{result['gigabytes']:.2f} GB" for result in results)])
    rows[-1] += ["-"] * (len(header) - len(rows[-1]))
    print(table(header, rows))
    for result in results:
        for stage, took in result["stages"].items():
            if took["note"]:
                print(f"\n{result['samples']:,}, {stage}: {took['note']}")


def exponent(n, before, m, after):
    """p where the seconds grew like N^p, from ``before`` at n samples to ``after`` at m."""
    return math.log(max(after, 1e-3) / max(before, 1e-3)) / math.log(m / n)


def run(samples, dimensions, options):
    """For each stage: seconds, processor seconds, peak memory of the process (10^9 bytes) and a note."""
    data = DATA[options.data](samples, dimensions, clusters=CLUSTERS, seed=options.seed)
    intrinsic = intrinsic_dimension(data.vectors[:50_000])
    bar = Reporter(dict.fromkeys(options.stages, 1), [TerminalBar()])
    walk = Walk(data, options.seed)
    stages = {}
    for stage in (stage for stage in STAGES if stage in options.stages):
        reset_peak()
        start, worked = time.perf_counter(), time.process_time()
        note = getattr(walk, stage)(bar.stage(stage))
        stages[stage] = {
            "seconds": time.perf_counter() - start,
            "processors": time.process_time() - worked,
            "gigabytes": peak(),
            "note": note,
        }
    bar.done()
    return {"samples": samples, "intrinsic": intrinsic, "gigabytes": data.vectors.nbytes / 1e9, "stages": stages}


class Walk:
    """The way from embeddings to zones, one method a stage, each returning a note for the table.

    What a stage needs from one that was left out is made up: random neighbours within the true clusters, the true
    clusters as labels, random scores.
    """

    def __init__(self, data, seed):
        self.vectors, self.seed = data.vectors, seed
        rng = np.random.default_rng(seed)
        n = len(self.vectors)
        self.k = suggest_k(n, CLUSTERS)
        self.budget = round(BUDGET * n)
        self.labels = data.truth.astype(np.int32)
        self.scores = rng.normal(size=n).astype(np.float32)
        self.graph = None

    def neighbors(self, progress):
        self.graph = knn_graph(self.vectors, self.k, seed=self.seed, progress=progress)
        return f"{self.graph.method}, recall {self.graph.recall:.3f}, k {self.k}"

    def clustering(self, progress):
        graph = self.graph or self._made_up_graph()
        result = cluster(self.vectors, graph, CLUSTERS, seed=self.seed, progress=progress)
        self.labels = result.labels
        return ""

    def proxy(self, progress):
        result = train_proxy(self.vectors, self.labels, num_classes=CLUSTERS, seed=self.seed, progress=progress)
        self.scores = result.aum
        return ""

    def beta(self, progress):
        found = search_beta(self.vectors, self.labels, self.scores, self.budget, seed=self.seed, progress=progress)
        return f"{len(found.betas)} values of β"

    def pruning(self, progress):
        double_end(self.scores, self.budget, 0.1)
        return ""

    def _made_up_graph(self):
        rng = np.random.default_rng(self.seed)
        indices = np.empty((len(self.vectors), self.k), dtype=np.int32)
        for label in range(CLUSTERS):
            members = np.flatnonzero(self.labels == label)
            indices[members] = rng.choice(members, (len(members), self.k))
        return NeighborGraph(indices, np.ones(indices.shape, dtype=np.float32))


def reset_peak():
    """Makes Linux forget this process's highest memory so far; elsewhere the peak is that of all stages until now."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak():
    """Highest resident memory since :func:`reset_peak`, in 10^9 bytes."""
    try:
        status = pathlib.Path("/proc/self/status").read_text()
    except OSError:
        return peak_gigabytes()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024 / 1e9


if __name__ == "__main__":
    main()
