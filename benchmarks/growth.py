"""How time and memory grow with the number of samples, stage by stage, on synthetic embeddings.

    python -m benchmarks.growth --samples 10000 100000 1000000 --dimensions 64 512

Every size runs in a process of its own, every stage with its default settings. Beside the seconds that passed stand
those of the processors, all cores together, which other work on the machine changes less; the exponent p,
seconds ~ N^p, is of those.
"""

import argparse
import contextlib
import json
import math
import pathlib
import re

import numpy as np

from elfs_plugin.beta_search.search import search_beta
from elfs_plugin.clustering.pseudo_labels import cluster
from elfs_plugin.neighbors.graph import NeighborGraph, knn_graph, suggest_k
from elfs_plugin.progress import Reporter, TerminalBar
from elfs_plugin.proxy.train import train_proxy
from elfs_plugin.pruning.zones import double_end

from .common import in_own_process, peak_gigabytes, synthetic, timed
from .manifold import intrinsic_dimension, manifold
from .results import Column, Table, started

STAGES = ("neighbors", "clustering", "proxy", "beta", "pruning")
DATA = {"manifold": manifold, "clusters": synthetic}
BUDGET = 0.1
CLUSTERS = 10


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dimensions", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--data", choices=DATA, default="manifold")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--here", action="store_true", help="one size in this process; ends with JSON")
    options, recording = started("growth", parser, arguments)
    if options.here:
        print(json.dumps(run(options.samples[0], options.dimensions[0], options)))
        return
    tables = {}
    for dimensions in options.dimensions:
        results = [
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
            for samples in sorted(options.samples)
        ]
        tables[f"stages_{dimensions}"] = stages_table(results, options.stages)
        tables[f"data_{dimensions}"] = data_table(results)
    recording.finish(tables)


def stages_table(results, stages):
    """Seconds, processor seconds, memory and exponents of each stage."""
    sizes = [result["samples"] for result in results]
    table = Table(
        [
            "stage",
            *(f"{n:,}: s" for n in sizes),
            *(f"{n:,}: CPU s" for n in sizes),
            *(Column(f"{n:,}: GB", 2) for n in sizes),
            *(Column(f"exponent {a:,} to {b:,}", 2) for a, b in zip(sizes, sizes[1:])),
        ]
    )
    for stage in stages:
        took = [result["stages"][stage] for result in results]
        worked = [one["processors"] for one in took]
        exponents = [exponent(n, a, m, b) for n, a, m, b in zip(sizes, worked, sizes[1:], worked[1:])]
        table.add(stage, *(one["seconds"] for one in took), *worked, *(one["gigabytes"] for one in took), *exponents)
    return table


def data_table(results):
    """What was measured on, and what the stages said of their work."""
    table = Table(
        [
            "samples",
            Column("intrinsic dimension", 0),
            Column("embeddings, GB", 2),
            Column("seconds, all stages", 0),
            "notes",
        ]
    )
    for result in results:
        took = result["stages"].values()
        notes = "; ".join(one["note"] for one in took if one["note"])
        seconds = sum(one["seconds"] for one in took)
        table.add(result["samples"], result["intrinsic"], result["gigabytes"], seconds, notes)
    return table


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
        note, seconds, processors = timed(getattr(walk, stage), bar.stage(stage))
        stages[stage] = {"seconds": seconds, "processors": processors, "gigabytes": peak(), "note": note}
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
