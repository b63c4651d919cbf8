"""Single stages: each looks first for its own finished result, and resumes in the middle where it takes long."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .beta_search.search import DEFAULT_REPEATS, BetaSearch, search_beta
from .checkpoints import StageStore, fingerprint
from .clustering.count import ClusterCount, estimate
from .clustering.limits import validate_num_clusters
from .clustering.pseudo_labels import ClusteringConfig, PseudoLabels, cluster
from .contracts import AnyPath, Budget, Floats, Images, Integers, Progress, Vectors
from .devices import resolve_device
from .encoders.block_store import remove_blocks, stamps
from .encoders.embed import Embeddings, embed_images
from .encoders.provenance import Provenance
from .neighbors.graph import exact_is_quick, knn_graph, suggest_k
from .neighbors.neighbor_graph import NeighborGraph
from .precut.balanced import balanced_rows
from .progress import Reporter
from .proxy.dynamics import Dynamics
from .proxy.train import ProxyConfig, train_proxy
from .pruning.zones import Zones, double_end
from .seeds import identity

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

DECODING_SHARE = 0.05
"""Share of the dynamics stage that decoding the images takes, for its progress."""


def stage_weights(*stages: str, on_images: Iterable[str] = ()) -> dict[str, float]:
    """Expected shares of the work for a :class:`~.progress.Reporter`, by shown name; the stages ``on_images`` train on
    images and not on embeddings."""
    weights = {**_WEIGHTS, **{stage: _WEIGHTS_ON_IMAGES[stage] for stage in on_images}}
    return {STAGES[stage]: weights[stage] for stage in stages}


class Stages:
    """Runs stages with one seed, one device, one progress bar and one folder of finished stages.

    Args:
        folder: where finished stages are kept (None: nowhere)
        reporter: a :class:`~.progress.Reporter` that knows the stages to be run
        on_stage: called with (stage key, result, seconds) after each stage
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        device: str = "auto",
        folder: AnyPath | None = None,
        reporter: Reporter | None = None,
        on_stage: Callable[[str, Any, float], None] | None = None,
    ) -> None:
        self.seed = seed
        resolve_device(device)  # one that is not there is refused before anything is computed
        self.device = device
        self.reporter = reporter or Reporter(stage_weights(*STAGES))
        self.store = StageStore(folder, on_problem=self.reporter.warn)
        self.seconds: dict[str, float] = {}
        self.resumed: list[str] = []
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

    def embed(
        self,
        paths: Sequence[AnyPath],
        encoder: Any,
        *,
        weights: str | None = None,
        beside: str | None = None,
        compute: Callable[[Progress], Embeddings] | None = None,
    ) -> Embeddings:
        """Embeds N image files; ``compute(progress) -> Embeddings`` replaces :func:`embed_images` for other models.
        ``beside``: see there.

        What is finished of them is kept block by block in the folder, until all of it is.
        """
        files = [*paths, *([] if weights is None else [weights])]
        key = fingerprint("embeddings", [str(p) for p in paths], str(encoder), str(weights), stamps(files))

        def default(progress):
            return embed_images(
                paths,
                encoder,
                weights=weights,
                device=self.device,
                kept=blocks,
                beside=beside,
                on_problem=self.reporter.warn,
                progress=progress,
            )

        blocks = self.store.file("embeddings.blocks")
        result = self._run("embeddings", key, compute or default, _pack_embeddings, _unpack_embeddings)
        if blocks is not None and not self.store.problems:  # else they may be all that is kept
            remove_blocks(blocks)
        return result

    def precut(self, vectors: Vectors, target: int, progress: Progress, among: Integers | None = None) -> Integers:
        """``target`` of the (M, D) vectors that are to go on, (target,) rows in order, see
        :func:`~.precut.balanced.balanced_rows`."""
        parts = (vectors, target) if among is None else (vectors, target, among)
        return self._run(
            "precut",
            fingerprint(*parts, identity(self.seed)),
            lambda progress: balanced_rows(vectors, target, among=among, seed=self.seed, progress=progress),
            lambda rows: {"rows": rows},
            lambda arrays: arrays["rows"],
            progress,
        )

    def count_clusters(self, vectors: Vectors) -> ClusterCount:
        """How many clusters (M, D) vectors seem to have, with the evidence."""
        return self._run(
            "cluster_count",
            fingerprint("cluster_count", vectors, identity(self.seed)),
            lambda progress: estimate(vectors, seed=self.seed, progress=progress),
            lambda count: {"json": np.array(json.dumps(count.to_dict()))},
            lambda arrays: ClusterCount.from_dict(json.loads(str(arrays["json"]))),
        )

    def pseudo_labels(
        self, vectors: Vectors, num_clusters: int, *, k: int | None = None, config: ClusteringConfig | None = None
    ) -> tuple[NeighborGraph, PseudoLabels]:
        """(neighbour graph, pseudo-labels) of (M, D) vectors; an interrupted clustering resumes in the middle."""
        config = config or ClusteringConfig.default()
        validate_num_clusters(num_clusters, len(vectors))
        k = k or suggest_k(len(vectors), num_clusters)
        # An exact search has nothing random about it.
        n, dimensions = vectors.shape
        exact = exact_is_quick(n, dimensions, resolve_device(self.device))
        base = fingerprint(vectors, k, None if exact else identity(self.seed))
        graph = self._run(
            "neighbors",
            base,
            lambda progress: knn_graph(vectors, k, seed=self.seed, device=self.device, progress=progress),
            lambda g: vars(g),
            lambda a: NeighborGraph(a["indices"], a["similarities"], str(a["method"]), float(a["recall"])),
        )
        labels = self._run(
            "pseudo_labels",
            fingerprint(base, num_clusters, config.to_dict(), identity(self.seed)),
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

    def dynamics(
        self,
        inputs: Vectors | Images,
        labels: Integers,
        num_classes: int,
        *,
        config: ProxyConfig,
        progress: Progress | None = None,
    ) -> Dynamics:
        """Training dynamics of a proxy on (M,) pseudo-labels.

        A proxy on images keeps its training in the folder while it runs, and resumes in the middle. ``progress`` is
        what is left of the stage's progress after other work in it (decoding the images).
        """
        checkpoint = self.store.file("dynamics.training") if config.on_images else None
        return self._run(
            "dynamics",
            fingerprint(np.asarray(inputs), labels, num_classes, config.to_dict(), identity(self.seed)),
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
        inputs: Vectors | Images,
        labels: Integers,
        scores: Floats,
        budget: Budget,
        *,
        hard: str = "low",
        grid: Sequence[float] | Floats | None = None,
        repeats: int = DEFAULT_REPEATS,
        config: ProxyConfig | None = None,
        ids: Sequence[Any] | None = None,
        progress: Progress | None = None,
    ) -> BetaSearch:
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
            identity(self.seed),
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

    def select(
        self, scores: Floats, budget: Budget, beta: float | str, *, hard: str = "low", ids: Sequence[Any] | None = None
    ) -> Zones:
        """Double-end pruning."""
        return self._run(
            "selection",
            fingerprint(scores, budget, beta, hard, None if ids is None else list(ids)),
            lambda progress: double_end(scores, budget, beta, hard=hard, ids=ids),
            _fields,
            lambda a: Zones(a["rank"], int(a["hard_count"]), int(a["budget"])),
        )


def _fields(result):
    return {name: np.asarray(value) for name, value in vars(result).items() if not isinstance(value, (str, list))}


def _pack_embeddings(result):
    return {
        "vectors": result.vectors,
        "ok": result.ok,
        "failures": np.array(json.dumps({str(k): v for k, v in result.failures.items()})),
        "provenance": np.array(json.dumps(result.provenance and result.provenance.to_dict())),
    }


def _unpack_embeddings(arrays):
    failures = {int(k): v for k, v in json.loads(str(arrays["failures"])).items()}
    said = json.loads(str(arrays.get("provenance", "null")))  # earlier versions kept none
    return Embeddings(arrays["vectors"], arrays["ok"], failures, said and Provenance.from_dict(said))


def _unpack_pseudo_labels(arrays):
    arrays = dict(arrays)
    warnings = json.loads(str(arrays.pop("warnings")))
    numbers = {name: arrays[name].item() for name in ("best_head", "seed_agreement", "separation")}
    return PseudoLabels(**{**arrays, **numbers, "warnings": warnings})
