"""The part of the evidence that is about networks trained from the images alone.

    python -m benchmarks.evidence network --images FOLDER --embeddings FILE [--save NAME]

The choice is made on embeddings of the training images; a small ResNet is trained from scratch on the true labels of
what was chosen, for the same number of steps at every budget, and tested on the test images. The embeddings must come
from a network that has seen no label of the test images.
"""

import argparse
from dataclasses import replace

import numpy as np

from elfs_plugin import selectors
from elfs_plugin.encoders.images import load_pixels
from elfs_plugin.evaluation.choosing import Chosen, choose_at_all
from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.proxy.train import fit
from elfs_plugin.seeds import repeats
from elfs_plugin.selectors.difficulty import hardness, keep_after_cut
from elfs_plugin.selectors.methods.graph_coverage import GraphCoverage

from .evidence_sets import Case
from .paper import find_images
from .results import Column, Table, mean_sd, percent, started

BUDGETS = (1000, 5000, 15_000)
SIZE = 32
METHODS = ("random", "graph_coverage", "k_medoids", "elfs", "cut_coverage")


class CutCoverage(GraphCoverage):
    """Graph coverage by images that are not among the β hardest: ELFS's cut, coverage in the place of its other one."""

    def __init__(self, beta):
        super().__init__()
        self._beta = beta

    def required(self):
        return (*self.needs, "dynamics")

    def eligible(self, pool, free, budget):
        return keep_after_cut(hardness(pool.dynamics, "aum"), self._beta, free, budget)


def chosen(name, pool, budgets, seed, betas):
    """Rows for each budget; ``betas`` are those that ELFS found."""
    if name != "cut_coverage":
        return choose_at_all(name, pool, budgets, seed)
    rows = [CutCoverage(float(beta)).run(pool, budget, seed).indices for budget, beta in zip(budgets, betas)]
    return Chosen(rows, 0.0)


def accuracy(train, test, rows, steps, seed):
    config = replace(ProxyConfig.resnet8(members=1), steps=steps, epochs=1)
    model = fit(train[0][rows], train[1][rows], num_classes=int(train[1].max()) + 1, config=config, seed=seed)
    return float(np.mean(model.predict(test[0]) == test[1]))


def main(arguments, pool_of):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="train/<class>/<image> and test/<class>/<image>")
    parser.add_argument("--embeddings", required=True, help="(N, D) .npy of the training images in sorted order")
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=int, default=3, help="of clustering, proxy, choice and network")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--limit", type=int, help="so many images of each class and split")
    options, recording = started("evidence_network", parser, arguments)
    train, test, names = find_images(options.images, options.limit)
    splits = [(load_pixels(split.paths, SIZE).values, split.truth) for split in (train, test)]
    vectors = np.load(options.embeddings).astype(np.float32)
    if len(vectors) != len(train.paths):
        parser.error(f"there are {len(vectors):,} embeddings and {len(train.paths):,} training images")
    case = Case("images", vectors, train.truth, (vectors[:1], np.array([len(names) - 1])))
    needed = [name for name in options.methods if name in selectors.available()]
    needed += ["elfs"] * ("cut_coverage" in options.methods and "elfs" not in needed)
    found = {name: [] for name in options.methods}
    for seed in repeats(0, options.seeds):
        pool, _ = pool_of(case, needed, seed)
        betas = choose_at_all("elfs", pool, options.budgets, seed).betas if "elfs" in needed else []
        for name in options.methods:
            rows = chosen(name, pool, options.budgets, seed, betas).rows
            found[name].append([accuracy(*splits, np.sort(some), options.steps, seed) for some in rows])
            print(f"seed {seed}, {name}: {found[name][-1]}", flush=True)
    table = Table(["method", Column("seeds", None), *[percent(f"{budget:,}") for budget in options.budgets]])
    for name, values in found.items():
        table.add(f"`{name}`", len(values), *[mean_sd(column) for column in np.array(values).T])
    recording.finish({"accuracy": table})
