"""The fast proxy: its speed, how far two seeds agree, and how close its ranking is to that of ResNet-18 on pixels.

No true label is used.

    python -m benchmarks.proxy                                    digits, ResNet-18 trained here on the 8 x 8 images
    python -m benchmarks.proxy --embeddings FILE [--pseudo-labels FILE] [--rows FILE --image-aum FILE ...]
"""

import argparse
import math
import time
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

from .common import add_data_options, chosen_data, machine, mean_spread, table

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
    """Rows of the speed table: epochs of one member per second, the ensemble beside the plain loop."""
    config = EnsembleConfig()

    def seconds(call):
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    def single_threaded():
        with one_thread(torch.device("cpu")):
            plain_loop(vectors, labels, config, 0)

    train(vectors[:500], labels[:500], int(labels.max()) + 1)  # the first matrix products load their kernels
    timed = {
        "one batched model": lambda: train(vectors, labels),
        "plain loop, all threads": lambda: plain_loop(vectors, labels, config, 0),
        "plain loop, one thread": single_threaded,
    }
    epochs = config.members * config.epochs
    return [[name, f"{(s := seconds(call)):.1f}", f"{epochs / s:.1f}"] for name, call in timed.items()]


def quality(aum_of, seeds, references):
    """(Spearman, overlap) between pairs of seeds, and with each reference, as text."""
    found = [aum_of(seed) for seed in range(seeds)]
    pairs = np.array([agreement(a, b) for i, a in enumerate(found) for b in found[:i]])
    cells = [mean_spread(pairs[:, 0], 1, 3), mean_spread(pairs[:, 1])]
    if references:
        near = np.array([agreement(a, r) for a in found for r in references])
        cells += [mean_spread(near[:, 0], 1, 3), mean_spread(near[:, 1])]
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--rows", help="(n,) .npy file: use these rows of the embeddings only")
    parser.add_argument("--pseudo-labels", help="(n,) .npy file, in place of clustering")
    parser.add_argument("--clusters", type=int, default=10)
    parser.add_argument("--image-aum", nargs="*", help="(n,) .npy files: AUMs of an image proxy on the same labels")
    parser.add_argument("--image-epochs", type=int, default=60, help="of ResNet-18 on digits; 0: leave it out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-speed", action="store_true")
    options = parser.parse_args()
    data = chosen_data(options)
    vectors = data.vectors if options.rows is None else data.vectors[np.load(options.rows)]
    if options.pseudo_labels:
        labels = np.load(options.pseudo_labels)
    else:
        graph = knn_graph(vectors, suggest_k(len(vectors), options.clusters))
        labels = cluster(vectors, graph, options.clusters, config=ClusteringConfig.quick()).labels
    print(machine(), flush=True)
    print(f"{data.name}: {len(vectors):,} x {vectors.shape[1]}, {options.clusters} clusters\n", flush=True)
    if not options.no_speed:
        header = ["", "seconds", "epochs of one member per second"]
        print(table(header, speed(vectors, labels)) + "\n", flush=True)

    references = [np.load(path) for path in options.image_aum or []]
    if not references and not options.embeddings and options.image_epochs:
        images = np.round(data.vectors.reshape(-1, 8, 8, 3) * 255).astype(np.uint8).transpose(0, 3, 1, 2)
        config = ProxyConfig.resnet18(epochs=options.image_epochs)
        references = [
            train_proxy(np.ascontiguousarray(images), labels, config=config, seed=s, device=resolve_device()).aum
            for s in range(2)
        ]
    rows = [
        [
            name,
            *quality(lambda seed, c=config: train(vectors, labels, config=c, seed=seed).aum, options.seeds, references),
        ]
        for name, config in variants().items()
    ]
    single = EnsembleConfig(members=1, left_out=0)
    rows.append(
        [
            "single network, scored on its passing batches",
            *quality(lambda seed: plain_loop(vectors, labels, single, seed, True), options.seeds, references),
        ]
    )
    if len(references) > 1:
        rows.append(["the image proxy itself", "", "", *map(str, _itself(references))])
    header = ["proxy", "Spearman, two seeds", f"{BUDGET:.0%} coreset shared, %"]
    if references:
        header += ["Spearman, image proxy", "coreset shared with it, %"]
    print(table(header, rows))


def _itself(references):
    pairs = np.array([agreement(a, b) for i, a in enumerate(references) for b in references[:i]])
    return mean_spread(pairs[:, 0], 1, 3), mean_spread(pairs[:, 1])


if __name__ == "__main__":
    main()
