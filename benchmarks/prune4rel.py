"""What Prune4ReL is for: accuracy after re-labelling, on a pool with wrong labels, beside other methods.

Symmetric noise: a share of the pool's labels is drawn anew from the other classes. The last fifth of every class is the
evaluation set. All methods see the pool's embeddings and noisy labels alone; warm-up and proxy are trained on them.
Then a re-labelling learner (SOP+ on embeddings) and plain cross-entropy are trained on each subset with its noisy
labels and tested on the true labels of the evaluation set. *right*: the share of the subset's labels that are right as
given, *mended*: once the learner has mended them.

    python -m benchmarks.prune4rel [--embeddings FILE --labels FILE|per-class:C] [--noise 0.2 0.4] [--seeds 3]
                                   [--save DATA]
"""

import argparse
from dataclasses import replace

import numpy as np

from benchmarks.relabel import RelabelConfig, relabel_accuracy
from elfs_plugin.neighbors.graph import knn_graph, suggest_k
from elfs_plugin.proxy.train import train_proxy
from elfs_plugin.proxy.warm_up import with_outputs
from elfs_plugin.selectors import Pool, select

from .audit import split
from .common import add_data_options, audited_data, shape
from .results import Table, mean_sd, percent, started

METHODS = {
    "Random": ("random", {}),
    "small loss": ("small_loss", {}),
    "margin": ("uncertainty", {"measure": "margin"}),
    "forgetting": ("forgetting", {}),
    "GraNd": ("grand", {}),
    "moderate": ("moderate", {}),
    "Prune4ReL τ 0.975": ("prune4rel", {}),
    "Prune4ReL τ 0.9": ("prune4rel", {"tau": 0.9}),
    "Prune4ReL τ 0.8": ("prune4rel", {"tau": 0.8}),
    "given label": ("prune4rel", {"measure": "given"}),
    "all neighbourhoods": ("prune4rel", {"gain": "all"}),
    "both": ("prune4rel", {"gain": "all", "measure": "given"}),
}


def noise_columns(share):
    """What is told of the subsets at one share of wrong labels."""
    return [percent(f"{share:.0%} wrong: {what}") for what in ("re-labelled", "right", "mended", "plain")]


def add_noise(truth, share, seed):
    """(N,) labels of which exactly ``share`` (rounded) belong to another class, each other class as likely."""
    rng = np.random.default_rng([seed, 51])
    classes = int(truth.max()) + 1
    noisy = truth.copy()
    wrong = rng.permutation(len(truth))[: round(share * len(truth))]
    noisy[wrong] = (truth[wrong] + rng.integers(1, classes, size=len(wrong))) % classes
    return noisy


def run(data, share, budgets, methods, seed, config):
    """{(method, budget): (SOP+ accuracy, labels right before, after mending, plain accuracy)}."""
    rows, evaluation = split(data.truth)
    vectors = data.vectors[rows]
    noisy = add_noise(data.truth[rows], share, seed)
    classes = int(data.truth.max()) + 1
    # Per class, as the paper's baselines do: here the given labels take the place of pseudo-labels.
    pool = Pool(
        np.arange(len(rows)),
        embeddings=vectors,
        labels=noisy,
        pseudo_labels=noisy,
        neighbors=knn_graph(vectors, suggest_k(len(rows), classes)),
    )
    pool = with_outputs(pool, seed=seed)
    dynamics = train_proxy(vectors, noisy, num_classes=classes, seed=seed)
    pool = Pool(**{**vars(pool), "dynamics": dynamics})
    labels = np.zeros(len(data.truth), dtype=np.int64)
    labels[rows] = noisy
    found = {}
    for budget in budgets:
        for name in methods:
            method, params = METHODS[name]
            chosen = rows[select(method, pool, budget, seed=seed, **params).indices]
            scores = [
                relabel_accuracy(
                    data.vectors,
                    labels,
                    chosen,
                    evaluation,
                    data.truth,
                    classes,
                    seed=seed,
                    config=replace(config, over_parameterised=over),
                )
                for over in (True, False)
            ]
            found[name, budget] = (
                scores[0][0],
                np.mean(labels[chosen] == data.truth[chosen]),
                scores[0][1],
                scores[1][0],
            )
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--noise", type=float, nargs="+", default=(0.2, 0.4))
    parser.add_argument("--budgets", type=float, nargs="+", default=(0.1, 0.3))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=RelabelConfig.steps)
    parser.add_argument("--consistency", type=float, default=RelabelConfig.consistency, help="its weight; 0: none")
    options, recording = started("prune4rel", parser, arguments)
    config = RelabelConfig(steps=options.steps, consistency=options.consistency)
    data = audited_data(options, parser)
    print(f"{data.name}: {shape(data.vectors)}, {options.seeds} seeds", flush=True)
    tables = {}
    for budget in options.budgets:
        columns = [column for share in options.noise for column in noise_columns(share)]
        tables[f"budget_{budget:.0%}".rstrip("%")] = Table(["method", *columns])
    runs = {
        share: [run(data, share, options.budgets, options.methods, seed, config) for seed in range(options.seeds)]
        for share in options.noise
    }
    for budget, table in zip(options.budgets, tables.values()):
        for name in options.methods:
            found = [np.array([one[name, budget] for one in runs[share]]).T for share in options.noise]
            table.add(
                name,
                *(
                    cell
                    for learnt, *others in found
                    for cell in (mean_sd(learnt), *(100 * column.mean() for column in others))
                ),
            )
    recording.finish(tables)


if __name__ == "__main__":
    main()
