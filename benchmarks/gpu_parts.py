"""What ``benchmarks.gpu`` measures, part by part, on one device. Data and seeds are the same on both sides, so that
what they find can be compared."""

import contextlib
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from elfs_plugin.beta_search.search import candidate, search_beta
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster, standardize
from elfs_plugin.clustering.temi import Heads
from elfs_plugin.clustering.temi_training import Training, kmeans_targets
from elfs_plugin.devices import generator, matmul_dtype, reuse_heap
from elfs_plugin.encoders.embed import embed_images, load_encoder
from elfs_plugin.encoders.images import decode, load_pixels, read_image
from elfs_plugin.encoders.jpeg_on_device import JpegDecoder
from elfs_plugin.encoders.preprocessing import recognised
from elfs_plugin.errors import Cancelled
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.progress import silent
from elfs_plugin.proxy import members
from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.proxy.train import fit, train_proxy

from .manifold import manifold
from .paper import SUFFIXES

NETWORK = "tf_efficientnet_lite0"
"""0.4 GFLOP an image; its weights are drawn at random, for nothing is downloaded."""

CLASSES = 10


@dataclass(frozen=True)
class Size:
    """How much there is of everything."""

    samples: int = 50_000
    dimensions: int = 384
    k: int = 50
    side: int = 32
    files: int = 3000
    budget: int = 5000
    candidate_steps: int = 500
    repeats: int = 3
    agreement: int = 1000
    heads: int = 50
    network: str = NETWORK

    @classmethod
    def tiny(cls):
        return cls(120, 12, 8, 8, 6, 20, 3, 1, 20, 2, "test_resnet")


@dataclass(frozen=True)
class Inputs:
    """(N, D) ``vectors``, (N, 3, S, S) ``images``, (N,) ``labels``, and the ``files`` to be embedded."""

    vectors: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    files: list
    graphs: dict = field(default_factory=dict)

    def graph(self, k, device):
        """The neighbours, found once."""
        if k not in self.graphs:
            self.graphs[k] = knn_graph(self.vectors, k, method="exact", device=device)
        return self.graphs[k]


class Pace:
    """A progress that notes when it was told what, and ends what it is told of when the time is up."""

    def __init__(self, seconds):
        self._end = time.monotonic() + seconds
        self._told = [(time.monotonic(), 0.0)]

    def __call__(self, fraction, detail=""):
        self._told.append((time.monotonic(), fraction))
        if time.monotonic() >= self._end:
            raise Cancelled()

    @contextlib.contextmanager
    def until_then(self):
        with contextlib.suppress(Cancelled):
            yield

    @property
    def fraction(self):
        return self._told[-1][1]

    def whole(self):
        """Seconds that all of it takes, from its beginning."""
        return (self._told[-1][0] - self._told[0][0]) / max(self.fraction, 1e-9)

    def settled(self):
        """Seconds that all of it would take at the pace after the first report, in which a GPU gets ready."""
        told = [told for told in self._told if told[1] > 0]
        if len(told) < 3 or told[-1][1] <= told[0][1]:
            return self.whole()
        return (told[-1][0] - told[0][0]) / (told[-1][1] - told[0][1])


def inputs(size, folder, images=None, embeddings=None, seed=0):
    """The data of a size: images below the folder ``images`` where there are any, else drawn at random."""
    vectors = (
        np.load(embeddings).astype(np.float32)[: size.samples]
        if embeddings
        else manifold(size.samples, size.dimensions, seed=seed).vectors
    )
    found = [] if images is None else sorted(p for p in Path(images).rglob("*") if p.suffix.lower() in SUFFIXES)
    n = len(vectors)
    if found:
        chosen = [found[i] for i in np.linspace(0, len(found) - 1, n).astype(int)]
        pixels = load_pixels(chosen, size.side)
        pictures, labels = np.asarray(pixels.values), _by_folder(chosen)[pixels.ok]
    else:
        pictures, labels = synthetic_images(n, size.side, seed)
    return Inputs(vectors, pictures, labels, jpeg_files(size, folder, found, seed))


def _by_folder(paths):
    names = sorted({path.parent.name for path in paths})
    return np.array([names.index(path.parent.name) for path in paths])


def synthetic_images(n, side, seed=0):
    """(n, 3, side, side) uint8 images of ten coarse patterns under noise, and their labels."""
    rng = np.random.default_rng([seed, 1])
    coarse = rng.integers(0, 256, (CLASSES, 3, 4, 4))
    patterns = coarse.repeat(-(-side // 4), axis=2).repeat(-(-side // 4), axis=3)[:, :, :side, :side]
    labels, images = rng.integers(CLASSES, size=n), np.empty((n, 3, side, side), dtype=np.uint8)
    for start in range(0, n, 4096):
        some = labels[start : start + 4096]
        noise = rng.normal(0, 60, (len(some), 3, side, side))
        images[start : start + 4096] = (patterns[some] + noise).clip(0, 255)
    return images, labels


def jpeg_files(size, folder, found, seed=0):
    """As many files as are embedded: half of them those found, the others written, 32 to 500 pixels a side."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    rng, written = np.random.default_rng([seed, 2]), []
    own = size.files - min(len(found), size.files // 2)
    for number in range(own):
        path = folder / f"{number:05}.jpg"
        side = int(np.exp(rng.uniform(np.log(32), np.log(500))))
        noise = rng.integers(0, 256, (max(2, side // 8), max(2, side // 8), 3), dtype=np.uint8)
        if not path.exists():
            Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(path)
        written.append(path)
    return written + found[: size.files - own]


# The parts. Each is given the inputs, the size, the device, and the seconds it may take; it returns {number: value} and
# {name: array to be compared}.


def neighbors(data, size, device, seconds):
    if device.type == "cuda":
        knn_graph(data.vectors[:1000], 10, method="exact", device=device)  # starts the device
    start = time.perf_counter()
    graph = data.graph(size.k, device)
    found = {"indices": graph.indices[: size.agreement], "similarities": graph.similarities[: size.agreement]}
    return {"seconds": time.perf_counter() - start}, found


def k_means(data, size, device, seconds):
    vectors = torch.from_numpy(standardize(data.vectors)).to(device)
    start = time.perf_counter()
    labels = kmeans_targets(vectors, CLASSES, 4, 0, silent, device=device).numpy()
    return {"seconds": time.perf_counter() - start}, {"labels": labels[:, : size.agreement]}


def quick_clustering(data, size, device, seconds):
    graph = data.graph(size.k, device)
    pace, labels = Pace(seconds), None
    with pace.until_then():
        labels = cluster(data.vectors, graph, CLASSES, device=device, progress=pace).labels
    return {"seconds": pace.whole(), "measured_share": pace.fraction}, {} if labels is None else {"labels": labels}


def published_clustering(data, size, device, seconds):
    """Steps of the published recipe, by themselves; the losses of the first are compared."""
    config = replace(ClusteringConfig.published(), heads=size.heads)
    batch, per_epoch, total = config.schedule(len(data.vectors))
    vectors = torch.from_numpy(standardize(data.vectors)).to(device)
    near = torch.from_numpy(data.graph(size.k, device).indices).to(device)
    student = Heads(config.heads, vectors.shape[1], CLASSES, dtype=matmul_dtype(device), generator=generator(0))
    training = Training(student.to(device), vectors, near, config, batch, per_epoch, total, 0)
    losses, taken = [], 0
    with reuse_heap(device):
        for _ in range(6):  # those in which a GPU gets ready
            losses.append(training.advance().double().cpu().numpy())
            training.step += 1
        start = time.perf_counter()
        while time.perf_counter() - start < seconds and training.step < total:
            loss = training.advance()
            training.step, taken = training.step + 1, taken + 1
            if taken % 25 == 0 or device.type == "cpu":
                loss.sum().item()  # waits for the device
        rate = taken / (time.perf_counter() - start)
    numbers = {"steps_per_second": rate, "seconds": total / rate, "steps": taken, "captured": training.captured}
    return numbers, {"losses": np.stack(losses)}


def _pace_of_proxy(data, config, device, seconds):
    """Images a second of a proxy after its start, and the seconds of an epoch."""
    pace = Pace(seconds)
    with pace.until_then():
        train_proxy(data.images, data.labels, num_classes=CLASSES, config=config, device=device, progress=pace)
    epoch = pace.settled() / config.epochs
    return {"seconds": epoch, "images_per_second": len(data.images) / epoch, "measured_share": pace.fraction}


def _learnt(data, config, size, device):
    """How a few images are learnt, in float32 and the repeatable way, and the logits of the first steps."""
    images, labels = data.images[: size.agreement], data.labels[: size.agreement]
    few = replace(config, epochs=1, steps=3, batch_size=64, precision="float32")
    logits = []
    fit(
        images,
        labels,
        num_classes=CLASSES,
        config=few,
        device=device,
        on_batch=lambda rows, z, y: logits.append(z.double().cpu().numpy().ravel()),
    )
    short = replace(few, steps=None, epochs=4, learning_rate=0.02)
    aum = train_proxy(images, labels, num_classes=CLASSES, config=short, device=device).aum
    return {"logits": np.concatenate(logits[:2]), "aum": aum}


def resnet8(data, size, device, seconds):
    """Four small ResNets; on a GPU also every other way to compute them side by side."""
    config, numbers = ProxyConfig.resnet8(epochs=10), {}
    ways = members.WAYS if device.type == "cuda" else ("sequential",)
    chosen = members.ON_GPU
    try:
        for way in ways:
            members.ON_GPU = way
            numbers[way] = _pace_of_proxy(data, config, device, seconds / len(ways))
    finally:
        members.ON_GPU = chosen
    own = numbers[chosen if device.type == "cuda" else "sequential"]
    others = {f"images_per_second_{way}": found["images_per_second"] for way, found in numbers.items()}
    return {**own, **others}, _learnt(data, replace(config, members=2), size, device)


def resnet18(data, size, device, seconds):
    """As the trainings of the method take it: the proxy, and the last training of 5,000 steps of 256."""
    config = ProxyConfig.resnet18(epochs=4, compile="off")
    numbers = _pace_of_proxy(data, config, device, seconds)
    numbers["seconds_of_5000_steps"] = 5000 * config.batch_size / numbers["images_per_second"]
    return numbers, _learnt(data, config, replace(size, agreement=min(size.agreement, 256)), device)


def beta_search(data, size, device, seconds):
    """27 trainings of small ResNets for a budget of a tenth."""
    config = replace(candidate(ProxyConfig.resnet8()), steps=size.candidate_steps)
    scores = np.random.default_rng(3).normal(size=len(data.images))
    grid = np.linspace(0, 0.8, 9)
    pace, found = Pace(seconds), {}
    with pace.until_then():
        search = search_beta(
            data.images,
            data.labels,
            scores,
            size.budget,
            grid=grid,
            repeats=size.repeats,
            config=config,
            device=device,
            progress=pace,
        )
        found = {"accuracies": search.accuracies}
    trainings = len(grid) * size.repeats
    rate = trainings * size.candidate_steps / pace.whole()
    return {"seconds": pace.whole(), "steps_per_second": rate, "measured_share": pace.fraction}, found


def decoding(data, size, device, seconds):
    """JPEG files to what a network takes: on a CPU in threads, on a GPU by its own decoder."""
    preprocessing = recognised(timm_transform(size))
    make = decoded_by_device if device.type == "cuda" else decoded_in_threads
    next(make(data.files[:DECODED_AT_ONCE], preprocessing, device))  # starts the device
    done, first, start = 0, None, time.perf_counter()
    with contextlib.closing(make(data.files, preprocessing, device)) as portions:
        for portion in portions:
            first = portion if first is None else first
            done += len(portion)
            if time.perf_counter() - start >= seconds:
                break
    rate = done / (time.perf_counter() - start)
    coarse = torch.nn.functional.adaptive_avg_pool2d(first.float().cpu(), 16).flatten(1)
    return {"images_per_second": rate, "seconds": 1e5 / rate}, {"vectors": coarse.numpy()}


def timm_transform(size):
    import timm

    model = timm.create_model(size.network, pretrained=False, num_classes=0)
    return timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)


DECODED_AT_ONCE = 64


def decoded_in_threads(files, preprocessing, device):
    """Yields (B, 3, H, W) float32 of the files in order."""
    values = []
    for number, (_, value) in enumerate(decode(files, preprocessing.pixels), start=1):
        values.append(value)
        if len(values) == DECODED_AT_ONCE or number == len(files):
            yield preprocessing.numbers(torch.from_numpy(np.stack(values)))
            values = []


def decoded_by_device(files, preprocessing, device):
    """The same by :class:`JpegDecoder`, threads reading ahead."""
    decoder = JpegDecoder(preprocessing, device, lambda path: read_image(path, preprocessing.pixels))
    values = []
    for number, (_, value) in enumerate(decode(files, preprocessing.pixels, read=decoder.read), start=1):
        values.append(value)
        if len(values) == DECODED_AT_ONCE or number == len(files):
            found = decoder.numbers(values)
            found[-1, 0, 0, 0].item()  # waits for the device
            yield found
            values = []
    if decoder.refused:
        print(f"{decoder.refused} of {len(files)} files were refused", flush=True)


def embedding(data, size, device, seconds):
    """Images a second from JPEG files, by the plugin's own encoder with weights drawn at random; on a GPU also with the
    files decoded there, and on the CPU, whatever the trial says."""
    import timm

    weights = data.files[0].parent / "weights.pth"
    torch.manual_seed(0)
    torch.save(timm.create_model(size.network, pretrained=False, num_classes=0).state_dict(), weights)
    name = f"timm:{size.network}"
    first = embed_images(data.files[: min(48, len(data.files))], name, weights=weights, device=str(device))
    ways = {"": None}
    if device.type == "cuda":
        ways |= {"_gpu_decodes": True, "_cpu_decodes": False}
    numbers = {}
    for way, chosen in ways.items():
        pace, encoder = Pace(seconds / len(ways)), load_encoder(name, weights=weights, device=str(device))
        with pace.until_then(), _decoding_chosen(chosen):
            embed_images(data.files, encoder, progress=pace)
        numbers[f"images_per_second{way}"] = rate = len(data.files) / pace.settled()
        if chosen is None:
            numbers |= {"seconds": 1e5 / rate, "measured_share": pace.fraction, "inference": encoder.inference}
    return numbers, {"vectors": first.vectors}


def _decoding_chosen(chosen):
    """Whether a GPU decodes, without a trial; None leaves it to the trial."""
    if chosen is None:
        return contextlib.nullcontext()
    return mock.patch.object(JpegDecoder, "agrees", lambda *given, **options: chosen)


PARTS = {
    "neighbors": neighbors,
    "k_means": k_means,
    "quick_clustering": quick_clustering,
    "published_clustering": published_clustering,
    "resnet8": resnet8,
    "beta_search": beta_search,
    "resnet18": resnet18,
    "decoding": decoding,
    "embedding": embedding,
}
"""In the order in which they are measured."""

SHARES = {
    "neighbors": 1,
    "k_means": 1,
    "quick_clustering": 6,
    "published_clustering": 2,
    "resnet8": 3,
    "beta_search": 4,
    "resnet18": 2,
    "decoding": 1,
    "embedding": 3,
}
"""Of the time."""


def two_threads():
    """Limits this process to two threads, and to two cores where the system can."""
    torch.set_num_threads(2)
    import faiss

    faiss.omp_set_num_threads(2)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
