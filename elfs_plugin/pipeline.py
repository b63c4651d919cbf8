"""The stages in order: images → embeddings → neighbours → pseudo-labels → dynamics → β → zones.

Each stage of :class:`Pipeline` first looks for its own finished result and hands what it made to ``on_stage``.
"""

import json
import os
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np

from .arrays import as_array, as_matrix, is_tensor
from .beta_search.search import DEFAULT_REPEATS, BetaSearch, candidate, search_beta, validate_search
from .checkpoints import StageStore, fingerprint
from .clustering.count import ClusterCount, estimate
from .clustering.pseudo_labels import ClusteringConfig, PseudoLabels, cluster, validate_num_clusters
from .devices import has_gpu, resolve_device
from .encoders.embed import Embeddings, embed_images, validate_vectors
from .encoders.images import DEFAULT_IMAGE_SIZE, load_pixels
from .errors import InvalidInput
from .neighbors.graph import NeighborGraph, exact_is_quick, knn_graph, suggest_k
from .progress import Reporter, part
from .proxy.dynamics import Dynamics
from .proxy.kinds import TIMM, check_proxy
from .proxy.train import ProxyConfig, train_proxy
from .pruning.scores import HARD_WHEN
from .pruning.zones import Zones, double_end, resolve_beta, resolve_budget
from .validation import shown, validate_image_size, validate_neighbors, validate_seed

STAGES = {
    "embeddings": "Embedding images",
    "cluster_count": "Estimating the number of clusters",
    "neighbors": "Finding neighbours",
    "pseudo_labels": "Clustering (TEMI)",
    "dynamics": "Training the proxy",
    "beta": "Searching β",
    "selection": "Selecting the coreset",
}
"""Stage key -> the name that is shown, in order."""

_WEIGHTS = {
    "embeddings": 10,
    "cluster_count": 20,
    "neighbors": 15,
    "pseudo_labels": 50,
    "dynamics": 10,
    "beta": 15,
    "selection": 1,
}

_WEIGHTS_ON_IMAGES = {"dynamics": 250, "beta": 500}
"""The same of those stages when small ResNets are trained in them."""

_PROXY_OF = {"dynamics": "proxy", "beta": "beta_proxy"}
"""The parameter that decides what a stage trains."""

DECODING_SHARE = 0.05
"""Share of the dynamics stage that decoding the images takes, for its progress."""


def stage_weights(*stages, on_images=()):
    """Expected shares of the work for a :class:`~.progress.Reporter`, by shown name; the stages ``on_images`` train on
    images and not on embeddings."""
    weights = {**_WEIGHTS, **{stage: _WEIGHTS_ON_IMAGES[stage] for stage in on_images}}
    return {STAGES[stage]: weights[stage] for stage in stages}


@dataclass(frozen=True)
class ElfsResult:
    """Everything a run made. M of the N given samples could be used: ``embeddings.ok`` says which; all arrays of the
    later stages are (M,) in the same order."""

    embeddings: Embeddings
    cluster_count: ClusterCount | None
    neighbors: NeighborGraph
    pseudo_labels: PseudoLabels
    dynamics: Dynamics
    beta_search: BetaSearch | None
    beta: float
    zones: Zones
    seconds: dict


class Pipeline:
    """Runs stages with one seed, one device, one progress bar and one folder of finished stages.

    Args:
        folder: where finished stages are kept (None: nowhere)
        reporter: a :class:`~.progress.Reporter` that knows the stages to be run
        on_stage: called with (stage key, result, seconds) after each stage
    """

    def __init__(self, *, seed=0, device="auto", folder=None, reporter=None, on_stage=None):
        self.seed = seed
        resolve_device(device)  # one that is not there is refused before anything is computed
        self.device = device
        self.reporter = reporter or Reporter(stage_weights(*STAGES))
        self.store = StageStore(folder, on_problem=self.reporter.warn)
        self.seconds = {}
        self.resumed = []
        self._on_stage = on_stage

    def _run(self, stage, key, compute, pack, unpack, progress=None):
        start = time.monotonic()
        progress = progress or self.reporter.stage(STAGES[stage])
        arrays = self.store.load(stage, key)
        if arrays is not None:
            result = unpack(arrays)
            self.resumed.append(stage)
            progress(1.0, "resumed")
        else:
            result = compute(progress)
            self.store.save(stage, key, pack(result))
        self.seconds[stage] = round(time.monotonic() - start, 3)
        if self._on_stage is not None:
            self._on_stage(stage, result, self.seconds[stage])
        return result

    def embed(self, paths, encoder, *, weights=None, compute=None):
        """Embeds N image files; ``compute(progress) -> Embeddings`` replaces :func:`embed_images` for other models."""
        files = [*paths, *([] if weights is None else [weights])]
        key = fingerprint("embeddings", [str(p) for p in paths], str(encoder), str(weights), _modified(files))

        def default(progress):
            return embed_images(paths, encoder, weights=weights, device=self.device, progress=progress)

        return self._run("embeddings", key, compute or default, _pack_embeddings, _unpack_embeddings)

    def count_clusters(self, vectors):
        """How many clusters (M, D) vectors seem to have, with the evidence."""
        return self._run(
            "cluster_count",
            fingerprint("cluster_count", vectors, self.seed),
            lambda progress: estimate(vectors, seed=self.seed, progress=progress),
            lambda count: {"json": np.array(json.dumps(count.to_dict()))},
            lambda arrays: ClusterCount.from_dict(json.loads(str(arrays["json"]))),
        )

    def pseudo_labels(self, vectors, num_clusters, *, k=None, config=None):
        """(neighbour graph, pseudo-labels) of (M, D) vectors; an interrupted clustering resumes in the middle."""
        config = config or ClusteringConfig.default()
        validate_num_clusters(num_clusters, len(vectors))
        k = k or suggest_k(len(vectors), num_clusters)
        # An exact search has nothing random about it.
        base = fingerprint(vectors, k, None if exact_is_quick(*vectors.shape) else self.seed)
        graph = self._run(
            "neighbors",
            base,
            lambda progress: knn_graph(vectors, k, seed=self.seed, progress=progress),
            lambda g: vars(g),
            lambda a: NeighborGraph(a["indices"], a["similarities"], str(a["method"]), float(a["recall"])),
        )
        labels = self._run(
            "pseudo_labels",
            fingerprint(base, num_clusters, config.to_dict(), self.seed),
            lambda progress: cluster(
                vectors,
                graph,
                num_clusters,
                config=config,
                seed=self.seed,
                device=self.device,
                checkpoint=self.store.file("pseudo_labels.training"),
                progress=progress,
            ),
            lambda p: {**_fields(p), "warnings": np.array(json.dumps(p.warnings))},
            _unpack_pseudo_labels,
        )
        return graph, labels

    def dynamics(self, inputs, labels, num_classes, *, config, progress=None):
        """Training dynamics of a proxy on (M,) pseudo-labels.

        A proxy on images keeps its training in the folder while it runs, and resumes in the middle. ``progress`` is
        what is left of the stage's progress after other work in it (decoding the images).
        """
        checkpoint = self.store.file("dynamics.training") if config.on_images else None
        return self._run(
            "dynamics",
            fingerprint(np.asarray(inputs), labels, num_classes, config.to_dict(), self.seed),
            lambda progress: train_proxy(
                inputs,
                labels,
                num_classes=num_classes,
                config=config,
                seed=self.seed,
                device=self.device,
                checkpoint=checkpoint,
                progress=progress,
            ),
            _fields,
            lambda a: Dynamics(**{**a, "epochs": int(a["epochs"])}),
            progress,
        )

    def beta(
        self,
        inputs,
        labels,
        scores,
        budget,
        *,
        hard="low",
        grid=None,
        repeats=DEFAULT_REPEATS,
        config=None,
        ids=None,
        progress=None,
    ):
        """The β search; ``config`` is the configuration of one candidate. One on images resumes in the middle."""
        checkpoint = self.store.file("beta.training") if np.ndim(inputs) == 4 else None
        parts = (
            np.asarray(inputs),
            labels,
            scores,
            budget,
            hard,
            None if grid is None else list(map(float, grid)),
            repeats,
            config and config.to_dict(),
            self.seed,
            None if ids is None else list(ids),
        )
        return self._run(
            "beta",
            fingerprint(*parts),
            lambda progress: search_beta(
                inputs,
                labels,
                scores,
                budget,
                grid=grid,
                repeats=repeats,
                hard=hard,
                config=config,
                seed=self.seed,
                device=self.device,
                ids=ids,
                checkpoint=checkpoint,
                progress=progress,
            ),
            lambda b: {**_fields(b), "reason": np.array(b.reason)},
            lambda a: BetaSearch(a["betas"], a["accuracies"], float(a["chosen"]), str(a["reason"])),
            progress,
        )

    def select(self, scores, budget, beta, *, hard="low", ids=None):
        """Double-end pruning."""
        return self._run(
            "selection",
            fingerprint(scores, budget, beta, hard, None if ids is None else list(ids)),
            lambda progress: double_end(scores, budget, beta, hard=hard, ids=ids),
            _fields,
            lambda a: Zones(a["rank"], int(a["hard_count"]), int(a["budget"])),
        )


def resolve_proxy(proxy, images_available=True, field="proxy"):
    """``"auto"`` is ResNet-18 on images when there is a GPU, else the MLP on embeddings.

    ``proxy`` may also be ``"mlp"``, ``"resnet8"`` (small ones on images), ``"resnet18"``, ``"resnet18_fast"``
    (30 epochs), ``"timm:<model>"`` or a :class:`~.proxy.train.ProxyConfig`. ``field`` is the parameter that errors
    name.
    """
    if isinstance(proxy, ProxyConfig):
        return proxy
    if proxy == "auto":
        return ProxyConfig.resnet18() if has_gpu() and images_available else ProxyConfig.mlp()
    check_proxy(proxy, field)
    if proxy == "mlp":
        return ProxyConfig.mlp()
    if not images_available:
        raise InvalidInput(f"The proxy {proxy} needs the image files. Use the MLP on embeddings.", field)
    if proxy.startswith(TIMM):
        return ProxyConfig.timm(proxy.removeprefix(TIMM))
    return getattr(ProxyConfig, proxy)()


def resolve_beta_proxy(proxy, scored_by, images_available=True, field="proxy"):
    """The :class:`~.proxy.train.ProxyConfig` of one candidate of a β search.

    ``"auto"`` goes by the network that made the scores, ``scored_by``: on embeddings the MLP, on images the same
    network when there is a GPU, else a small ResNet. Otherwise ``proxy`` is as for :func:`resolve_proxy`, and a
    :class:`~.proxy.train.ProxyConfig` is taken as it is.
    """
    if isinstance(proxy, ProxyConfig):
        return proxy
    if proxy != "auto":
        return candidate(resolve_proxy(proxy, images_available, field))
    return candidate(ProxyConfig.resnet8() if scored_by.on_images and not has_gpu() else scored_by)


def run_elfs(
    source,
    num_clusters,
    budget,
    *,
    encoder="pixels",
    weights=None,
    beta="auto",
    score="aum",
    proxy="auto",
    beta_proxy="auto",
    proxy_images=None,
    image_size=DEFAULT_IMAGE_SIZE,
    clustering=None,
    neighbors=None,
    grid=None,
    repeats=DEFAULT_REPEATS,
    seed=0,
    device="auto",
    folder=None,
    ids=None,
    reporter=None,
    on_stage=None,
):
    """The whole of ELFS, stage by stage.

    Args:
        source: N image paths; or embeddings, as an (N, D) matrix of any kind (array, tensor, data frame) or N vectors
            (rows with NaN, and vectors that are missing, are excluded)
        num_clusters: C, the classes you expect, or ``"auto"`` for an estimate
        budget: images to keep, a count or a fraction in (0, 1] of those that could be used
        beta: ``"auto"`` (grid search) or a number
        score: the difficulty score to rank by, see :data:`~.proxy.dynamics.HARD_WHEN`
        proxy: see :func:`resolve_proxy`
        beta_proxy: what the β search trains, see :func:`resolve_beta_proxy`
        proxy_images: N image paths for a proxy on images when ``source`` is a matrix
        image_size: side in pixels at which that proxy sees them, unless its configuration says so
        folder: finished stages are kept here and reused when the same call is made again
        ids: (N,) identifiers that break ties

    Returns:
        :class:`ElfsResult`

    Raises:
        InvalidInput: before any work, for what can be seen to be wrong then; after the embedding, where too few of the
            samples can be used
    """
    paths, source = as_source(source)
    n = len(source)
    images = paths if paths is not None else proxy_images
    seed, neighbors, image_size = validate_seed(seed), validate_neighbors(neighbors), validate_image_size(image_size)
    proxy_config = resolve_proxy(proxy, images is not None)
    beta_config = resolve_beta_proxy(beta_proxy, proxy_config, images is not None, "beta_proxy")
    if score not in HARD_WHEN:
        raise InvalidInput(f"Unknown score {score!r}. Use one of: {', '.join(HARD_WHEN)}.", "score")
    if n == 0:
        raise InvalidInput("There are no samples to select from. Choose a view that has some.")
    images = None if images is None else _paths(images, n, "proxy_images")
    if ids is not None and len(ids := list(ids)) != n:
        raise InvalidInput(f"There are {len(ids):,} ids for {n:,} samples; they must be as many.", "ids")
    if num_clusters != "auto":
        validate_num_clusters(num_clusters, n)
    count = resolve_budget(budget, n)
    if beta == "auto":
        validate_search(n, repeats)
    else:
        resolve_beta(beta, count, n)
    stages = [stage for stage in STAGES if stage != "cluster_count" or num_clusters == "auto"]
    on_images = [stage for stage, config in (("dynamics", proxy_config), ("beta", beta_config)) if config.on_images]
    reporter = reporter or Reporter(stage_weights(*stages, on_images=on_images))
    pipe = Pipeline(seed=seed, device=device, folder=folder, reporter=reporter, on_stage=on_stage)

    embeddings = pipe.embed(paths, encoder, weights=weights) if paths is not None else validate_vectors(source)
    vectors = embeddings.vectors
    budget = resolve_usable(budget, len(vectors), n)
    if beta != "auto":
        resolve_beta(beta, budget, len(vectors))
    elif len(vectors) < n:
        validate_search(len(vectors), repeats)
    usable = np.flatnonzero(embeddings.ok)
    count = None
    if num_clusters == "auto":
        count = pipe.count_clusters(vectors)
        num_clusters = count.suggested
    graph, labels = pipe.pseudo_labels(vectors, num_clusters, k=neighbors, config=clustering)
    decoded = {}

    def inputs_of(stage, config):
        """What a proxy of that configuration is trained on, and the progress that is left of its stage."""
        if not config.on_images:
            return vectors, None
        size = config.image_size or image_size or DEFAULT_IMAGE_SIZE
        progress = reporter.stage(STAGES[stage])
        if size not in decoded:
            paths = [images[i] for i in usable]
            decoded[size] = _decode(paths, size, part(progress, 0.0, DECODING_SHARE), _PROXY_OF[stage])
        return decoded[size], part(progress, DECODING_SHARE, 1.0)

    inputs, progress = inputs_of("dynamics", proxy_config)
    dynamics = pipe.dynamics(inputs, labels.labels, num_clusters, config=proxy_config, progress=progress)
    scores = getattr(dynamics, score)
    kept_ids = None if ids is None else [str(ids[i]) for i in usable]
    search = None
    if beta == "auto":
        inputs, progress = inputs_of("beta", beta_config)
        search = pipe.beta(
            inputs,
            labels.labels,
            scores,
            budget,
            hard=HARD_WHEN[score],
            grid=grid,
            repeats=repeats,
            config=beta_config,
            ids=kept_ids,
            progress=progress,
        )
        beta = search.chosen
    zones = pipe.select(scores, budget, beta, hard=HARD_WHEN[score], ids=kept_ids)
    reporter.done()
    return ElfsResult(embeddings, count, graph, labels, dynamics, search, float(beta), zones, dict(pipe.seconds))


def as_source(source):
    """What is given to :func:`run_elfs`, told apart: (N paths, the same), or (None, N vectors or an (N, D) matrix).

    Raises:
        InvalidInput: for what is neither
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        raise InvalidInput(f"{os.fsdecode(source)!r} is one path. Give a list of the paths of the images.", "source")
    if isinstance(source, (Mapping, Set)):
        raise InvalidInput(f"A {type(source).__name__} has no order. Give a list of paths, or of vectors.", "source")
    if is_tensor(source) or hasattr(source, "__array__"):
        if not is_tensor(source) and (array := np.asarray(source)).ndim == 1 and array.dtype.kind in "OUS":
            source = array.tolist()  # paths, or vectors, in an array or a column
        else:
            return None, as_matrix(source, "The embeddings", "source")
    try:
        items = list(source)
    except TypeError:
        raise InvalidInput(
            f"Give a list of paths, or an (N, D) matrix of embeddings, not {shown(source)}.", "source"
        ) from None
    are_paths = [isinstance(item, (str, bytes, os.PathLike)) for item in items]
    if all(are_paths):
        return _paths(items, len(items), "source"), items
    if any(are_paths):
        first = are_paths.index(not are_paths[0])
        raise InvalidInput(
            f"Paths and other things are mixed: number {first + 1:,} is {shown(items[first])}. Give a list of paths, "
            "or an (N, D) matrix of embeddings.",
            "source",
        )
    if not any(hasattr(item, "__len__") for item in items):
        raise InvalidInput(
            f"The embeddings must form a matrix (N, D), a vector for each sample, or be paths; the first is "
            f"{shown(items[0])}.",
            "source",
        )
    return None, [np.asarray(as_array(item, "Embeddings")) if is_tensor(item) else item for item in items]


def _paths(values, n, field):
    """N paths as text."""
    if isinstance(values, (str, bytes, os.PathLike)) or len(values := list(values)) != n:
        raise InvalidInput(f"Give as many paths as there are samples, {n:,}, in a list.", field)
    if not all(isinstance(path, (str, bytes, os.PathLike)) for path in values):
        raise InvalidInput("Give the paths of the images, as text, in a list.", field)
    return [os.fsdecode(path) for path in values]


def resolve_usable(budget, usable, given):
    """A budget as a number of images, of the ``usable`` ones among the ``given``.

    Raises:
        InvalidInput: when it is more than could be used
    """
    try:
        return resolve_budget(budget, usable)
    except InvalidInput as error:
        if usable == given:
            raise
        raise InvalidInput(
            f"Only {usable:,} of the {given:,} images can be used (the others cannot be read, or have no usable "
            f"vector), fewer than the budget of {budget:,}. Choose a smaller budget, or mend those images.",
            error.field,
        ) from None


def _decode(paths, size, progress, field):
    """(M, 3, size, size) uint8; every image must be readable, for it has an embedding."""
    pixels = load_pixels(paths, size, progress=progress)
    if not pixels.ok.all():
        raise InvalidInput(
            f"{(~pixels.ok).sum():,} images have embeddings but can no longer be read (first: "
            f"{next(iter(pixels.failures.values()))}). Set {field} to 'mlp', or leave those images out.",
            field,
        )
    return pixels.values


def _modified(paths):
    """Sizes and modification times, so that a changed file is embedded anew."""

    stamps = []
    for path in paths:
        try:
            stat = os.stat(path)
            stamps.append((stat.st_size, stat.st_mtime_ns))
        except OSError:
            stamps.append((-1, -1))
    return np.array(stamps, dtype=np.int64)


def _fields(result):
    return {name: np.asarray(value) for name, value in vars(result).items() if not isinstance(value, (str, list))}


def _pack_embeddings(result):
    return {
        "vectors": result.vectors,
        "ok": result.ok,
        "failures": np.array(json.dumps({str(k): v for k, v in result.failures.items()})),
    }


def _unpack_embeddings(arrays):
    failures = {int(k): v for k, v in json.loads(str(arrays["failures"])).items()}
    return Embeddings(arrays["vectors"], arrays["ok"], failures)


def _unpack_pseudo_labels(arrays):
    arrays = dict(arrays)
    warnings = json.loads(str(arrays.pop("warnings")))
    numbers = {"best_head": int(arrays["best_head"]), "seed_agreement": float(arrays["seed_agreement"])}
    return PseudoLabels(**{**arrays, **numbers, "warnings": warnings})
