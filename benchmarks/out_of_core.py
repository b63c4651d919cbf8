"""A pool that does not fit into memory, from vectors on disk to a coreset.

    python -m benchmarks.out_of_core --rows 5000000 --dimensions 128 [--gigabytes 12] [--folder FOLDER]

The vectors (a curved surface of few dimensions, see manifold.py) are made on disk, as a ``.npy`` file. A process of its
own, which may have no more private memory than ``--gigabytes``, maps them and goes the whole way: neighbours,
clustering, proxy, β, zones, and graph coverage in the end. Temporary files lie in the same folder, so that it needs
about ten times the room of the vectors. Of each stage stand the seconds, those of the processors, and the most private
memory; it ends with an error where a stage took more than its formula says (memory.py).
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from elfs_plugin.clustering.pseudo_labels import ClusteringConfig
from elfs_plugin.pipeline import run_elfs
from elfs_plugin.progress import Reporter, TerminalBar
from elfs_plugin.proxy.train import ProxyConfig

from .common import in_own_process
from .manifold import manifold_into
from .memory import NAMES, Watched, formula, limit_memory, private_memory
from .results import Column, Table, started

CLUSTERS = 10
REPEATS = 3


def main(arguments=None):
    options, recording = started("out_of_core", _parser(), arguments)
    if options.here:
        print(json.dumps(walk(options)))
        return
    results = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory(prefix="elfs-out-of-core-", dir=options.folder) as folder:
            results.append(measured(rows, folder, options))
    recording.finish({str(result["rows"]): table_of(result) for result in results} | {"runs": runs_table(results)})
    over = [f"{rows:,}: {stage}" for rows, stage in exceeded(results)]
    if over:
        raise SystemExit(f"More memory than the formula says: {', '.join(over)}")


def _parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000])
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--gigabytes", type=float, default=12.0)
    parser.add_argument("--budget", type=float, default=0.01)
    parser.add_argument("--folder", help="for the vectors and all temporary files (a new temporary one)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--brief", action="store_true", help="few steps in each stage: for its memory alone")
    parser.add_argument("--here", metavar="FILE", help="on the vectors of a file, in this process; ends with JSON")
    return parser


def options_of(arguments):
    """The options of :func:`walk`."""
    return _parser().parse_args(arguments)


def measured(rows, folder, options):
    """What :func:`walk` says of so many vectors, in a process of its own with its files in ``folder``."""
    file = Path(folder, "vectors.npy")
    manifold_into(file, rows, options.dimensions, clusters=CLUSTERS, seed=options.seed)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        return in_own_process(
            "benchmarks.out_of_core",
            "--here",
            file,
            "--gigabytes",
            options.gigabytes,
            "--budget",
            options.budget,
            "--seed",
            options.seed,
            *(["--brief"] if options.brief else []),
        )
    finally:
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before


def walk(options):
    """{"rows", "dimensions", "gigabytes": the limit, "stages": {stage: {"seconds", "processors", "bytes",
    "formula"}}, "k", "seconds"}."""
    limit_memory(options.gigabytes * 1e9)
    begun = private_memory()
    vectors = np.load(options.here, mmap_mode="r")
    n, dimensions = vectors.shape
    stages, seen = {}, {}
    with Watched() as watched:
        clock = _Clock()

        def note(stage, result, seconds):
            stages[stage] = {**clock.passed(), "bytes": watched.reset()}
            seen[stage] = result

        result = run_elfs(
            vectors,
            CLUSTERS,
            options.budget,
            method="graph_coverage",
            precut="off",
            repeats=REPEATS,
            seed=options.seed,
            device="cpu",
            on_stage=note,
            reporter=_Bar(),
            **(_brief() if options.brief else {}),
        )
        stages["choice"] = {**clock.passed(), "bytes": watched.reset()}
    k, budget = result.neighbors.k, len(result.coreset)
    networks = REPEATS * len(result.beta_search.betas)
    for stage, found in stages.items():
        found["formula"] = formula(stage, n, dimensions, k, CLUSTERS, budget, networks)
    return {
        "rows": n,
        "dimensions": dimensions,
        "k": k,
        "recall": result.neighbors.recall,
        "budget": budget,
        "limit": options.gigabytes,
        "stages": stages,
        "begun": begun,
        "resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _brief():
    return {
        "preset": ClusteringConfig(
            heads=8,
            epochs=1,
            max_steps=20,
            warm_start_steps=5,
            components=128,
            whiten=True,
            neighbor_share=0.5,
            spectral=True,
        ),
        "proxy": ProxyConfig.mlp(epochs=1),
        "grid": [0.0, 0.3],
    }


class _Bar(Reporter):
    """Shows whatever is done, in any order."""

    def __init__(self):
        super().__init__({"all": 1.0}, [TerminalBar()])

    def stage(self, name):
        self._names, self._weights = [name], {name: 1.0}
        self._overall = 0.0
        return super().stage(name)


class _Clock:
    def __init__(self):
        self._at = time.perf_counter(), time.process_time()

    def passed(self):
        """Seconds, and those of the processors, since the last time."""
        before, self._at = self._at, (time.perf_counter(), time.process_time())
        return {"seconds": self._at[0] - before[0], "processors": self._at[1] - before[1]}


def exceeded(results):
    """[(rows, stage), …] that took more memory than by their formulas, beside what the process had before."""
    return [
        (result["rows"], stage)
        for result in results
        for stage, found in result["stages"].items()
        if found["bytes"] - result["begun"] > found["formula"]
    ]


def table_of(result):
    """Time and memory of each stage."""
    table = Table(["stage", "seconds", "CPU s", Column("private memory, GB", 2)])
    for stage, found in result["stages"].items():
        table.add(NAMES[stage], found["seconds"], found["processors"], found["bytes"] / 1e9)
    return table


def runs_table(results):
    table = Table(
        [
            "rows",
            "dimensions",
            Column("vectors, GB", 2),
            Column("limit, GB", 0),
            Column("most private memory, GB", 2),
            Column("seconds", 0),
            "neighbours",
            Column("recall", 3),
            "chosen",
        ]
    )
    for result in results:
        stages = result["stages"].values()
        table.add(
            result["rows"],
            result["dimensions"],
            4 * result["rows"] * result["dimensions"] / 1e9,
            result["limit"],
            max(found["bytes"] for found in stages) / 1e9,
            sum(found["seconds"] for found in stages),
            result["k"],
            result["recall"],
            result["budget"],
        )
    return table


if __name__ == "__main__":
    main()
