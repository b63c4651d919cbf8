"""The whole path on existing embeddings: seconds of every stage and peak memory.

python -m benchmarks.path [--embeddings FILE --labels FILE|per-class:C] [--budget 0.1]
"""

import argparse
import time

import numpy as np

from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.pipeline import run_elfs
from elfs_plugin.progress import Reporter, TerminalBar
from elfs_plugin.stages import STAGES

from .common import add_data_options, chosen_data, machine, peak_gigabytes, table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--clusters", default=None, help="a number, or auto (default: the number of classes if known)")
    parser.add_argument("--budget", type=float, default=0.1)
    options = parser.parse_args()
    data = chosen_data(options)
    clusters = options.clusters or ("auto" if data.truth is None else len(np.unique(data.truth)))
    clusters = clusters if clusters == "auto" else int(clusters)
    print(machine())
    print(f"{data.name}: {data.vectors.shape[0]:,} x {data.vectors.shape[1]}, {clusters} clusters\n", flush=True)
    start = time.perf_counter()
    reporter = Reporter({name: 1 for name in STAGES.values()}, [TerminalBar()])
    result = run_elfs(data.vectors, clusters, options.budget, proxy="mlp", reporter=reporter)
    seconds = time.perf_counter() - start
    rows = [[STAGES[stage], f"{spent:.1f}"] for stage, spent in result.seconds.items()]
    print(table(["stage", "seconds"], [*rows, ["**all**", f"**{seconds:.1f}**"]]))
    print(f"\nPeak memory {peak_gigabytes():.2f} GB; β = {result.beta:g}, {len(result.zones.coreset):,} images.")
    if data.truth is not None:
        right = pseudo_label_accuracy(result.pseudo_labels.labels, data.truth)
        print(f"Audit: {right:.1%} of the pseudo-labels are right.")


if __name__ == "__main__":
    main()
