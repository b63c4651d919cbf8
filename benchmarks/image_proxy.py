"""How close the fast proxy and small ResNets are to ResNet-18 on the images, and a short training of it to a long one.

    python -m benchmarks.image_proxy --images FOLDER_OR_ZIP --embeddings FILE --folder RESULTS
        [--inside train] [--rows 2000] [--small 4] [--epochs 30 100] [--seeds 2] [--clusters 10] [--minutes M]
        [--threads 1] [--save DATA]

The embeddings' rows belong to the images in sorted order of their paths. All of them are clustered; then the proxies
are trained on the pseudo-labels of some random rows: ResNet-18 for each of ``--epochs`` (none: not at all), and small
ones, so many side by side as ``--small`` says. No true label is read. Everything finished is kept in RESULTS and a
training resumes in its middle, so the same command can be given again until it is done: ``--minutes`` ends it cleanly
and reports on what is there.
"""

import argparse
import itertools
import json
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import torch

from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster
from elfs_plugin.devices import resolve_device
from elfs_plugin.encoders.images import load_pixels
from elfs_plugin.errors import Cancelled
from elfs_plugin.neighbors.graph import knn_graph, suggest_k
from elfs_plugin.proxy.mlp import train
from elfs_plugin.proxy.train import ProxyConfig, train_proxy

from .paper import SUFFIXES, Clock
from .proxy import BETA, BUDGET, agreements, cells
from .results import Column, Table, percent, started

SMALL = "small ResNets, {}"
FAST_HERE, FAST_ALL = "fast proxy, these images", "fast proxy, all images"


def image_names(source, inside=""):
    """Paths of the images of a folder or zip file, sorted, relative to it; ``inside`` is a folder in it."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            found = archive.namelist()
    else:
        found = [path.relative_to(source).as_posix() for path in Path(source).rglob("*")]
    prefix = inside.strip("/") + "/" if inside else ""
    return sorted(name for name in found if name.startswith(prefix) and Path(name).suffix.lower() in SUFFIXES)


def read_pixels(source, names, size):
    """(n, 3, size, size) uint8 of images of a folder or zip file; one that cannot be read ends the program."""
    with tempfile.TemporaryDirectory() as folder:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                archive.extractall(folder, names)
            source = folder
        pixels = load_pixels([Path(source) / name for name in names], size)
    if pixels.failures:
        at, reason = next(iter(pixels.failures.items()))
        raise SystemExit(f"{len(pixels.failures)} images cannot be read, the first is {names[at]}: {reason}.")
    return pixels.values


class Results:
    """A folder of finished arrays that belong to one set of settings."""

    def __init__(self, folder, settings):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "settings.json"
        if file.exists() and json.loads(file.read_text()) != settings:
            raise SystemExit(f"{folder} holds results of other settings ({file}). Give another --folder.")
        file.write_text(json.dumps(settings, indent=1))

    def array(self, name, make, *arguments):
        """The array of that name: read, or made by ``make(*arguments)`` and kept."""
        file = self.folder / f"{name}.npy"
        if not file.exists():
            partial, start = file.with_suffix(".partial.npy"), time.perf_counter()
            np.save(partial, make(*arguments))
            partial.replace(file)
            took = time.perf_counter() - start
            file.with_suffix(".seconds").write_text(f"{took:.0f}")
            print(f"{name}: {took:.0f} s", flush=True)
        return np.load(file)

    def seconds(self):
        """A table of what each array took; a training that was interrupted counts from where it went on."""
        table = Table(["made", Column("seconds", 0)])
        for file in sorted(self.folder.glob("*.seconds")):
            table.add(file.stem, int(file.read_text()))
        return table


def pseudo_labels(vectors, clusters, progress):
    graph = knn_graph(vectors, suggest_k(len(vectors), clusters))
    return cluster(vectors, graph, clusters, config=ClusteringConfig.quick(), progress=progress).labels


def fast_aum(vectors, labels, clusters, seed, progress):
    return train(vectors, labels, clusters, seed=seed, progress=progress).aum


def image_aum(pixels, labels, clusters, config, seed, device, checkpoint, progress):
    return train_proxy(
        pixels,
        labels,
        num_classes=clusters,
        config=config,
        seed=seed,
        device=device,
        checkpoint=checkpoint,
        progress=progress,
    ).aum


def trainings(options, results, names, vectors, rows, progress):
    """Yields (name of the proxy, (n,) AUM of the rows) for every training, as soon as it is finished."""
    everything = results.array("pseudo_labels", pseudo_labels, vectors, options.clusters, progress)
    pixels = results.array("pixels", read_pixels, options.images, [names[i] for i in rows], options.size)
    labels, clusters, device = everything[rows], options.clusters, resolve_device(options.device)
    for seed in range(options.seeds):
        yield FAST_HERE, results.array(f"fast_here_{seed}", fast_aum, vectors[rows], labels, clusters, seed, progress)
        whole = results.array(f"fast_all_{seed}", fast_aum, vectors, everything, clusters, seed, progress)
        yield FAST_ALL, whole[rows]
    proxies = [(SMALL.format(n), f"resnet8_{n}", ProxyConfig.resnet8(members=n)) for n in options.small]
    proxies += [(f"ResNet-18, {n} epochs", f"resnet18_{n}", ProxyConfig.resnet18(epochs=n)) for n in options.epochs]
    for (name, file, config), seed in itertools.product(proxies, range(options.seeds)):
        checkpoint = results.folder / f"{file}_{seed}.training"
        yield (
            name,
            results.array(
                f"{file}_{seed}", image_aum, pixels, labels, clusters, config, seed, device, checkpoint, progress
            ),
        )


def compare(aums):
    """The table from {proxy: [(n,) AUM of each seed]}: all pairs of proxies, each with its own seeds first."""
    table = Table(
        ["proxies", "pairs", Column("Spearman", 3), percent(f"share of the {BUDGET:.0%} coreset at β = {BETA:g}")]
    )
    for one, other in itertools.combinations_with_replacement(aums, 2):
        pairs = itertools.combinations(aums[one], 2) if one == other else itertools.product(aums[one], aums[other])
        found = agreements(pairs)
        if len(found):
            table.add(f"{one}: two seeds" if one == other else f"{one} - {other}", len(found), *cells(found))
    return table


def command_line():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="folder or zip file")
    parser.add_argument("--inside", default="", help="only the images below this folder of it")
    parser.add_argument("--embeddings", required=True, help="(N, D) .npy file, rows in sorted order of the images")
    parser.add_argument("--folder", required=True, help="where results are kept")
    parser.add_argument("--rows", type=int, default=2000, help="so many random images train the proxies")
    parser.add_argument("--rows-seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=32, help="side of the images in pixels")
    parser.add_argument("--clusters", type=int, default=10)
    parser.add_argument("--small", type=int, nargs="*", default=[ProxyConfig.resnet8().members], help="small ResNets")
    parser.add_argument("--epochs", type=int, nargs="*", default=[30, 200], help="of ResNet-18, trained in this order")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="stop after so long, in the middle of a training if need be")
    parser.add_argument("--threads", type=int, help="of the processor (default: all)")
    parser.add_argument("--device", default="auto")
    return parser


def main(arguments=None):
    options, recording = started("image_proxy", command_line(), arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    clock = Clock(options.minutes)
    names = image_names(options.images, options.inside)
    vectors = np.load(options.embeddings).astype(np.float32)
    if len(names) != len(vectors):
        raise SystemExit(f"There are {len(names):,} images and {len(vectors):,} embeddings. Choose with --inside.")
    kept = ("inside", "rows", "rows_seed", "size", "clusters")
    files = {name: Path(getattr(options, name)).name for name in ("images", "embeddings")}
    results = Results(options.folder, {**files, **{name: getattr(options, name) for name in kept}})
    count = min(options.rows, len(names))
    rows = np.sort(np.random.default_rng(options.rows_seed).choice(len(names), count, replace=False))
    aums = {}
    try:
        for name, aum in trainings(options, results, names, vectors, rows, clock):
            aums.setdefault(name, []).append(aum)
    except Cancelled:
        print("Out of time: what follows is what was finished. The same command goes on.", flush=True)
    trained = f"{count:,} of {len(names):,} images of {options.size} pixels x {vectors.shape[1]}"
    print(f"{trained}, {options.clusters} clusters; by chance two coresets share {BUDGET:.0%}")
    recording.finish({"agreement": compare(aums), "seconds": results.seconds()})


if __name__ == "__main__":
    main()
