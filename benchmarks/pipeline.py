"""Times and peak memory of every stage on synthetic embeddings: make bench ARGS="--samples 10000 --dimensions 384"."""

import argparse

from elfs_plugin.pipeline import STAGES, run_elfs, stage_weights
from elfs_plugin.progress import Reporter, TerminalBar

from .common import machine, peak_gigabytes, synthetic


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--clusters", type=int, default=10)
    options = parser.parse_args()
    vectors = synthetic(options.samples, options.dimensions, options.clusters).vectors
    print(machine())
    reporter = Reporter(stage_weights(*STAGES), [TerminalBar()])
    result = run_elfs(vectors, options.clusters, 0.1, proxy="mlp", reporter=reporter)
    print(f"{options.samples:,} x {options.dimensions}, peak memory {peak_gigabytes():.2f} GB")
    for stage, seconds in result.seconds.items():
        print(f"  {STAGES[stage]:24} {seconds:8.1f} s")


if __name__ == "__main__":
    main()
