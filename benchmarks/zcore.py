"""ZCore's draws per second beside a plain O(N) implementation, and how far two half-runs agree.

    python -m benchmarks.zcore --embeddings FILE --draws-per-sample 10 100
    python -m benchmarks.zcore --growth 10000 100000 1000000 --dimensions 384

Both are timed in turns in the same run, on the same draws' distribution. Beside the seconds that passed stand those of
the processors, which other work on the machine changes less. The plain one uses a single core.
"""

import argparse
import gc
import time

import numpy as np

from elfs_plugin.selectors.engines.zcore.draws import plan
from elfs_plugin.selectors.engines.zcore.scores import EXPONENT, NEIGHBORS, Scorer, zcore_scores
from elfs_plugin.selectors.engines.zcore.table import make_table

from .common import add_data_options, chosen_data, in_own_process, machine, peak_gigabytes, synthetic, table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--draws-per-sample", type=float, nargs="+", default=[10, 100])
    parser.add_argument("--plain-draws", type=int, default=200, help="draws the plain implementation is timed on")
    parser.add_argument("--growth", type=int, nargs="+", help="numbers of synthetic samples instead of a file")
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--converge", action="store_true", help="also: rounds up to the largest number of draws")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        import json

        print(json.dumps(speeds(synthetic(options.one, options.dimensions).vectors, options)))
        return
    print(machine())
    if options.growth:
        rows = []
        for n in options.growth:
            rows += in_own_process("benchmarks.zcore", "--one", n, *_passed_on(options))
    else:
        data = chosen_data(options)
        print(f"{data.name}, {data.vectors.shape[0]:,} x {data.vectors.shape[1]}")
        rows = speeds(data.vectors, options)
        if options.converge:
            converge(data.vectors, options)
    header = [
        "samples",
        "draws a sample",
        "plain, ms a draw",
        "(processor)",
        "here, ms a draw",
        "(processor)",
        "times faster",
        "(processor)",
        "table, s",
        "peak, GB",
    ]
    print("\n" + table(header, rows))


def _passed_on(options):
    draws = ["--draws-per-sample", *options.draws_per_sample]
    return [*draws, "--plain-draws", options.plain_draws, "--dimensions", options.dimensions, "--seed", options.seed]


def speeds(vectors, options):
    """A row of the table for each number of draws."""
    n, dimensions = vectors.shape
    (prepared, *_), table_seconds, _ = timed(lambda: (make_table(vectors),))
    chances = plan(dimensions, options.plain_draws, seed=options.seed)
    rows = []
    with Scorer(prepared, NEIGHBORS, EXPONENT) as scorer:
        scorer.score(plan(dimensions, 2, seed=options.seed))  # compiled before it is timed
        for per_sample in options.draws_per_sample:
            draws = max(2, round(per_sample * n))
            _, before, worked_before = timed(lambda: plain_run(vectors, prepared, options))
            _, seconds, worked = timed(lambda draws=draws: scorer.score(plan(dimensions, draws, seed=options.seed)))
            _, after, worked_after = timed(lambda: plain_run(vectors, prepared, options))
            plain = 1e3 * (before + after) / 2 / chances.draws
            plain_worked = 1e3 * (worked_before + worked_after) / 2 / chances.draws
            here, here_worked = 1e3 * seconds / draws, 1e3 * worked / draws
            rows.append(
                [
                    f"{n:,}",
                    f"{per_sample:g}",
                    f"{plain:.3f}",
                    f"{plain_worked:.3f}",
                    f"{here:.4f}",
                    f"{here_worked:.4f}",
                    f"{plain / here:.0f}",
                    f"{plain_worked / here_worked:.0f}",
                    f"{table_seconds:.1f}",
                    f"{peak_gigabytes():.2f}",
                ]
            )
    return rows


def plain_run(vectors, prepared, options):
    """``--plain-draws`` draws of the plain implementation, as float32 rows, as the published code holds them."""
    rng = np.random.default_rng(options.seed)
    dimensions = np.array([rng.choice(vectors.shape[1], 2, replace=False) for _ in range(options.plain_draws)])
    low, mode, high = (bound[dimensions] for bound in (prepared.low, prepared.median, prepared.high))
    return plain_scores(vectors, dimensions, rng.triangular(low, mode, high), NEIGHBORS, EXPONENT)


def plain_scores(vectors, dimensions, places, neighbors, exponent):
    """The estimator as published, a pass over all samples for every draw; (N,) float64.

    Args:
        vectors: (N, D)
        dimensions: (T, 2) the two dimensions of each draw
        places: (T, 2) where it falls in them
    """
    n = len(vectors)
    scores = np.zeros(n)
    wanted = min(neighbors, n - 1)
    for pair, place in zip(dimensions, places):
        points = vectors[:, pair]
        found = np.abs(points - place).sum(axis=1).argmin()
        scores[found] += 1
        if wanted == 0:
            continue
        distances = np.abs(points - points[found]).sum(axis=1)
        distances[found] = np.inf  # never its own neighbour
        farthest = np.partition(distances, wanted - 1)[wanted - 1]
        near = np.flatnonzero(distances <= farthest)
        near = near[np.argsort(distances[near], kind="stable")][:wanted]
        if distances[near[0]] == 0:
            scores[near[0]] -= 1
            continue
        weights = (distances[near[0]] / distances[near]) ** exponent
        scores[near] -= weights / weights.sum()
    return scores


def converge(vectors, options):
    """Rounds, with the agreement of the halves after each."""
    draws = round(max(options.draws_per_sample) * len(vectors))
    result, seconds, worked = timed(lambda: zcore_scores(vectors, max_draws=draws, seed=options.seed))
    rows = [[f"{h.draws:,}", f"{h.correlation:.3f}", f"{h.overlap:.0%}"] for h in result.history]
    print("\n" + table(["draws", "correlation of the halves", "top 10% in common"], rows))
    print(f"\n{seconds:.0f} s, {worked:.0f} processor seconds, converged: {result.converged}")


def timed(call):
    """What it returns, seconds, processor seconds."""
    gc.collect()
    start, worked = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - start, time.process_time() - worked


if __name__ == "__main__":
    main()
