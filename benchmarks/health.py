"""What the health of a clustering tells about how right it is, on data whose classes are known.

True labels are used for the audit column alone. Rows whose number of clusters is not that of the classes show what the
health cannot see: right at most is what they could reach.

    python -m benchmarks.health [--embeddings FILE --embeddings FILE ...] [--images FOLDER] [--rows 6000] [--save]
"""

import argparse
from pathlib import Path

import numpy as np

from elfs_plugin.clustering.health import BARELY_SEPARATED, WELL_SEPARATED, health
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster
from elfs_plugin.encoders.embed import embed_images
from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.neighbors.graph import knn_graph, suggest_k

from .common import Data, digits, from_file, synthetic
from .results import Column, Table, percent, started
from .shapes import SHAPES, vote

SUBSETS = {"vehicles and animals": (0, 1, 3, 7, 8), "animals": (2, 3, 4, 5, 6, 7)}
"""Classes of CIFAR-10 that are looked at alone."""


def sampled(data, rows, classes=None):
    """At most so many rows of a :class:`Data`, as many of each class."""
    classes = np.unique(data.truth) if classes is None else classes
    numbers = np.random.default_rng(0)
    each = max(1, rows // len(classes))
    chosen = [numbers.permutation(np.flatnonzero(data.truth == one))[:each] for one in classes]
    rows = np.sort(np.concatenate(chosen))
    return Data(data.name, data.vectors[rows], np.unique(data.truth[rows], return_inverse=True)[1])


def pixels(folder, rows):
    """The images of ``folder``/<class>/ as the encoder ``pixels`` sees them."""
    classes = sorted(one for one in Path(folder).iterdir() if one.is_dir())
    files = [sorted(one.iterdir())[: rows // len(classes)] for one in classes]
    found = embed_images([file for some in files for file in some], "pixels")
    truth = np.repeat(np.arange(len(classes)), [len(some) for some in files])
    return Data("pixels of the images", found.vectors, truth[found.ok])


def cases(options):
    """Yields (:class:`Data`, number of clusters)."""
    yield digits(), 10
    for path in options.embeddings:
        data = from_file(path, "per-class:10")
        yield sampled(data, options.rows), 10
        yield sampled(data, options.rows), 5
        for name, classes in SUBSETS.items():
            some = sampled(data, options.rows, classes)
            yield Data(f"{data.name}, {name}", some.vectors, some.truth), len(classes)
    if options.images:
        yield pixels(options.images, options.rows), 10
    for name, (clusters, make) in SHAPES.items():
        data = make(options.rows, 0)
        yield Data(name, data.vectors, data.truth), clusters
    classes = np.random.default_rng(0).integers(10, size=options.rows)
    yield Data("one cloud, classes at random", synthetic(options.rows, 32, 1).vectors, classes), 10


def possible(truth, clusters):
    """The most that so many clusters could have right."""
    sizes = np.sort(np.bincount(truth))[::-1]
    return sizes[:clusters].sum() / len(truth)


def verdict(numbers):
    separation = numbers["separation"]
    if separation is None:
        return "unknown"
    return "well apart" if separation >= WELL_SEPARATED else "hardly" if separation < BARELY_SEPARATED else "in part"


def measure(table, data, clusters, config):
    graph = knn_graph(data.vectors, suggest_k(len(data.vectors), clusters))
    found = cluster(data.vectors, graph, clusters, config=config)
    numbers = health(found)
    seeds = numbers["seed_agreement"]
    return table.add(
        data.name,
        len(data.vectors),
        clusters,
        100 * pseudo_label_accuracy(found.labels, data.truth),
        100 * possible(data.truth, clusters),
        100 * vote(data.truth, graph.indices),
        100 * numbers["confidence"],
        100 * numbers["agreement"],
        None if seeds is None else 100 * seeds,
        numbers["separation"],
        verdict(numbers),
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", action="append", default=[], help=".npy file of 10 equal classes in order")
    parser.add_argument("--images", help="folder with a folder of images for each class")
    parser.add_argument("--rows", type=int, default=6000)
    options, recording = started("health", parser, arguments)
    table = Table(
        [
            "data",
            "samples",
            "clusters",
            percent("pseudo-labels right"),
            percent("at most"),
            percent("neighbours' vote"),
            percent("confidence"),
            percent("heads agree"),
            percent("seeds agree"),
            Column("separation", 2),
            "said",
        ]
    )
    print("\n" + table.head())
    for data, clusters in cases(options):
        print(measure(table, data, clusters, ClusteringConfig.quick()), flush=True)
    recording.finish({"separation": table})


if __name__ == "__main__":
    main()
