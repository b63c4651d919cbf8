"""Times and peak memory of every stage on synthetic embeddings: make bench ARGS="--samples 10000 --dimensions 384"."""

import argparse
import resource

import numpy as np

from elfs_plugin.pipeline import STAGES, run_elfs, stage_weights
from elfs_plugin.progress import Reporter, TerminalBar


def synthetic(samples, dimensions, clusters, seed=0):
    """Gaussian clusters whose centres overlap a little."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dimensions)).astype(np.float32)
    labels = rng.integers(clusters, size=samples)
    return centres[labels] + 1.5 * rng.normal(size=(samples, dimensions)).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--clusters", type=int, default=10)
    options = parser.parse_args()
    vectors = synthetic(options.samples, options.dimensions, options.clusters)
    reporter = Reporter(stage_weights(*STAGES), [TerminalBar()])
    result = run_elfs(vectors, options.clusters, 0.1, proxy="mlp", reporter=reporter)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{options.samples:,} x {options.dimensions}, peak memory {peak:.2f} GB")
    for stage, seconds in result.seconds.items():
        print(f"  {STAGES[stage]:24} {seconds:8.1f} s")


if __name__ == "__main__":
    main()
