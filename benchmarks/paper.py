"""ELFS as published, from images without labels to test accuracies, beside Random in the same recipe. For a GPU.

    python -m benchmarks.paper --images FOLDER --folder RESULTS [--minutes M]
    python -m benchmarks.paper --small --images FOLDER --embeddings FILE --folder RESULTS [--minutes M]
    python -m benchmarks.paper --tiny --folder RESULTS
    python -m benchmarks.paper … --keep-small PIECES

FOLDER holds ``train/<class>/<image>`` and, if there is one, ``test/<class>/<image>``; or ``<class>/<image>``, of which
the last fifth of each class is then the test set. A self-supervised encoder is trained on the training images (or the
embeddings of a file are taken), then neighbours, TEMI, ResNet-18 dynamics, the β search, and for every pruning rate a
ResNet-18 on the true labels of the coreset and of as many random images. Class names are read for the audit and for
these last trainings only.

``--small`` is the same way for a CPU: quick clustering, scores by MLPs on the embeddings, β searched twice, with MLPs
on the embeddings and with small ResNets on the images, and small ResNets on the true labels, all from scratch.

Everything finished is kept in RESULTS and every training resumes in the middle, so the same command can be given again
until it is done: ``--minutes`` ends it cleanly before a machine has to be given back. ``results.json`` and
``results.md`` are written there each time; ``--save DATA`` keeps the tables in benchmarks/results as well.

``--keep-small`` also keeps all but trainings in progress in the folder PIECES, in at most 60 MB, in pieces of 15 MB. On
another machine the same command, with that folder and the same images, goes on from there.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from elfs_plugin.beta_search.search import resolve_beta_proxy
from elfs_plugin.checkpoints import StageStore, fingerprint
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig
from elfs_plugin.devices import resolve_device
from elfs_plugin.encoders.images import load_pixels
from elfs_plugin.errors import Cancelled
from elfs_plugin.evaluation.audit import pseudo_label_accuracy
from elfs_plugin.progress import Reporter
from elfs_plugin.proxy.config import ProxyConfig, resolve_proxy
from elfs_plugin.proxy.train import fit
from elfs_plugin.seeds import identity
from elfs_plugin.stages import STAGES, Stages, stage_weights

from . import keep_small
from .common import machine
from .contrastive import ContrastiveConfig, embed, train_encoder
from .results import Column, Table, mean_sd, percent, started

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
HELD_OUT = 0.2
SECONDS_TO_KEEP = 20
"""What ``--keep-small`` takes at the end of the time that is given."""
SEARCHED = {"auto": "as the scores", "mlp": "on embeddings", "resnet8": "on images", "resnet18": "on images, ResNet-18"}
"""What a β search can train -> its name in the table."""


@dataclass(frozen=True)
class Settings:
    """What is computed; the defaults are the paper's for CIFAR-10."""

    size: int = 32
    rates: tuple = (0.3, 0.5, 0.7, 0.8, 0.9)
    iterations: int = 40_000
    repeats: int = 3
    encoder: ContrastiveConfig = field(default_factory=ContrastiveConfig)
    clustering: ClusteringConfig = field(default_factory=ClusteringConfig.published)
    proxy: ProxyConfig = field(default_factory=ProxyConfig.resnet18)
    searches: tuple = ("auto",)
    final: ProxyConfig = field(default_factory=ProxyConfig.resnet18)

    @classmethod
    def small(cls):
        """For a CPU."""
        return cls(
            rates=(0.9, 0.7, 0.5),
            iterations=2000,
            clustering=ClusteringConfig.quick(),
            proxy=ProxyConfig.mlp(),
            searches=("mlp", "resnet8"),
            final=ProxyConfig.resnet8(members=1),
        )

    @classmethod
    def tiny(cls):
        """Every step of the way on 200 digits, in seconds: shows that it runs, and nothing else."""
        return cls(
            size=8,
            rates=(0.5, 0.8),
            iterations=2,
            repeats=1,
            encoder=ContrastiveConfig(epochs=1, batch_size=64),
            clustering=replace(ClusteringConfig.quick(), heads=2, min_steps=20, max_steps=20),
            proxy=ProxyConfig.resnet18(epochs=1, batch_size=64),
            searches=("auto", "mlp"),
            final=ProxyConfig.resnet18(batch_size=64),
        )


@dataclass(frozen=True)
class Split:
    """Image paths with their classes as numbers; ``truth`` is for audits and the final trainings."""

    paths: list
    truth: np.ndarray


class Clock:
    """Progress on standard error every few seconds, and the end of the time that is given."""

    def __init__(self, minutes=None, every=15.0):
        self._start = time.monotonic()
        self._end = float("inf") if minutes is None else self._start + 60 * minutes
        self._every = every
        self._shown = float("-inf")

    def expired(self):
        return time.monotonic() >= self._end

    def __call__(self, fraction, detail=""):
        if self.expired():
            raise Cancelled()
        if time.monotonic() - self._shown >= self._every:
            self._shown = time.monotonic()
            print(f"[{self._shown - self._start:5.0f} s] {fraction:4.0%} {detail}", file=sys.stderr, flush=True)

    def reporter(self):
        """A pipeline's reporter that shows the same lines and ends at the same time."""
        return Reporter(
            stage_weights(*STAGES), [lambda event: self(event.fraction, event.label)], is_cancelled=self.expired
        )


def find_images(root, limit=None):
    """(training split, test split, class names) of an image folder; ``limit`` images of each class and split."""
    root = Path(root)
    if (root / "train").is_dir():
        train = _by_class(root / "train")
        test = _by_class(root / "test") if (root / "test").is_dir() else None
    else:
        train, test = _by_class(root), None
    if len(train) < 2:
        raise SystemExit(f"{root} needs a folder of images for each of two classes or more.")
    if test is None:
        whole = train
        train = {name: paths[: len(paths) - max(1, int(HELD_OUT * len(paths)))] for name, paths in whole.items()}
        test = {name: paths[len(train[name]) :] for name, paths in whole.items()}
    names = list(train)
    if set(test) - set(names):
        raise SystemExit(f"The test split has classes that the training split lacks: {sorted(set(test) - set(names))}.")
    return _split(train, names, limit), _split(test, names, limit), names


def _by_class(root):
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    found = {f.name: sorted(p for p in f.iterdir() if p.suffix.lower() in SUFFIXES) for f in folders}
    return {name: paths for name, paths in found.items() if paths}


def _split(by_class, names, limit):
    pairs = [(path, names.index(name)) for name, paths in by_class.items() for path in paths[:limit]]
    return Split([path for path, _ in pairs], np.array([number for _, number in pairs], dtype=np.int64))


def write_digits(folder, per_class=25):
    """The first of scikit-learn's digits as ``<digit>/<number>.png``, for --tiny."""
    from PIL import Image
    from sklearn.datasets import load_digits

    data = load_digits()
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        for row in np.flatnonzero(data.target == digit)[:per_class]:
            Image.fromarray((data.images[row] * 15).astype(np.uint8)).save(folder / str(digit) / f"{row:04}.png")
    return folder


def load_split(folder, name, split, size, clock):
    """The decoded images of a split, kept as ``<name>.npy``; (pixels, truth) without those that cannot be read."""
    file, marker = folder / f"{name}.npy", folder / f"{name}.json"
    key = fingerprint([str(path) for path in split.paths], size)
    if file.is_file() and marker.is_file() and json.loads(marker.read_text())["key"] == key:
        return np.load(file), split.truth[np.array(json.loads(marker.read_text())["rows"], dtype=np.int64)]
    pixels = load_pixels(split.paths, size, progress=clock)
    for index, reason in pixels.failures.items():
        print(f"left out: {split.paths[index]}: {reason}", file=sys.stderr)
    marker.unlink(missing_ok=True)
    np.save(file, pixels.values)
    marker.write_text(json.dumps({"key": key, "rows": np.flatnonzero(pixels.ok).tolist()}))
    return np.asarray(pixels.values), split.truth[pixels.ok]


class Paper:
    """The stages in order; ``results`` grows as they finish."""

    def __init__(
        self, settings, images, folder, *, embeddings=None, clusters=None, limit=None, seeds=(0,), device="auto", clock
    ):
        self.settings = settings
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = resolve_device(device)
        self.seeds = seeds
        self.clock = clock
        self.store = StageStore(self.folder)
        self.splits = find_images(images, limit)
        self.vectors = None if embeddings is None else np.load(embeddings)
        self.clusters = clusters or len(self.splits[2])
        self.results = {
            "machine": machine(),
            "settings": json.loads(json.dumps(asdict(settings))),
            "clusters": self.clusters,
            "seeds": list(seeds),
            "finished": False,
            "seconds": {},
            "rates": {},
        }

    def run(self):
        train, test, names = self.splits
        pixels, truth = load_split(self.folder, "train", train, self.settings.size, self.clock)
        test_pixels, test_truth = load_split(self.folder, "test", test, self.settings.size, self.clock)
        self.results |= {"images": len(pixels), "test_images": len(test_pixels), "classes": len(names)}
        vectors = self._embeddings(pixels)
        pipe = self._pipeline("pipeline")
        graph, labels = pipe.pseudo_labels(vectors, self.clusters, config=self.settings.clustering)
        inputs = pixels if self.settings.proxy.on_images else vectors
        dynamics = pipe.dynamics(inputs, labels.labels, self.clusters, config=self.settings.proxy)
        self.results["seconds"] |= pipe.seconds
        # Audit: the only use of the classes before the final trainings.
        self.results["audit"] = {
            "same_class_neighbours": float(np.mean(truth[graph.indices] == truth[:, None])),
            "pseudo_label_accuracy": pseudo_label_accuracy(labels.labels, truth),
            "head_agreement": float(labels.agreement.mean()),
            "aum_of_wrong_labels": _wrong_label_ranking(dynamics.aum, labels.labels, truth),
        }
        for rate in self.settings.rates:
            self._compare(rate, vectors, labels.labels, dynamics.aum, (pixels, truth), (test_pixels, test_truth))
        self.results["finished"] = True

    def _pipeline(self, name):
        return Stages(seed=self.seeds[0], device=self.device, folder=self.folder / name, reporter=self.clock.reporter())

    def _embeddings(self, pixels):
        if self.vectors is not None:
            if len(self.vectors) != len(pixels):
                raise SystemExit(f"There are {len(pixels):,} training images and {len(self.vectors):,} embeddings.")
            return self.vectors.astype(np.float32)
        config, seed = self.settings.encoder, self.seeds[0]
        key = fingerprint(pixels, config.recipe(), seed)
        kept = self.store.load("embeddings", key)
        if kept is None:
            start = time.monotonic()
            encoder = train_encoder(
                pixels,
                config=config,
                seed=seed,
                device=self.device,
                checkpoint=self.folder / "encoder.training",
                progress=self.clock,
            )
            # Half precision halves the file; its error of 0.05% is far below what separates neighbours.
            kept = {
                "vectors": embed(encoder, pixels, self.device).astype(np.float16),
                "seconds": np.array(time.monotonic() - start),
            }
            self.store.save("embeddings", key, kept)
            (self.folder / "encoder.training").unlink(missing_ok=True)
        self.results["seconds"]["encoder (last sitting)"] = round(float(kept["seconds"]), 1)
        return kept["vectors"].astype(np.float32)

    def _compare(self, rate, vectors, labels, aum, train, test):
        """ELFS and Random at one pruning rate: trained on true labels, tested after the last step."""
        n = len(vectors)
        budget = max(1, round((1 - rate) * n))
        row = self.results["rates"].setdefault(f"{rate:.0%}", {"budget": budget, "beta": {}, "elfs": {}, "random": []})
        for seed in self.seeds:
            subset = np.sort(np.random.default_rng([seed, budget]).choice(n, budget, replace=False))
            row["random"].append(self._accuracy(f"random-{rate:.0%}-seed{seed}", subset, train, test, seed))
        for search in self.settings.searches:
            config = resolve_beta_proxy(search, self.settings.proxy)
            pipe = self._pipeline(f"prune-{rate:.0%}-{search}")
            inputs = train[0] if config.on_images else vectors
            beta = pipe.beta(inputs, labels, aum, budget, repeats=self.settings.repeats, config=config).chosen
            row["beta"][search] = beta
            self.results["seconds"][f"β search, {rate:.0%} pruned, {search} (last sitting)"] = pipe.seconds["beta"]
            subset = np.sort(pipe.select(aum, budget, beta).coreset)
            for seed in self.seeds:
                # Named by β: two searches that agree share their trainings.
                found = self._accuracy(f"elfs-{rate:.0%}-beta{beta:g}-seed{seed}", subset, train, test, seed)
                row["elfs"].setdefault(search, []).append(found)

    def _accuracy(self, name, subset, train, test, seed):
        config = replace(self.settings.final, steps=self.settings.iterations, epochs=1)
        key = fingerprint(train[0], train[1], subset, test[0], test[1], config.to_dict(), identity(seed))
        kept = self.store.load(name, key)
        if kept is None:

            def progress(fraction, detail=""):
                self.clock(fraction, f"{name}: {detail}")

            model = fit(
                train[0][subset],
                train[1][subset],
                num_classes=len(self.splits[2]),
                config=config,
                seed=seed,
                device=self.device,
                checkpoint=self.folder / f"{name}.training",
                progress=progress,
            )
            kept = {"accuracy": np.array(np.mean(model.predict(test[0]) == test[1]))}
            self.store.save(name, key, kept)
        return float(kept["accuracy"])


def _wrong_label_ranking(aum, labels, truth):
    """The chance that a wrong pseudo-label has a lower AUM than a right one (0.5: AUM does not tell them apart), with
    each cluster named after its most frequent class."""
    from sklearn.metrics import roc_auc_score

    names = {cluster: np.bincount(truth[labels == cluster]).argmax() for cluster in np.unique(labels)}
    wrong = np.array([names[label] for label in labels]) != truth
    return float(roc_auc_score(wrong, -aum)) if 0 < wrong.sum() < len(wrong) else None


def accuracy_table(results):
    """Test accuracies of ELFS with each β search, and of Random, for every pruning rate."""
    searches = results["settings"]["searches"]
    columns = ["images kept", "pruned"]
    for name in searches:
        told = SEARCHED.get(name, name)
        columns += [Column(f"β {told}", 2), percent(f"ELFS, β {told}")]
    table = Table([*columns, percent("Random")])
    for rate, row in results["rates"].items():
        found = [(row["beta"].get(name), mean_sd(row["elfs"].get(name, []))) for name in searches]
        table.add(row["budget"], rate, *(cell for pair in found for cell in pair), mean_sd(row["random"]))
    return table


def tables(results):
    """What is known so far, as {name: Table}."""
    found = {}
    if "audit" in results:
        found["audit"] = Table(["audit against true labels", Column("share", 3)])
        for name, value in results["audit"].items():
            found["audit"].add(name.replace("_", " "), value)
    if results["rates"]:
        found["accuracies"] = accuracy_table(results)
    if results["seconds"]:
        found["seconds"] = Table(["stage", "seconds"])
        for name, value in results["seconds"].items():
            found["seconds"].add(name, value)
    return found


def report(results):
    """The results as Markdown."""
    lines = [results["machine"]]
    if "images" in results:
        lines += [
            "",
            f"{results['images']:,} images, {results['clusters']} clusters, {results['test_images']:,} test images.",
        ]
    if not results["finished"]:
        lines += ["", "**Not finished**: give the same command again."]
    for table in tables(results).values():
        lines += ["", table.markdown()]
    return "\n".join(lines) + "\n"


def write_results(folder, results):
    for name, text in {"results.json": json.dumps(results, indent=1), "results.md": report(results)}.items():
        partial = folder / f"{name}.partial"
        partial.write_text(text)
        os.replace(partial, folder / name)


def keep(options):
    """Packs the folder into small pieces, and says so."""
    pieces, left_out = keep_small.pack(options.folder, options.keep_small, apart=[options.images, options.keep_small])
    size = sum(path.stat().st_size for path in pieces) / 1e6
    print(f"Kept in {options.keep_small}: {len(pieces)} pieces, {size:.1f} MB.", file=sys.stderr)
    if left_out:
        print(f"Too large to be kept, and made again elsewhere: {', '.join(left_out)}.", file=sys.stderr)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="image folder, one folder per class (see above)")
    parser.add_argument("--folder", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--minutes", type=float, help="stop cleanly after so many minutes")
    parser.add_argument("--keep-small", type=Path, metavar="PIECES", help="also keep it in small pieces (see above)")
    parser.add_argument("--small", action="store_true", help="the same way for a CPU (see above)")
    parser.add_argument(
        "--embeddings",
        type=Path,
        help="(N, D) .npy of the training images in sorted order, in the place of a trained encoder",
    )
    parser.add_argument("--tiny", action="store_true", help="all steps on a few digits, in seconds, on a CPU too")
    parser.add_argument("--clusters", type=int, help="clusters (default: as many as there are class folders)")
    parser.add_argument("--limit", type=int, help="so many images of each class and split")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the final trainings")
    parser.add_argument("--rates", type=float, nargs="+", help="pruning rates")
    parser.add_argument("--iterations", type=int, help="optimiser steps of each final training")
    parser.add_argument("--proxy", help="what makes the scores: mlp, resnet8, resnet18, resnet18_fast")
    parser.add_argument("--searches", nargs="+", help="what the β search trains: auto (as the scores), mlp, resnet8, …")
    parser.add_argument("--repeats", type=int, help="held-out splits of the β search")
    parser.add_argument("--encoder-epochs", type=int)
    parser.add_argument("--proxy-epochs", type=int)
    parser.add_argument("--compile", default="auto", help="auto, off, or a mode of torch.compile (on a GPU)")
    parser.add_argument("--device", default="auto")
    options, recording = started("paper", parser, arguments)
    settings = Settings.tiny() if options.tiny else Settings.small() if options.small else Settings()
    changes = {
        "rates": options.rates and tuple(options.rates),
        "iterations": options.iterations,
        "proxy": options.proxy and resolve_proxy(options.proxy),
        "searches": options.searches and tuple(options.searches),
        "repeats": options.repeats,
    }
    settings = replace(settings, **{name: value for name, value in changes.items() if value})
    encoder = {"epochs": options.encoder_epochs or settings.encoder.epochs, "compile": options.compile}
    proxy = {"epochs": options.proxy_epochs or settings.proxy.epochs, "compile": options.compile}
    settings = replace(
        settings,
        encoder=replace(settings.encoder, **encoder),
        proxy=replace(settings.proxy, **proxy),
        final=replace(settings.final, compile=options.compile),
    )
    if options.images is None:
        if not options.tiny:
            parser.error("--images is needed (or --tiny)")
        options.images = write_digits(options.folder / "images")
    if options.keep_small is not None:
        found = keep_small.unpack(options.keep_small, options.folder)
        if found:
            print(f"{len(found)} files were kept in {options.keep_small}; it goes on from there.", file=sys.stderr)
        if options.minutes is not None:
            options.minutes = max(0.0, options.minutes - SECONDS_TO_KEEP / 60)
    paper = Paper(
        settings,
        options.images,
        options.folder,
        embeddings=options.embeddings,
        clusters=options.clusters,
        limit=options.limit,
        seeds=options.seeds,
        device=options.device,
        clock=Clock(options.minutes),
    )
    try:
        paper.run()
    except Cancelled:
        print("Out of time: give the same command again and it goes on from here.", file=sys.stderr)
    finally:
        write_results(paper.folder, paper.results)
        if options.keep_small is not None:
            keep(options)
    if not paper.results["finished"]:
        print("Not finished: give the same command again.")
    recording.finish(tables(paper.results))
    return paper.results


if __name__ == "__main__":
    main()
