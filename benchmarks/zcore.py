"""ZCore's draws per second beside a plain O(N) implementation; or, how far two half-runs agree.

    python -m benchmarks.zcore --embeddings FILE --draws-per-sample 10 100
    python -m benchmarks.zcore --synthetic 10000:384:1 1000000:384:1 1000000:384:3
    python -m benchmarks.zcore --embeddings FILE --converge

Both are timed in turns in the same run, on the same draws' distribution. Beside the seconds that passed stand those of
the processors, which other work on the machine changes less. The plain one uses a single core.
"""

import argparse
import json

import numpy as np

from elfs_plugin.selectors.engines.zcore.draws import plan
from elfs_plugin.selectors.engines.zcore.scores import EXPONENT, NEIGHBORS, Scorer, zcore_scores
from elfs_plugin.selectors.engines.zcore.table import make_table

from .common import add_data_options, chosen_data, in_own_process, peak_gigabytes, shape, synthetic, timed
from .results import Column, Table, percent, started


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--draws-per-sample", type=float, nargs="+", default=[10, 100])
    parser.add_argument("--plain-draws", type=int, default=200, help="draws the plain implementation is timed on")
    parser.add_argument(
        "--synthetic",
        nargs="+",
        metavar="N:D:DRAWS",
        help="samples, dimensions, and draws for each sample, in place of a file; each in a process of its own",
    )
    parser.add_argument("--converge", action="store_true", help="how far two half-runs agree, and no times")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--here", action="store_true", help="one synthetic set in this process; ends with JSON")
    options, recording = started("zcore", parser, arguments)
    if options.here:
        print(json.dumps(synthetic_speeds(options.synthetic[0], options)))
        return
    if options.converge:
        data = chosen_data(options)
        recording.finish({"convergence": convergence(data.vectors, options)})
        return
    if options.synthetic:
        rows = []
        for one in options.synthetic:
            rows += in_own_process(
                "benchmarks.zcore",
                "--here",
                "--synthetic",
                one,
                "--plain-draws",
                options.plain_draws,
                "--seed",
                options.seed,
            )
    else:
        data = chosen_data(options)
        print(f"{data.name}, {shape(data.vectors)}")
        rows = speeds(data.vectors, options.draws_per_sample, options)
    table = Table(
        [
            "samples",
            Column("draws a sample", None),
            "draws a pair of dimensions",
            Column("plain, ms a draw", 3),
            Column("CPU ms", 3),
            Column("here, ms a draw", 3),
            Column("CPU ms", 3),
            Column("times faster", 0),
            Column("by CPU", 0),
            "columns prepared, s",
            "peak, GB",
        ]
    )
    for row in rows:
        table.add(*row)
    recording.finish({"speed": table})


def synthetic_speeds(text, options):
    """Rows of ``samples:dimensions:draws for each sample``."""
    samples, dimensions, draws = text.split(":")
    return speeds(synthetic(int(samples), int(dimensions)).vectors, [float(draws)], options)


def speeds(vectors, draws_per_sample, options):
    """A row of the table for each number of draws."""
    n, dimensions = vectors.shape
    prepared, table_seconds, _ = timed(make_table, vectors)
    chances = plan(dimensions, options.plain_draws, seed=options.seed)
    rows = []
    with Scorer(prepared, NEIGHBORS, EXPONENT) as scorer:
        scorer.score(plan(dimensions, 2, seed=options.seed))  # compiled before it is timed
        for per_sample in draws_per_sample:
            draws = max(2, round(per_sample * n))
            before = timed(plain_run, vectors, prepared, options)[1:]
            spent = timed(lambda draws=draws: scorer.score(plan(dimensions, draws, seed=options.seed)))[1:]
            after = timed(plain_run, vectors, prepared, options)[1:]
            plain = [1e3 * (one + other) / 2 / chances.draws for one, other in zip(before, after)]
            here = [1e3 * one / draws for one in spent]
            rows.append(
                [
                    shape(vectors),
                    per_sample,
                    draws / (dimensions * (dimensions - 1) / 2),
                    *plain,
                    *here,
                    plain[0] / here[0],
                    plain[1] / here[1],
                    table_seconds,
                    peak_gigabytes(),
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


def convergence(vectors, options):
    """A table of the rounds up to the largest number of draws, with the agreement of the halves after each."""
    draws = round(max(options.draws_per_sample) * len(vectors))
    table = Table(["draws", Column("correlation of the halves", 2), percent("top 10% in common", 0)])
    for one in zcore_scores(vectors, max_draws=draws, seed=options.seed).history:
        table.add(one.draws, one.correlation, 100 * one.overlap)
    return table


if __name__ == "__main__":
    main()
