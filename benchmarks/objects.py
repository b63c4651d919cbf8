"""Images chosen by their objects, beside images chosen as wholes and Random, at equal cost.

Scenes are bags of object vectors (scenes.py), of a file of embeddings or of scikit-learn's digits. A method chooses
scenes without labels; then somebody labels all their objects, and a logistic regression on these is tested on held-out
objects, each class as often. With each seed scenes and choice begin anew.

    python -m benchmarks.objects [--embeddings FILE --labels per-class:C] [--scenes P] [--seeds S] [--save NAME]
"""

import argparse
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from elfs_plugin import selectors
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.selectors.engines.graph_coverage import adjacency
from elfs_plugin.selectors.engines.parent_coverage import choose_parents

from . import scenes
from .common import add_data_options, audited_data
from .evidence import tested
from .evidence_sets import Case
from .results import Column, Table, mean_sd, percent, started

NEIGHBORS = 30
BUDGETS = (0.02, 0.05, 0.1, 0.2)
"""Shares of all scenes, and of all objects."""


def objects_of(found, order, budget=None):
    """Objects of scenes in an order, of whole scenes only as long as they fit into a budget of objects."""
    sizes = np.bincount(found.parents, minlength=found.count)
    if budget is not None:
        order = _fitting(order, sizes, budget)
    return np.flatnonzero(np.isin(found.parents, order))


def _fitting(order, sizes, budget):
    taken, left = [], budget
    for scene in order:
        if sizes[scene] <= left:
            taken.append(scene)
            left -= sizes[scene]
    return np.array(taken, dtype=np.int64)


class Chooser:
    """Choices of all methods on one :class:`~.scenes.Scenes`; graphs are made once."""

    def __init__(self, found, seed):
        self.found, self.seed = found, seed
        self.links = adjacency(knn_graph(found.vectors, min(NEIGHBORS, len(found.vectors) - 1)), NEIGHBORS)
        graph = knn_graph(found.images, min(NEIGHBORS, found.count - 1))
        self.pool = selectors.Pool(np.arange(found.count), embeddings=found.images, neighbors=graph)
        own = knn_graph(found.vectors, min(NEIGHBORS, len(found.vectors) - 1))
        self.of_objects = selectors.Pool(np.arange(len(found.vectors)), embeddings=found.vectors, neighbors=own)
        self.sizes = np.bincount(found.parents, minlength=found.count).astype(float)

    def _as_wholes(self, method, budget):
        return selectors.select(method, self.pool, budget, seed=self.seed).indices

    def by_images(self, budget):
        """Row name -> rows of the objects of ``budget`` scenes."""
        order = np.argsort(-self.sizes, kind="stable")
        chosen = choose_parents(self.links, self.found.parents, np.ones(self.found.count), budget).parents
        scenes_of = {
            "Random": self._as_wholes("random", budget),
            "whole images, `graph_coverage`": self._as_wholes("graph_coverage", budget),
            "whole images, `max_herding`": self._as_wholes("max_herding", budget),
            "the images with most objects": order[:budget],
            "`object_coverage`": chosen,
        }
        return {name: objects_of(self.found, some) for name, some in scenes_of.items()}

    def by_objects(self, budget):
        """Row name -> rows of at most ``budget`` objects: of whole scenes, or objects by themselves."""
        found = self.found
        chosen = choose_parents(self.links, found.parents, self.sizes, budget).parents
        whole = {
            name: objects_of(found, self._as_wholes(method, found.count), budget)
            for name, method in {
                "Random images": "random",
                "whole images, `graph_coverage`": "graph_coverage",
                "whole images, `max_herding`": "max_herding",
            }.items()
        }
        return {
            **whole,
            "`object_coverage`": objects_of(found, chosen),
            "Random objects": selectors.select("random", self.of_objects, budget, seed=self.seed).indices,
            "objects, `graph_coverage`": selectors.select("graph_coverage", self.of_objects, budget).indices,
        }


@dataclass
class Measured:
    """Of one row and budget, for each seed: objects to label, the share of rare classes' objects found, accuracies."""

    objects: list
    rare: list
    accuracy: list
    rare_accuracy: list


def measure(make, seeds, budgets):
    """{cost: {budget: {row name: :class:`Measured`}}} of ``make(seed)``, the :class:`~.scenes.Scenes` of a seed."""
    results = {"images": {}, "objects": {}}
    for seed in range(seeds):
        found = make(seed)
        chooser = Chooser(found, seed)
        case = Case(found.name, found.vectors, found.truth, found.held_out)
        is_rare = np.isin(found.truth, found.rare)
        for cost, choose, of in (
            ("images", chooser.by_images, found.count),
            ("objects", chooser.by_objects, len(found.vectors)),
        ):
            for share in budgets:
                for name, rows in choose(max(2, round(share * of))).items():
                    right = tested(case, rows)
                    one = results[cost].setdefault(share, {}).setdefault(name, Measured([], [], [], []))
                    one.objects.append(len(rows))
                    one.rare.append(is_rare[rows].sum() / max(1, is_rare.sum()))
                    one.accuracy.append(right.mean())
                    one.rare_accuracy.append(right[found.rare].mean())
        print(f"seed {seed}: {found.count:,} scenes, {len(found.vectors):,} objects, {is_rare.sum()} rare", flush=True)
    return results


def table_of(measured):
    """One table of a cost: a row for each method and budget."""
    table = Table(
        [
            "budget and method",
            Column("objects labelled", 0),
            percent("rare objects found"),
            percent("mean accuracy of all classes"),
            percent("of the rare ones"),
        ]
    )
    for share, rows in measured.items():
        for name, one in rows.items():
            table.add(
                f"{share:.0%}, {name}",
                float(np.mean(one.objects)),
                mean_sd(one.rare),
                mean_sd(one.accuracy),
                mean_sd(one.rare_accuracy),
            )
    return table


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--scenes", type=int, default=400, help="how many scenes (400)")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budgets", type=float, nargs="+", default=BUDGETS, help="shares of the scenes")
    options, recording = started("objects", parser, arguments)
    data = audited_data(options, parser)
    with threadpool_limits(1):
        found = measure(lambda seed: scenes.bags(data, options.scenes, seed), options.seeds, options.budgets)
    recording.finish({f"by_{cost}": table_of(measured) for cost, measured in found.items()})


if __name__ == "__main__":
    main()
