"""Embedding image files beside FiftyOne and a plain DataLoader: python -m benchmarks.embedding --images 600 --rounds 2.

The same timm networks with the same random weights, on JPEG files made for it; every way in a process of its own, one
after the other and so again in each round, of which the best counts. Loading the network is not part of the time. *CPU*
is the time of all processors together, helper processes included, which other work on the machine changes less. Of
that, *choosing* is what it takes once to find out by what to compute: with OpenVINO the network is converted, whatever
the number of images (elsewhere only from 2,000 on).
"""

import argparse
import contextlib
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

from .common import in_own_process
from .photographs import photographs
from .results import Column, Table, started

WAYS = {
    "here": "here",
    "openvino": "here, OpenVINO where it is quicker",
    "float32": "here, float32 alone",
    "openvino32": "here, float32 alone, OpenVINO where it is quicker",
    "fiftyone": "FiftyOne, `compute_embeddings`",
    "dataloader": "plain DataLoader, float32",
}
OTHERS = ("fiftyone", "dataloader")
BATCH = 32
NEIGHBORS = 10
PYTORCH = "float32 by PyTorch"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--models", nargs="+", default=["resnet18", "vit_small_patch16_224"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the DataLoader and of FiftyOne")
    parser.add_argument("--folder", help="for the images, to keep them for the next time")
    parser.add_argument("--here", action="store_true", help="one way in this process; ends with JSON")
    parser.add_argument("--vectors", help="where --here leaves the vectors")
    options, recording = started("embedding", parser, arguments)
    if options.here:
        print(json.dumps(run(options.ways[0], options.models[0], options)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or f"{temporary}/images"
        photographs(options.folder, options.images)
        took = {key: took_of(*key, temporary, options) for key in rounds_of(options)}
        tables = {"speed": speed_table(took, options), "agreement": agreement_table(temporary, options)}
    recording.finish(tables)


def rounds_of(options):
    """(model, way, round), the ways alternating."""
    return [(m, w, r) for m in options.models for r in range(options.rounds) for w in options.ways]


def took_of(model, way, at, temporary, options):
    found = in_own_process(
        "benchmarks.embedding",
        *("--here", "--images", options.images, "--models", model, "--ways", way, "--folder", options.folder),
        *("--workers", options.workers, "--vectors", vectors_file(temporary, model, way)),
    )
    print(f"{model}, {way}, round {at + 1}: {options.images / found['seconds']:.1f} images/s", flush=True)
    return found


def vectors_file(temporary, model, way):
    return Path(temporary, f"{model}-{way}.npy")


def run(way, model_name, options):
    """{"seconds", "processors", "by", "choosing"} of one way."""
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model(model_name, pretrained=False, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    paths = photographs(options.folder, options.images)
    with PREPARED[way](model, transform, paths, options) as embed:
        worked, start = _processors(), time.perf_counter()
        vectors = embed()
        seconds = time.perf_counter() - start
        by, choosing = getattr(embed.__self__, "by", PYTORCH), getattr(embed.__self__, "choosing", 0.0)
    np.save(options.vectors, vectors)
    return {"seconds": seconds, "processors": _processors() - worked, "by": by, "choosing": choosing}


def _processors():
    """Seconds of this process and of those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


class Here:
    """``embed_images`` as a run uses it, its blocks kept on the disk, by PyTorch."""

    reduced, openvino = True, False

    def __init__(self, model, transform, paths, options):
        import torch

        from elfs_plugin.encoders import openvino_network, torch_encoder

        self._encoder = torch_encoder.TorchEncoder("random", model, transform, torch.device("cpu"))
        self._paths, self._after = paths, contextlib.ExitStack()
        self._folder = self._after.enter_context(tempfile.TemporaryDirectory())
        self._after.enter_context(mock.patch.object(openvino_network, "WORTHWHILE", 0))
        if not self.openvino:
            self._after.enter_context(mock.patch.object(openvino_network, "engine", lambda: None))
        if not self.reduced:
            self._after.enter_context(mock.patch.object(torch_encoder, "quick_kinds", lambda device: []))
            settle = self._encoder.settle
            self._encoder.settle = lambda values, smaller: settle(values)
        self._encoder.settle = self._timed(self._encoder.settle)
        self.choosing = 0.0

    def _timed(self, settle):
        def timed(*given):
            worked = _processors()
            settle(*given)
            self.choosing += _processors() - worked

        return timed

    def __enter__(self):
        return self._embed

    def __exit__(self, *_):
        self._after.close()

    def _embed(self):
        from elfs_plugin.encoders.embed import embed_images

        return embed_images(self._paths, self._encoder, kept=f"{self._folder}/blocks").vectors

    @property
    def by(self):
        return self._encoder.inference


class Exactly(Here):
    """The same without fewer bits."""

    reduced = False


class WithOpenVino(Here):
    """As a run uses it where OpenVINO is installed."""

    openvino = True


class ExactlyWithOpenVino(WithOpenVino):
    """As on a processor that computes in nothing quicker than float32."""

    reduced = False


class FiftyOne:
    """``compute_embeddings`` of a new dataset, in a database of its own."""

    def __init__(self, model, transform, paths, options):
        from faults.mongod import Mongod

        self._folder = tempfile.TemporaryDirectory()
        self._server = Mongod(f"{self._folder.name}/mongo")
        os.environ.update(
            FIFTYONE_DATABASE_URI=self._server.uri,
            FIFTYONE_DATABASE_VALIDATION="false",
            FIFTYONE_DO_NOT_TRACK="true",
            FIFTYONE_SHOW_PROGRESS_BARS="false",
        )
        import fiftyone as fo
        import fiftyone.utils.torch as fout

        config = {"model": model, "transforms": transform, "as_feature_extractor": True, "ragged_batches": False}
        self._model = fout.TorchImageModel(fout.TorchImageModelConfig(config))
        self._dataset = fo.Dataset()
        self._dataset.add_samples([fo.Sample(str(path)) for path in paths], progress=False)
        self._workers = options.workers

    def __enter__(self):
        return self._embed

    def __exit__(self, *_):
        self._dataset.delete()
        self._server.stop()
        self._folder.cleanup()

    def _embed(self):
        found = self._dataset.compute_embeddings(
            self._model, batch_size=BATCH, num_workers=self._workers, skip_failures=True, progress=False
        )
        return np.asarray(found, dtype=np.float32)


class Loader:
    """What one would write: a DataLoader, the network in float32, ``inference_mode``."""

    def __init__(self, model, transform, paths, options):
        from torch.utils.data import DataLoader

        self._model = model.requires_grad_(False)
        self._loader = DataLoader(Files(paths, transform), BATCH, num_workers=options.workers)

    def __enter__(self):
        return self._embed

    def __exit__(self, *_):
        pass

    def _embed(self):
        import torch

        with torch.inference_mode():
            return torch.cat([self._model(batch) for batch in self._loader]).numpy()


class Files:
    def __init__(self, paths, transform):
        self._paths, self._transform = paths, transform

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        from PIL import Image

        return self._transform(Image.open(self._paths[index]).convert("RGB"))


PREPARED = {
    "here": Here,
    "openvino": WithOpenVino,
    "float32": Exactly,
    "openvino32": ExactlyWithOpenVino,
    "fiftyone": FiftyOne,
    "dataloader": Loader,
}


def speed_table(took, options):
    head = ["network", "way", "by", "images/s", "choosing, CPU s", "CPU, ms an image"]
    table = Table([*head, Column("times as fast", 2), Column("by CPU", 2)])
    for model in options.models:
        rounds = {way: [took[model, way, r] for r in range(options.rounds)] for way in options.ways}
        best = {way: min(round["seconds"] for round in rounds[way]) for way in options.ways}
        worked = {way: min(map(_processors_after, rounds[way])) for way in options.ways}
        for way in options.ways:
            ratios = [None if way in OTHERS else of_faster(times, way) for times in (best, worked)]
            by, choosing = rounds[way][-1]["by"], min(round["choosing"] for round in rounds[way])
            speed = options.images / best[way], choosing, 1000 * worked[way] / options.images
            table.add(model, WAYS[way], by, *speed, *ratios)
    return table


def _processors_after(round):
    """Without the choosing, which does not grow with the images."""
    return round["processors"] - round["choosing"]


def of_faster(times, way):
    """How many times as fast ``way`` is as the faster of the others; None without any."""
    others = [times[other] for other in OTHERS if other in times]
    return min(others) / times[way] if others else None


def agreement_table(folder, options):
    """How far the vectors are from those of the plain DataLoader."""
    share = f"of {NEIGHBORS} neighbours the same, %"
    table = Table(["network", "way", Column("least cosine", 5), Column("mean cosine", 5), Column(share)])
    for model in options.models if "dataloader" in options.ways else []:
        expected = unit(np.load(vectors_file(folder, model, "dataloader")))
        for way in options.ways:
            if way != "dataloader":
                given = unit(np.load(vectors_file(folder, model, way)))
                cosines = (expected * given).sum(axis=1)
                same = 100 * same_neighbors(expected, given)
                table.add(model, WAYS[way], cosines.min(), cosines.mean(), same)
    return table


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def same_neighbors(one, other, k=NEIGHBORS):
    """The share of the k nearest by cosine that two sets of unit vectors (N, D) have in common."""

    def nearest(vectors):
        similar = vectors @ vectors.T
        np.fill_diagonal(similar, -2)
        return np.argpartition(-similar, k, axis=1)[:, :k]

    return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(nearest(one), nearest(other))]))


if __name__ == "__main__":
    main()
