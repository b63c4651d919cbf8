"""What the estimate of the number of clusters says where the number is known.

python -m benchmarks.cluster_count                                        digits and the synthetic sets
python -m benchmarks.cluster_count --embeddings FILE --labels FILE        that file, subsets of its classes as well
"""

import argparse

import numpy as np

from elfs_plugin.clustering.count import CRITERIA, estimate

from .common import Data, add_data_options, chosen_data, synthetic
from .results import Column, Table, started


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--no-synthetic", action="store_true", help="the given file only")
    parser.add_argument("--seed", type=int, default=0)
    options, recording = started("cluster_count", parser, arguments)
    sets = [*_with_subsets(chosen_data(options), options.seed)]
    if not options.no_synthetic:
        sets += _synthetic(options.seed)
    titles = (
        "data",
        "samples",
        "classes",
        *(name.replace("_", " ") for name in CRITERIA),
        "suggested",
        "range",
        "clear",
        "agree",
    )
    table = Table([Column(title) for title in titles])
    print("\n" + table.head())
    for data in sets:
        print(table.add(*_row(data, estimate(data.vectors, seed=options.seed))), flush=True)
    recording.finish({"suggestions": table})


def _row(data, count):
    classes = None if data.truth is None else len(np.unique(data.truth))
    # One group is no group, and what a criterion then picks is no number of clusters.
    return (
        data.name,
        len(data.vectors),
        "none" if classes == 1 else classes,
        *(count.picks[name] if count.picks[name] > 1 else "none" for name in CRITERIA),
        count.suggested,
        f"{count.low} to {count.high}",
        "yes" if count.clear else "no",
        "yes" if count.agree else "no",
    )


def _with_subsets(data, seed):
    """The data, a fifth of it where it is large, and two random choices of 3, 5 and 7 of its classes."""
    yield data
    if data.truth is None:
        return
    rng = np.random.default_rng(seed)
    if len(data.vectors) >= 50_000:
        rows = rng.choice(len(data.vectors), len(data.vectors) // 5, replace=False)
        yield Data(f"{data.name}, a fifth", data.vectors[rows], data.truth[rows])
    classes = np.unique(data.truth)
    for number in (3, 3, 5, 5, 7, 7):
        if number < len(classes):
            chosen = np.sort(rng.choice(classes, number, replace=False))
            rows = np.isin(data.truth, chosen)
            yield Data(f"{data.name}, classes {' '.join(map(str, chosen))}", data.vectors[rows], data.truth[rows])


def _synthetic(seed):
    for samples, dimensions, clusters in ((2000, 64, 4), (5000, 128, 17), (10_000, 128, 60), (20_000, 384, 100)):
        data = synthetic(samples, dimensions, clusters, seed)
        yield Data(f"{clusters} Gaussians", data.vectors, data.truth)
    rng = np.random.default_rng(seed)
    shares = np.geomspace(1, 10, 17)
    truth = rng.choice(17, 5000, p=shares / shares.sum())
    vectors = rng.normal(size=(17, 128))[truth] + 1.5 * rng.normal(size=(5000, 128))
    yield Data("17 Gaussians, sizes 1:10", vectors.astype(np.float32), truth)
    none = np.zeros(5000, dtype=np.int64)
    for power, name in ((0, "round"), (0.5, "long"), (1, "very long")):
        cloud = rng.normal(size=(5000, 128)) * np.arange(1.0, 129) ** -power
        yield Data(f"one cloud, {name}", cloud.astype(np.float32), none)
    waves = np.cos(rng.uniform(-1, 1, (5000, 3)) @ rng.normal(size=(3, 64)) + rng.uniform(0, 2 * np.pi, 64))
    yield Data("a smooth 3-D surface", (waves + 0.05 * rng.normal(size=waves.shape)).astype(np.float32), none)


if __name__ == "__main__":
    main()
