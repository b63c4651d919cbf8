"""Which selection method to trust: ``python -m elfs_plugin compare`` on one set of embeddings, with an audit.

Every method chooses with its default parameters, ``elfs`` with the β of a search. The accuracy is that of a small
network trained on the coreset and tested on a held-out tenth: by pseudo-labels, as a user sees it without any true
label, and, in the audit, by true labels.

    python -m benchmarks.methods [--embeddings FILE --labels FILE|per-class:C] [--seeds 5] [--save DATA]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from .common import add_data_options, audited_data, in_own_process, shape
from .results import Column, Table, percent, started

RANDOM = "random"


def compared(data, clusters, options):
    """What the command prints with ``--json``."""
    with tempfile.TemporaryDirectory() as folder:
        vectors, truth = Path(folder) / "vectors.npy", Path(folder) / "truth.npy"
        np.save(vectors, data.vectors)
        np.save(truth, data.truth)
        chosen = ["--methods", ",".join(options.methods)] if options.methods else []
        return in_own_process(
            "elfs_plugin",
            "compare",
            vectors,
            "--truth",
            truth,
            "--clusters",
            clusters,
            "--seeds",
            options.seeds,
            "--seed",
            options.seed,
            "--budgets",
            options.budgets,
            "--json",
            *chosen,
        )


def methods_table(found):
    """A row for each method, the best by true labels at the middle budget first."""
    budgets = found["budgets"]
    middle = budgets[len(budgets) // 2]
    columns = ["method"]
    for budget in budgets:
        columns += [
            percent(f"{budget:,}"),
            Column(f"{budget:,}: - Random", signed=True),
            Column(f"{budget:,}: by pseudo-labels", signed=True),
        ]
    table = Table([*columns, percent(f"seeds share at {middle:,}", 0)])
    rows = {(row["method"], row["budget"]): row for row in found["rows"]}
    names = list(dict.fromkeys(row["method"] for row in found["rows"]))
    for name in sorted(names, key=lambda name: -rows[name, middle]["true_accuracy"]):
        cells = []
        for budget in budgets:
            row = rows[name, budget]
            cells.append({"mean": 100 * row["true_accuracy"], "sd": 100 * row["true_accuracy_sd"]})
            differences = row["true_accuracy_minus_random"], row["minus_random"]
            cells += [None, None] if name == RANDOM else [100 * difference for difference in differences]
        share = rows[name, middle]["overlap_of_seeds"]
        table.add(f"`{name}`", *cells, None if share is None else 100 * share)
    return table


def agreement_table(found):
    """How close the differences to Random by pseudo-labels are to those by true labels, over the other methods."""
    table = Table(["images", "methods", Column("Spearman correlation of the two differences", 2)])
    for budget in found["budgets"]:
        rows = [row for row in found["rows"] if row["budget"] == budget and row["method"] != RANDOM]
        pairs = [(row["minus_random"], row["true_accuracy_minus_random"]) for row in rows]
        table.add(budget, len(rows), spearmanr(*zip(*pairs))[0] if len(pairs) > 1 else None)
    return table


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--clusters", type=int, help="default: the number of classes")
    parser.add_argument("--budgets", default="0.01,0.1,0.3")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="only these (default: all)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options, recording = started("methods", parser, arguments)
    data = audited_data(options, parser)
    clusters = options.clusters or len(np.unique(data.truth))
    print(f"{data.name}: {shape(data.vectors)}, {clusters} clusters", flush=True)
    found = compared(data, clusters, options)
    recording.finish({"accuracy": methods_table(found), "agreement": agreement_table(found)})


if __name__ == "__main__":
    main()
