"""All benchmarks one after another: python -m benchmarks [--embeddings FILE --labels FILE|per-class:C] [--growth].

Without a file they measure on scikit-learn's digits and on synthetic embeddings; each is also a command of its own.
Those on images, a GPU, the App and MongoDB, ``embedding``, ``engine``, ``gpu``, ``image_proxy``, ``paper``, ``panel``,
``writing`` and ``object_rows``, are commands only. Each keeps its result with ``--save`` (see results.py), from which
``python -m benchmarks.tables`` makes the tables of the documents; ``gpu`` writes files of its own.
"""

import argparse
import subprocess
import sys

from .common import add_data_options

ON_DATA = ("clustering", "path", "proxy", "beta", "quality", "cluster_count", "methods", "prune4rel", "zcore")
TIMED = {"proxy": ["--speed"], "beta": ["--speed"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--growth", action="store_true", help="also from 10,000 to 1,000,000 samples: hours")
    options = parser.parse_args()
    file = ["--embeddings", options.embeddings] if options.embeddings else []
    labels = ["--labels", options.labels] if options.labels else []
    commands = [[name, *file, *labels, *TIMED.get(name, [])] for name in ON_DATA]
    commands.append(["neighbors", *(file or ["--samples", "50000", "--dimensions", "384"])])
    commands.append(["selectors", *file])
    commands += [["shapes"], ["frames"], ["objects", *file, *labels]]
    commands += [["rounds", *file, *labels], ["rounds", *file, *labels, "--long-tail", "--batch", "20"]]
    if options.growth:
        commands.append(["growth"])
    failed = []
    for name, *arguments in commands:
        print(f"\n## {name}\n", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments]).returncode != 0:
            failed.append(name)
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
