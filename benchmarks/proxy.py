"""The fast proxy: how far two seeds agree, and how close its ranking is to that of ResNet-18 on pixels.

No true label is used.

    python -m benchmarks.proxy                                    digits, ResNet-18 trained here on the 8 x 8 images
    python -m benchmarks.proxy --embeddings FILE [--pseudo-labels FILE] [--rows FILE --image-aum FILE ...]

``--speed`` also times it. ``--save DATA`` keeps the result.
"""

import argparse
import itertools
import math
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr

from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster
from elfs_plugin.devices import generator, one_thread, resolve_device
from elfs_plugin.neighbors.graph import knn_graph, suggest_k
from elfs_plugin.proxy.dynamics import Recorder
from elfs_plugin.proxy.mlp import EnsembleConfig, train
from elfs_plugin.proxy.train import ProxyConfig, train_proxy
from elfs_plugin.pruning.zones import double_end
from elfs_plugin.seeds import Stream, derived

from .common import add_data_options, chosen_data, shape, timed
from .results import Column, Table, mean_sd, percent, started

BUDGET, BETA = 0.1, 0.2


def variants():
    """Name -> configuration: the default and what stands near it."""
    default = EnsembleConfig()
    return {
        "default": default,
        "half as many members": replace(default, members=default.members // 2, left_out=default.left_out // 2),
        "half of the members left out": replace(default, left_out=default.members // 2),
        "scored by members that trained on it": replace(default, left_out=0),
        "single network, scored after its epochs": replace(default, members=1, left_out=0),
        f"{default.epochs // 2} epochs": replace(default, epochs=default.epochs // 2),
        f"{default.epochs * 3} epochs": replace(default, epochs=default.epochs * 3),
        "learning rate x 3": replace(default, learning_rate=default.learning_rate * 3),
    }


def plain_loop(vectors, labels, config, seed, on_batches=False):
    """AUM (N,) of single float32 MLPs, one after another: what the batched model is measured against.

    ``on_batches`` records the passing batches, else all samples are scored after every epoch.
    """
    x = torch.as_tensor(vectors)
    x = (x - x.mean(dim=0)) / x.std(dim=0, correction=0).clamp_min(1e-6)
    y = torch.as_tensor(labels).long()
    n, aum = len(x), 0.0
    per_epoch = math.ceil(n / config.batch_size)
    for member in range(config.members):
        rng = generator(derived(seed, Stream.MEMBER, member))
        model = torch.nn.Sequential(
            torch.nn.Linear(x.shape[1], config.hidden),
            torch.nn.ReLU(),
            torch.nn.Linear(config.hidden, int(y.max()) + 1),
        )
        for layer in (model[0], model[2]):
            torch.nn.init.kaiming_normal_(layer.weight, generator=rng)
            torch.nn.init.zeros_(layer.bias)
        optimizer = torch.optim.SGD(
            model.parameters(), lr=config.learning_rate, momentum=0.9, nesterov=True, weight_decay=config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, config.epochs * per_epoch, eta_min=config.final_learning_rate
        )
        recorder = Recorder(n)
        for _ in range(config.epochs):
            for rows in torch.randperm(n, generator=rng).split(config.batch_size):
                logits = model(x[rows])
                if on_batches:
                    recorder.update(rows, logits.detach(), y[rows])
                optimizer.zero_grad()
                F.cross_entropy(logits, y[rows]).backward()
                optimizer.step()
                schedule.step()
            if not on_batches:
                for rows in torch.arange(n).split(2048):
                    with torch.no_grad():
                        recorder.update(rows, model(x[rows]), y[rows])
        aum = aum + recorder.finalize().aum
    return aum / config.members


def coreset(aum):
    return set(double_end(aum, BUDGET, BETA).coreset.tolist())


def agreement(one, other):
    """(Spearman correlation, share of the 10% coreset at β = 0.2 that both choose) of two (N,) AUMs."""
    a, b = coreset(one), coreset(other)
    return spearmanr(one, other)[0], len(a & b) / len(a)


def speed(vectors, labels):
    """A table: the ensemble as one model beside the plain loop."""
    config = EnsembleConfig()

    def plain():
        plain_loop(vectors, labels, config, 0)

    def single_threaded():
        with one_thread(torch.device("cpu")):
            plain()

    train(vectors[:500], labels[:500], int(labels.max()) + 1)  # the first matrix products load their kernels
    calls = {
        "one batched model": lambda: train(vectors, labels),
        "plain loop, all threads": plain,
        "plain loop, one thread": single_threaded,
    }
    epochs = config.members * config.epochs
    table = Table(["model", "seconds", "epochs of one member per second"])
    for name, call in calls.items():
        seconds = timed(call)[1]
        table.add(name, seconds, epochs / seconds)
    return table


def agreements(pairs):
    """(n, 2) of n pairs of AUMs: see :func:`agreement`."""
    return np.array([agreement(one, other) for one, other in pairs])


def cells(pairs):
    """Spearman and share of an (n, 2) array, with spreads where there are several pairs; None for no pairs."""
    if len(pairs) == 1:
        return [pairs[0, 0], 100 * pairs[0, 1]]
    return [mean_sd(pairs[:, 0], 1), mean_sd(pairs[:, 1])] if len(pairs) else [None, None]


def add_row(table, name, aums, references):
    """A proxy's seeds among each other, and each with each reference."""
    table.add(
        name,
        *cells(agreements(itertools.combinations(aums, 2))),
        *cells(agreements(itertools.product(aums, references))),
    )


def trained_references(data, labels, epochs):
    """The AUMs of two ResNet-18 on the digits' images."""
    images = np.round(data.vectors.reshape(-1, 8, 8, 3) * 255).astype(np.uint8).transpose(0, 3, 1, 2)
    config = ProxyConfig.resnet18(epochs=epochs)
    return [
        train_proxy(np.ascontiguousarray(images), labels, config=config, seed=seed, device=resolve_device()).aum
        for seed in range(2)
    ]


def quality(vectors, labels, references, seeds):
    """The table of all variants."""
    table = Table(
        [
            "proxy",
            Column("Spearman, two seeds", 3),
            percent(f"{BUDGET:.0%} coreset shared"),
            Column("Spearman, ResNet-18", 3),
            percent("coreset shared with it"),
        ]
    )
    for name, config in variants().items():
        add_row(table, name, [train(vectors, labels, config=config, seed=s).aum for s in range(seeds)], references)
    single = EnsembleConfig(members=1, left_out=0)
    add_row(
        table,
        "single network, scored on its passing batches",
        [plain_loop(vectors, labels, single, s, True) for s in range(seeds)],
        references,
    )
    if len(references) > 1:
        add_row(table, "ResNet-18 itself", references, [])
    return table


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--rows", help="(n,) .npy file: use these rows of the embeddings only")
    parser.add_argument("--pseudo-labels", help="(n,) .npy file, in place of clustering")
    parser.add_argument("--clusters", type=int, default=10)
    parser.add_argument("--image-aum", nargs="*", help="(n,) .npy files: AUMs of an image proxy on the same labels")
    parser.add_argument("--image-epochs", type=int, default=60, help="of ResNet-18 on digits; 0: leave it out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--speed", action="store_true", help="also time the ensemble beside a plain loop")
    options, recording = started("proxy", parser, arguments)
    data = chosen_data(options)
    vectors = data.vectors if options.rows is None else data.vectors[np.load(options.rows)]
    if options.pseudo_labels:
        labels = np.load(options.pseudo_labels)
    else:
        graph = knn_graph(vectors, suggest_k(len(vectors), options.clusters))
        labels = cluster(vectors, graph, options.clusters, config=ClusteringConfig.quick()).labels
    print(f"{data.name}: {shape(vectors)}, {options.clusters} clusters", flush=True)
    tables = {"speed": speed(vectors, labels)} if options.speed else {}
    references = [np.load(path) for path in options.image_aum or []]
    if not references and not options.embeddings and options.image_epochs:
        references = trained_references(data, labels, options.image_epochs)
    recording.finish({**tables, "closeness": quality(vectors, labels, references, options.seeds)})


if __name__ == "__main__":
    main()
