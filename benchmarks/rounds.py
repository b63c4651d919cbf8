"""Three rounds of labelling with simulated annotators, beside Random rounds of the same size.

Annotators give a wrong label to 5% of what they are sent and leave out 10%, which is not sent again. A golden set,
drawn at random, is never chosen; its labels are right. After each round a model of the labels so far is tested on it,
and on samples held out that are no part of the pool. With each seed golden set, errors and choices are others.

    python -m benchmarks.rounds [--long-tail] [--embeddings FILE --labels per-class:C --rows N] [--save DATA]

A long tail: the last class has a hundredth of the samples of the first. Its rare samples are those of the rarest
classes which together make up a tenth of the pool at most.
"""

import argparse

import numpy as np

from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.rounds.batch import next_batch
from elfs_plugin.rounds.golden import draw_golden, measure
from elfs_plugin.rounds.labelled import Labelled
from elfs_plugin.seeds import repeats
from elfs_plugin.selectors.pool import Pool

from .common import Data, add_data_options, audited_data, shape
from .evidence_sets import long_tailed, plain
from .results import Column, Table, mean_sd, percent, started

ROUNDS = 3
WRONG, LEFT_OUT = 0.05, 0.1
RANDOM = "Random"
STRATEGIES = {
    "uncertainty": {},
    "failures": {"target": "failures"},
    "rare": {"target": "rare"},
    "coverage alone": {"share": 1.0},
    RANDOM: None,
}
"""Row name -> settings of the next batch."""
RARE = 0.1


def some_rows(data, rows, seed=0):
    """At most so many samples, drawn at random."""
    if rows is None or rows >= len(data.vectors):
        return data
    kept = np.sort(np.random.default_rng(seed).choice(len(data.vectors), rows, replace=False))
    return Data(data.name, data.vectors[kept], data.truth[kept])


def rare_samples(truth):
    """(N,) bool: those of the rarest classes that together make up a tenth at most, of one class at least."""
    counts = np.bincount(truth)
    order = np.argsort(np.where(counts > 0, counts, len(truth) + 1), kind="stable")
    fits = np.cumsum(counts[order]) <= RARE * len(truth)
    fits[0] = True
    return np.isin(truth, order[fits])


class Annotators:
    """What they say of each sample is the same whoever chose it."""

    def __init__(self, truth, seed):
        rng = np.random.default_rng([seed, 0])
        classes = int(truth.max()) + 1
        wrong = rng.random(len(truth)) < WRONG
        others = (truth + rng.integers(1, classes, len(truth))) % classes
        self._labels = np.where(wrong, others, truth)
        self._left_out = rng.random(len(truth)) < LEFT_OUT

    def label(self, rows):
        """:class:`Labelled` of what they did not leave out."""
        done = rows[~self._left_out[rows]]
        return Labelled(done, self._labels[done])


def one_run(case, graph, settings, batch, golden, seed):
    """(R, 2) accuracies on the golden set and of the mean held-out class; (N,) bool what was sent."""
    n = len(case.vectors)
    annotators, random = Annotators(case.truth, seed), np.random.default_rng([seed, 1])
    is_golden = np.isin(np.arange(n), golden)
    sent, accuracies = np.zeros(n, dtype=bool), []
    for _ in range(ROUNDS):
        known = annotators.label(np.flatnonzero(sent))
        if settings is None:
            rows = random.permutation(np.flatnonzero(~sent & ~is_golden))[:batch]
        else:
            pool = Pool(np.arange(n), case.vectors, graph, locked=sent, excluded=is_golden)
            rows = next_batch(pool, batch, known, seed=seed, **settings).indices
        sent[rows] = True
        accuracies.append(tested(case, annotators.label(np.flatnonzero(sent)), golden))
    return np.array(accuracies), sent


def tested(case, known, golden):
    """(accuracy on the golden set, mean accuracy over the classes of the samples held out)."""
    vectors, truth = case.held_out
    both = np.concatenate([case.vectors, vectors])
    on_golden = measure(case.vectors, known, golden, case.truth[golden])
    on_others = measure(both, known, np.arange(len(case.vectors), len(both)), truth)
    if on_golden.accuracy is None:
        return np.nan, np.nan
    return on_golden.accuracy, np.mean([right / total for right, total in on_others.by_class.values()])


def measured(case, batch, golden, seeds):
    """{strategy: [(accuracies (R, 2), share of rare samples sent, classes sent)] by seed}."""
    graph = knn_graph(case.vectors, min(50, len(case.vectors) - 1))
    found = {name: [] for name in STRATEGIES}
    for number, seed in enumerate(repeats(0, seeds)):
        drawn = draw_golden(np.arange(len(case.vectors)), golden, seed)
        rare = rare_samples(case.truth)
        rare[drawn] = False
        for name, settings in STRATEGIES.items():
            accuracies, sent = one_run(case, graph, settings, batch, drawn, seed)
            reached = np.mean(sent[rare]) if rare.any() else np.nan
            found[name].append((accuracies, reached, len(np.unique(case.truth[sent]))))
            shown = ", ".join(f"{100 * accuracy:.1f}" for accuracy in accuracies[:, 0])
            print(f"seed {number + 1} of {seeds}, {name}: {shown}", flush=True)
    return found


def tables_of(found, batch):
    """Accuracies after each round on the golden set and on held-out classes; what of the rare samples was reached."""
    after = [percent(f"after {batch * (number + 1):,} sent") for number in range(ROUNDS)]
    last = Column("- Random at the end", signed=True)
    tables = {name: Table(["next batch", *after, last]) for name in ("golden", "held_out")}
    for place, table in enumerate(tables.values()):
        ends = {name: np.array([run[0][:, place] for run in runs]) for name, runs in found.items()}
        for name, values in ends.items():
            gain = None if name == RANDOM else mean_sd(values[:, -1] - ends[RANDOM][:, -1])
            table.add(name, *[mean_sd(values[:, number]) for number in range(ROUNDS)], gain)
    tables["reached"] = Table(["next batch", percent("rare samples reached"), Column("classes reached")])
    for name, runs in found.items():
        shares = [run[1] for run in runs if np.isfinite(run[1])]
        tables["reached"].add(name, mean_sd(shares), mean_sd([run[2] for run in runs], 1))
    return tables


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--rows", type=int, help="of the file, drawn at random (default: all)")
    parser.add_argument("--long-tail", action="store_true", help="imbalance 100")
    parser.add_argument("--batch", type=int, default=50, help="samples of a round")
    parser.add_argument("--golden", type=int, default=200, help="samples kept apart, at most a fifth of the pool")
    parser.add_argument("--seeds", type=int, default=5)
    options, recording = started("rounds", parser, arguments)
    case = plain(some_rows(audited_data(options, parser), options.rows))
    case = long_tailed(case) if options.long_tail else case
    golden = min(options.golden, len(case.vectors) // 5)
    kinds = f"{case.classes} classes, {int(rare_samples(case.truth).sum()):,} rare samples"
    print(f"{case.name}: {shape(case.vectors)}, {kinds}, {golden:,} in the golden set", flush=True)
    found = measured(case, options.batch, golden, options.seeds)
    note = f"Pool: {len(case.vectors):,} samples, of which {golden:,} in the golden set."
    recording.finish(tables_of(found, options.batch), note)


if __name__ == "__main__":
    main()
