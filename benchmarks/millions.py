"""Millions of samples in the database, from a field of vectors to a saved cut.

    python -m benchmarks.millions --samples 2000000 [--dimensions 64] [--method graph_coverage]

A dataset of samples without image files, with a vector each, on a MongoDB that is started for it. A run of ELFS then
reads the vectors, goes through all stages, writes all results and saves the coreset under a tag and a view; afterwards
the cut is moved once, and a coreset by another method is chosen. Of each stand the seconds, the CPU seconds of the
process and of MongoDB, and the most private memory of the process; and the largest command that was sent to MongoDB
other than an insertion, which is what would fail if it listed all ids (a command may have 16 MB).
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np

from .common import in_own_process, timed
from .manifold import manifold
from .memory import Watched
from .results import Column, Table, started
from .writing import make_dataset, own_mongod

KEY, FIELD, CLUSTERS, BUDGET = "elfs", "vector", 10, 0.01
_CHUNK = 20_000


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=500_000)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--method", default="graph_coverage", help="of the second coreset")
    parser.add_argument("--here", action="store_true", help="in this process; ends with JSON")
    parser.add_argument("--mongod", type=int, help="process id of MongoDB, with --here")
    options, recording = started("millions", parser, arguments)
    if options.here:
        print(json.dumps(walk(options)))
        return
    with own_mongod() as server:
        given = ("--samples", options.samples, "--dimensions", options.dimensions, "--method", options.method)
        found = in_own_process("benchmarks.millions", "--here", *given, "--mongod", server.pid)
    recording.finish(tables_of(found))


def tables_of(found):
    steps = Table(
        ["step", "seconds", "CPU s", "CPU s of MongoDB", Column("private memory, GB", 2), Column("largest command, KB")]
    )
    for name, one in found["steps"].items():
        sizes = [one[what] / scale if what in one else None for what, scale in (("bytes", 1e9), ("command", 1000))]
        steps.add(name, one["seconds"], one.get("processors"), one.get("mongod"), *sizes)
    dataset = Table(["samples", "dimensions", "chosen", "chosen by the other method"])
    dataset.add(found["samples"], found["dimensions"], found["coreset"], found["other"])
    return {"steps": steps, "dataset": dataset}


def walk(options):
    commands = listen()
    import fiftyone as fo

    from elfs_plugin import runs

    steps = {}
    dataset = with_vectors(options)
    try:
        with Watched() as watched:

            def step(name, call, *given, **named):
                watched.reset()
                commands.largest = 0
                before = mongod_seconds(options.mongod)
                result, seconds, processors = timed(call, *given, **named)
                steps[name] = {
                    "seconds": seconds,
                    "processors": processors,
                    "mongod": mongod_seconds(options.mongod) - before,
                    "bytes": watched.reset(),
                    "command": commands.largest,
                }
                return result

            first = step(
                "the whole run: vectors read, all stages, results and cut written",
                runs.run_elfs,
                dataset,
                KEY,
                encoder=None,
                embeddings_field=FIELD,
                num_clusters=CLUSTERS,
                budget=BUDGET,
                precut="off",
                tag="coreset",
                view_name="coreset",
            )
            for name, seconds in first["stages"].items():
                steps[f"of which {name}"] = {"seconds": seconds}
            step(
                "the cut moved, and saved",
                runs.select_coreset,
                dataset,
                KEY,
                budget=2 * BUDGET,
                beta=0.2,
                tag="coreset",
            )
            other = step(
                f"a coreset by {options.method}, tagged",
                runs.choose_coreset,
                dataset,
                KEY,
                method=options.method,
                budget=BUDGET,
                tag="other",
            )
    finally:
        fo.delete_dataset(dataset.name)
    return {
        "samples": options.samples,
        "dimensions": options.dimensions,
        "coreset": first["coreset"],
        "other": other["coreset"],
        "steps": steps,
    }


def with_vectors(options):
    """A dataset as :func:`~.writing.make_dataset` makes it, with a vector field."""
    import fiftyone as fo
    from pymongo import UpdateOne

    dataset = make_dataset("elfs-bench-millions", options.samples)
    dataset.add_sample_field(FIELD, fo.VectorField)
    kind = fo.VectorField()
    vectors = manifold(options.samples, options.dimensions, clusters=CLUSTERS).vectors
    collection = dataset._sample_collection
    ids = [found["_id"] for found in collection.find({}, {"_id": 1})]
    for start in range(0, len(ids), _CHUNK):
        pairs = zip(ids[start : start + _CHUNK], vectors[start : start + _CHUNK])
        collection.bulk_write(
            [UpdateOne({"_id": i}, {"$set": {FIELD: kind.to_mongo(np.array(vector))}}) for i, vector in pairs],
            ordered=False,
        )
    dataset.reload()
    return dataset


def listen():
    """Has pymongo say what it sends, of this process from now on; ``largest`` is in bytes."""
    import bson
    from pymongo import monitoring

    class Commands(monitoring.CommandListener):
        largest = 0

        def started(self, event):
            if event.command_name != "insert":
                self.largest = max(self.largest, len(bson.encode(event.command)))

        def succeeded(self, event):
            pass

        def failed(self, event):
            pass

    commands = Commands()
    monitoring.register(commands)
    return commands


def mongod_seconds(pid):
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
