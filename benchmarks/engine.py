"""What Ray costs on one machine, and what a second worker gives: python -m benchmarks.engine --images 10000 --rounds 2.

``embed_images`` with ``lite0`` on JPEG files made for it, by threads and by worker processes of a cluster that is
started for it, on one processor and on two. Every way in a process of its own, one after the other and so again in each
round, of which the best counts. The start of the cluster and of its workers is a part of the time; *first* says when
the first images were there, which come in batches from threads and in blocks of 256 from Ray. All ways must give the
same vectors, bit for bit. The machine must have nothing else to do.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from .common import in_own_process
from .photographs import photographs
from .results import Column, Table, started

WAYS = [("local", 1), ("ray", 1), ("local", 2), ("ray", 2)]
SIDES = 300, 500


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--encoder", default="lite0")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", help="for the images, to keep them for the next time")
    parser.add_argument(
        "--here", nargs=2, metavar=("ENGINE", "WORKERS"), help="one way in this process; ends with JSON"
    )
    parser.add_argument("--vectors", help="where --here leaves the vectors")
    options, recording = started("engine", parser, arguments)
    if options.here:
        print(json.dumps(run(options.here[0], int(options.here[1]), options)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or f"{temporary}/images"
        photographs(options.folder, options.images, sides=SIDES)
        took = {way: [] for way in WAYS}
        for at in range(options.rounds):
            for way in WAYS:
                took[way].append(took_of(way, temporary, options))
                print(f"{way[0]}, {way[1]}, round {at + 1}: {took[way][-1]['seconds']:.1f} s", flush=True)
        same = same_vectors(temporary)
    recording.finish({"embedding": table(took, same, options.images)})


def took_of(way, temporary, options):
    return in_own_process(
        "benchmarks.engine",
        *("--here", *way, "--images", options.images, "--encoder", options.encoder, "--folder", options.folder),
        *("--vectors", vectors_file(temporary, way)),
    )


def vectors_file(temporary, way):
    return Path(temporary, f"{way[0]}-{way[1]}.npy")


def run(engine, workers, options):
    """{"seconds", "first"}: of all images, and until the first block."""
    import torch

    from elfs_plugin.encoders.embed import embed_images
    from elfs_plugin.engine.choose import using

    torch.set_num_threads(workers)
    os.environ["ELFS_RAY_CPUS"] = str(workers)
    paths, first = photographs(options.folder, options.images, sides=SIDES), []

    def progress(fraction, detail=""):
        if fraction > 0 and not first:
            first.append(time.perf_counter() - start)

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with using(engine):
            found = embed_images(paths, options.encoder, device="cpu", kept=f"{folder}/blocks", progress=progress)
        seconds = time.perf_counter() - start
    np.save(options.vectors, found.vectors)
    return {"seconds": seconds, "first": first[0]}


def same_vectors(temporary):
    """Way -> whether its vectors are those of one thread."""
    expected = np.load(vectors_file(temporary, WAYS[0]))
    return {way: bool(np.array_equal(expected, np.load(vectors_file(temporary, way)))) for way in WAYS}


def table(took, same, images):
    """Of each way the best round; overhead against threads on as many processors, efficiency against one of its own."""
    best = {way: min(rounds, key=lambda one: one["seconds"]) for way, rounds in took.items()}
    made = Table(
        [
            "way",
            Column("seconds"),
            Column("first, s"),
            Column("images/s"),
            Column("overhead, %", 1, signed=True),
            Column("efficiency, %"),
            "same vectors",
        ]
    )
    for engine, workers in WAYS:
        own = best[engine, workers]["seconds"]
        overhead = None if engine == "local" else 100 * (own / best["local", workers]["seconds"] - 1)
        efficiency = None if workers == 1 else 100 * best[engine, 1]["seconds"] / (workers * own)
        name = f"{'threads' if engine == 'local' else 'Ray'}, {workers}"
        cells = (own, best[engine, workers]["first"], images / own, overhead, efficiency)
        print(made.add(name, *cells, "yes" if same[engine, workers] else "no"), flush=True)
    return made


if __name__ == "__main__":
    main()
