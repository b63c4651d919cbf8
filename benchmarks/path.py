"""The whole path on existing embeddings: seconds of every stage and peak memory.

python -m benchmarks.path [--embeddings FILE --labels FILE|per-class:C] [--budget 0.1]
"""

import argparse

import numpy as np

from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.pipeline import run_elfs
from elfs_plugin.progress import Reporter, TerminalBar
from elfs_plugin.stages import STAGES

from .common import add_data_options, chosen_data, peak_gigabytes, shape, timed
from .results import Column, Table, percent, started


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--clusters", default=None, help="a number, or auto (default: the number of classes if known)")
    parser.add_argument("--budget", type=float, default=0.1)
    options, recording = started("path", parser, arguments)
    data = chosen_data(options)
    clusters = options.clusters or ("auto" if data.truth is None else len(np.unique(data.truth)))
    clusters = clusters if clusters == "auto" else int(clusters)
    print(f"{data.name}: {shape(data.vectors)}, {clusters} clusters", flush=True)
    reporter = Reporter({name: 1 for name in STAGES.values()}, [TerminalBar()])
    result, seconds, _ = timed(run_elfs, data.vectors, clusters, options.budget, proxy="mlp", reporter=reporter)
    table = Table(["stage", "seconds"])
    for stage, spent in result.seconds.items():
        table.add(STAGES[stage], spent)
    table.add("all", seconds)
    around = Table(["samples", Column("β", 2), "coreset", percent("pseudo-labels right"), Column("peak memory, GB", 2)])
    right = None if data.truth is None else 100 * pseudo_label_accuracy(result.pseudo_labels.labels, data.truth)
    around.add(len(data.vectors), result.beta, len(result.zones.coreset), right, peak_gigabytes())
    recording.finish({"stages": table, "result": around})


if __name__ == "__main__":
    main()
