"""Which choice is worth its labels: accuracy against budget, every method beside Random.

A method chooses from a pool without labels; somebody labels what it chose (the true labels); a logistic regression
on these is tested on held-out samples. With each seed all that is random begins anew: clustering, proxy, choice.

    python -m benchmarks.evidence measure VERSION [--embeddings FILE --labels per-class:C] [--save NAME]
    python -m benchmarks.evidence network --images FOLDER --embeddings FILE [--save NAME]
    python -m benchmarks.evidence           docs/evidence.md and its figures, from what was kept
    python -m benchmarks.evidence --check   fails where they differ from it

Versions of the data: plain, long-tail, duplicates, unrelated (see evidence_sets.py).
"""

import argparse
import sys
import warnings

import numpy as np
from threadpoolctl import threadpool_limits

from elfs_plugin import selectors
from elfs_plugin.clustering.pseudo_labels import cluster
from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.evaluation.choosing import choose_at_all, prepared
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.seeds import repeats

from . import evidence_document, evidence_network
from .common import add_data_options, audited_data, shape
from .evidence_sets import NOISE, VERSIONS
from .results import Column, Table, mean_sd, percent, started

BUDGETS = (10, 20, 50, 100, 200, 400, 1000, 0.1, 0.3, 0.5)
SAME = ("u_herding",)
"""Methods that without labels are another one."""
DETERMINISTIC = ("graph_coverage",)
"""Methods that choose the same with every seed from the same graph."""
STRENGTH = 10.0


def budgets_of(n, wanted=BUDGETS):
    """Distinct counts, at most half of the pool."""
    counts = {int(b) if b >= 1 else round(b * n) for b in wanted}
    return sorted(count for count in counts if 2 <= count <= max(n // 2, 2))


def tested(case, rows):
    """(C,) the accuracy on each held-out class of a logistic regression on the labels of these rows."""
    from sklearn.linear_model import LogisticRegression

    vectors, truth = case.held_out
    rows = rows[case.truth[rows] != NOISE]
    labels = case.truth[rows]
    if len(np.unique(labels)) < 2:
        guessed = np.full(len(truth), labels[0] if len(labels) else 0)
    else:
        # Threads would wait for each other far longer than they compute.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(C=STRENGTH, max_iter=200, tol=1e-3).fit(case.vectors[rows], labels)
            guessed = model.predict(vectors)
    return np.array([np.mean(guessed[truth == c] == c) for c in range(case.classes)])


def pool_of(case, names, seed):
    """(the pool with all that these methods need; how many of its pseudo-labels are right, or None where none were
    needed)."""
    graph = knn_graph(case.vectors, 50, seed=seed)
    pool = selectors.Pool(np.arange(len(case.vectors)), embeddings=case.vectors, neighbors=graph)
    needs = {need for name in names for need in selectors.required(name)}
    if not needs - {"embeddings", "neighbors"}:
        return pool, None
    found = cluster(case.vectors, graph, case.classes, seed=seed)
    pool = selectors.Pool(pool.ids, case.vectors, graph, found.labels, confidence=found.confidence)
    known = case.truth != NOISE
    return prepared(pool, names, seed), pseudo_label_accuracy(found.labels[known], case.truth[known])


def measure(case, names, seeds, budgets):
    """({method: (S, B, C) accuracies}, (S,) share of right pseudo-labels, β of ELFS (S, B))."""
    found, right, betas = {name: [] for name in names}, [], []
    for s, seed in enumerate(repeats(0, seeds)):
        wanted = [name for name in names if not (s and name in DETERMINISTIC)]
        pool, share = pool_of(case, wanted, seed)
        right.append(share)
        for name in wanted:
            chosen = choose_at_all(name, pool, budgets, seed)
            found[name].append([tested(case, rows) for rows in chosen.rows])
            if chosen.betas:
                betas.append(chosen.betas)
            accuracies = ", ".join(f"{100 * row.mean():.1f}" for row in found[name][-1])
            print(f"seed {s + 1} of {seeds}, {name} ({chosen.seconds:.0f} s): {accuracies}", flush=True)
    return {name: np.array(values) for name, values in found.items()}, right, betas


def measured(values):
    """A cell of accuracies: the mean, and the standard deviation where there are several."""
    return mean_sd(values) if len(values) > 1 else {"mean": 100 * float(values[0])}


def tables_of(found, right, betas, budgets, case):
    """Mean accuracy over classes; of the worst and of the last (rarest) class; right pseudo-labels; β."""
    columns = [Column("method"), Column("seeds", None), *[percent(f"{b:,}") for b in budgets]]
    tables = {name: Table(list(columns)) for name in ("accuracy", "worst", "rarest")}
    for name, values in found.items():
        views = {"accuracy": values.mean(axis=2), "worst": values.min(axis=2), "rarest": values[:, :, -1]}
        for view, cells in views.items():
            tables[view].add(f"`{name}`", len(cells), *[measured(cells[:, b]) for b in range(len(budgets))])
    pool = Table(["images", "classes", "held out", percent("pseudo-labels right")])
    shares = [share for share in right if share is not None]
    pool.add(len(case.vectors), case.classes, len(case.held_out[1]), mean_sd(shares) if shares else None)
    tables["pool"] = pool
    if betas:
        tables["beta"] = Table(["budget", "β found"])
        for b, budget in enumerate(budgets):
            tables["beta"].add(budget, [round(float(row[b]), 2) for row in betas if np.isfinite(row[b])])
    return tables


def measure_main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", choices=VERSIONS)
    add_data_options(parser)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budgets", type=float, nargs="+", default=BUDGETS)
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="only these (default: all quick enough)")
    options, recording = started("evidence", parser, arguments)
    case = VERSIONS[options.version](audited_data(options, parser))
    budgets = budgets_of(len(case.vectors), options.budgets)
    sizes = {"samples": len(case.vectors), "budget": budgets[-1], "dimensions": case.vectors.shape[1]}
    family = selectors.available()
    quick = [name for name in family if not (family[name]["cost"] and family[name]["cost"].is_high(**sizes))]
    names = [name for name in family if name in (options.methods or quick) and name not in SAME]
    print(f"{case.name}: {shape(case.vectors)}, {case.classes} classes, budgets {budgets}", flush=True)
    recording.finish(tables_of(*measure(case, names, options.seeds, budgets), budgets, case))


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else map(str, arguments))
    if arguments[:1] == ["measure"]:
        return measure_main(arguments[1:])
    if arguments[:1] == ["network"]:
        return evidence_network.main(arguments[1:], pool_of)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where something differs")
    return evidence_document.write(check=parser.parse_args(arguments).check)


if __name__ == "__main__":
    raise SystemExit(main())
