"""The stages in order: images → embeddings → neighbours → pseudo-labels → dynamics → β → zones.

A :class:`WorkingSet` holds the samples that take part and what the stages have made of them so far; :func:`follow` is
the one order in which they are run, for arrays here and for datasets in :mod:`.runs`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import scratch
from .beta_search.search import BetaSearch, default_grid
from .choice import Coreset, choose
from .clustering.count import ClusterCount
from .clustering.pseudo_labels import ClusteringConfig, PseudoLabels
from .contracts import AnyPath, Budget, Floats, Integers, Mask, Progress, Vectors
from .encoders.decoded import DecodedImages
from .encoders.default import resolve_encoder
from .encoders.embed import Embeddings, validate_vectors
from .encoders.images import DEFAULT_IMAGE_SIZE
from .engine.base import Engine
from .engine.choose import using
from .errors import InvalidInput
from .neighbors.neighbor_graph import NeighborGraph
from .options import ClusteringOptions, ElfsOptions, ScoringOptions, SearchOptions
from .precut.size import resolve_precut
from .progress import Reporter, part
from .proxy.dynamics import Dynamics
from .pruning.scores import HARD_WHEN
from .pruning.zones import Zones, resolve_budget
from .selectors.pool import Pool
from .source import as_paths, as_source
from .stages import STAGES, Stages, stage_weights

if TYPE_CHECKING:
    from .proxy.train import ProxyConfig

DECODING_SHARE = 0.05
"""Share of a stage that trains on images which decoding them takes, for its progress."""


CHOOSING = "Choosing the coreset"
CUTTING = "Pre-cut of a large pool"


def choosing(options: ElfsOptions) -> dict[str, float]:
    """The last stage, shown name -> share of the work, where another method than ELFS is to choose."""
    return {} if options.method == "elfs" else {CHOOSING: 3}


def planned(options: ElfsOptions, stages: Sequence[str], n: int, images_available: bool = True) -> dict[str, float]:
    """What is done of ``n`` samples after each other, shown name -> share of the work; ``stages`` are keys of
    :data:`~.stages.STAGES`."""
    weights = stage_weights(*stages, on_images=options.on_images(images_available))
    first = {name: share for name, share in weights.items() if name == STAGES["embeddings"]}
    return {**first, **({CUTTING: 5} if options.cuts(n) else {}), **weights, **choosing(options)}


class WorkingSet:
    """The samples that take part, and what the stages have made of them. Every stage takes its input from here and
    leaves its result here. A sample that turns out to be unusable leaves all arrays, and is listed with the reason.

    Attributes:
        ids: the M samples, in the order of all arrays
        failures: id -> reason, of the samples that take no part
        vectors: (M, D) embeddings, or None until they are asked for
        labels, num_clusters: (M,) pseudo-labels, and how many clusters there are
        scores, score: (M,) difficulty, and which score it is
        neighbors, confidence, dynamics: of the M samples, for the choice at the end
        clustered_by: the :class:`~.clustering.pseudo_labels.ClusteringConfig` that made the labels
        cut_away: how many samples a pre-cut has left out; they are in no array, and no failures
        scored_by, scored_at: the :class:`~.proxy.config.ProxyConfig` that made the scores, and the side in pixels at
            which it saw the images (None: it saw embeddings)

    Args:
        stages: a :class:`~.stages.Stages`
        read_paths: gives {id: path} of the images, asked for once and only by proxies on images
        read_vectors: gives the (M, D) vectors of M ids, where a stage needs them and none were made or taken
    """

    # None until a stage has made them
    ids: list[Any]
    failures: dict[Any, str]
    vectors: Vectors
    labels: Integers
    num_clusters: int
    scores: Floats
    score: str
    neighbors: NeighborGraph | None
    confidence: Floats | None
    dynamics: Dynamics
    clustered_by: ClusteringConfig
    scored_by: ProxyConfig
    scored_at: int | None

    def __init__(
        self,
        stages: Stages,
        read_paths: Callable[[], Mapping[str | int, str]],
        read_vectors: Callable[[list[Any]], Vectors] | None = None,
    ) -> None:
        self.stages = stages
        self.ids, self.failures, self.cut_away = None, {}, 0
        self.vectors = self.labels = self.num_clusters = self.scores = self.score = None
        self.neighbors = self.confidence = self.dynamics = None
        self.clustered_by = self.scored_by = self.scored_at = None
        self._read_vectors = read_vectors
        self._decoded = DecodedImages(read_paths)

    def take(self, ids: Sequence[Any], embeddings: Embeddings, known_reasons: Mapping[Any, str] | None = None) -> None:
        """Takes those of N samples that have a usable vector (:class:`~.encoders.embed.Embeddings` of all of them);
        why the others have none may be known better, {id: reason}."""
        self.ids = [i for i, ok in zip(ids, embeddings.ok) if ok]
        self.vectors = embeddings.vectors
        reasons = {ids[index]: reason for index, reason in embeddings.failures.items()}
        self.failures = {i: (known_reasons or {}).get(i, reason) for i, reason in reasons.items()}

    def embed(
        self,
        ids: Sequence[Any],
        paths: Sequence[AnyPath],
        encoder: Any,
        weights: str | None = None,
        compute: Callable[[Progress], Embeddings] | None = None,
    ) -> Embeddings:
        """Embeds N image files, see :meth:`~.stages.Stages.embed`."""
        result = self.stages.embed(paths, encoder, weights=weights, compute=compute)
        self.take(ids, result)
        return result

    def precut(self, options: ElfsOptions, kept: Collection[Any] = ()) -> ElfsOptions:
        """Leaves a balanced part of the samples, where there are so many that ``options.precut`` asks for it.

        Args:
            kept: ids of samples that go on in any case, beside that part: those that are labelled

        Returns:
            the options for what is left: the budget is the number of images that it is of all
        """
        n = len(self.ids)
        budget = resolve_budget(options.budget, n)
        target = resolve_precut(options.precut, n, budget)
        stay = np.fromiter((i in kept for i in self.ids), bool, n) if kept else np.zeros(n, dtype=bool)
        others = np.flatnonzero(~stay)
        if target >= len(others):
            return options
        progress = self.stages.reporter.stage(CUTTING)
        rows = self.stages.precut(self.embeddings(), target, progress, others if kept else None)
        rows = np.union1d(rows, np.flatnonzero(stay))
        self.ids = [self.ids[row] for row in rows.tolist()]
        self.vectors = scratch.taken(self.vectors, rows)
        self.cut_away = n - len(rows)
        beside = f", and {n - len(others):,} that are labelled or have the tag" if stay.any() else ""
        self.stages.reporter.warn(
            f"{self.cut_away:,} of {n:,} images were left out before the clustering: of so many a balanced part of "
            f"{target:,} goes on (precut){beside}. The others get no pseudo-label and no score, and cannot be chosen."
        )
        return replace(options, budget=budget)

    def cluster(self, options: ClusteringOptions) -> tuple[ClusterCount | None, NeighborGraph, PseudoLabels]:
        """Gives the samples pseudo-labels by :class:`~.options.ClusteringOptions`.

        Returns:
            (:class:`~.clustering.count.ClusterCount` or None, :class:`~.neighbors.graph.NeighborGraph`,
            :class:`~.clustering.pseudo_labels.PseudoLabels`)
        """
        count = self.stages.count_clusters(self.vectors) if options.estimated else None
        clusters: Any = options.num_clusters if count is None else count.suggested
        config = options.config
        graph, result = self.stages.pseudo_labels(self.vectors, clusters, k=options.neighbors, config=config)
        self.clustered_by = config
        self.labels, self.num_clusters = result.labels, clusters
        self.neighbors, self.confidence = graph, result.confidence
        return count, graph, result

    def train(self, options: ScoringOptions, images_available: bool = True) -> Dynamics:
        """Trains a proxy on the pseudo-labels by :class:`~.options.ScoringOptions`. Returns its
        :class:`~.proxy.dynamics.Dynamics`."""
        config = options.config(images_available)
        size, progress = None, None
        if config.on_images:
            size = int(config.image_size or options.image_size or DEFAULT_IMAGE_SIZE)
            inputs, unread, progress = self._images("dynamics", size)
            self._leave_out(unread)
        else:
            inputs = self.embeddings()
        result = self.stages.dynamics(inputs, self.labels, self.num_clusters, config=config, progress=progress)
        self.score, self.scores, self.dynamics = options.score, getattr(result, options.score), result
        self.scored_by, self.scored_at = config, size
        return result

    def search_beta(
        self, budget: Budget | str, options: SearchOptions, images_available: bool = True
    ) -> tuple[BetaSearch, int, ProxyConfig, dict[Any, str]]:
        """Searches β for a budget (a count or a fraction) by :class:`~.options.SearchOptions`.

        Returns:
            (:class:`~.beta_search.search.BetaSearch`, the budget as a number of images, the configuration of one
            candidate, {id: reason} of the images that took no part)
        """
        n = len(self.ids)
        budget = taken = resolve_budget(budget, n)
        config = options.config(self.scored_by, images_available)
        grid: Sequence[float] | Floats | None = options.grid
        unread, progress = {}, None
        if config.on_images:
            scored_at = self.scored_at if config.kind == self.scored_by.kind else None
            size = int(config.image_size or options.image_size or scored_at or DEFAULT_IMAGE_SIZE)
            inputs, unread, progress = self._images("beta", size)
            # Not more than its share of those that can be read: every β that is possible with all of them still is.
            taken = max(1, budget * len(inputs) // n)
            grid = default_grid(budget, n) if grid is None else grid
        else:
            self._decoded.forget()
            inputs = self.embeddings()
        readable = self._all_but(unread)
        result = self.stages.beta(
            inputs,
            self.labels[readable],
            self.scores[readable],
            taken,
            hard=HARD_WHEN[self.score],
            grid=grid,
            repeats=options.repeats,
            config=config,
            ids=[i for i in self.ids if i not in unread],
            progress=progress,
        )
        return result, budget, config, unread

    def choose(self, options: ElfsOptions, beta: float, trusted: bool, progress: Progress) -> Coreset:
        """The choice by another method than double-end pruning, of the M samples, see :func:`~.choice.choose`."""
        pool = Pool(
            np.asarray(self.ids),
            embeddings=self.embeddings(),
            neighbors=self.neighbors,
            pseudo_labels=self.labels,
            confidence=self.confidence,
            dynamics=self.dynamics,
        )
        return choose(
            options.method,
            pool,
            options.budget,
            seed=self.stages.seed,
            learner=options.learner,
            trusted=trusted,
            beta=beta,
            score=options.scoring.score,
            device=self.stages.device,
            progress=progress,
        )

    def forget_images(self) -> None:
        """Gives the memory of decoded images back."""
        self._decoded.forget()

    def embeddings(self) -> Vectors:
        if self.vectors is None:
            self.vectors = self._read_vectors(self.ids)
        return self.vectors

    def _images(self, stage, size):
        """As :meth:`~.encoders.decoded.DecodedImages.get`, and the progress that is left of the stage."""
        progress = self.stages.reporter.stage(STAGES[stage])
        found = self._decoded.get(self.ids, size, part(progress, 0.0, DECODING_SHARE))
        return *found, part(progress, DECODING_SHARE, 1.0)

    def _all_but(self, ids):
        return np.array([i not in ids for i in self.ids], dtype=bool)

    def _leave_out(self, unread):
        """Excludes samples, and lists them with the reasons {id: reason}."""
        if not unread:
            return
        self.failures.update(unread)
        rest = self._all_but(unread)
        self.ids = [i for i in self.ids if i not in unread]
        self.labels, self.neighbors = self.labels[rest], None
        if self.confidence is not None:
            self.confidence = self.confidence[rest]
        if self.vectors is not None:
            self.vectors = scratch.taken(self.vectors, rest)


def follow(working: WorkingSet, options: ElfsOptions, images_available: bool = True) -> Iterator[tuple[str, Any]]:
    """Runs the stages after the embedding in their order, and yields (name, result) after each: ``pseudo_labels`` and
    ``scores`` as :meth:`WorkingSet.cluster` and :meth:`WorkingSet.train` return them, and ``beta`` where it is
    searched."""
    yield "pseudo_labels", working.cluster(options.clustering)
    if options.method == "elfs":
        working.neighbors = None  # only another method looks at them again: 400 MB of a million samples
    yield "scores", working.train(options.scoring, images_available)
    if options.searches:
        yield "beta", working.search_beta(options.budget, options.search, images_available)


@dataclass(frozen=True)
class ElfsResult:
    """Everything a run made of N samples. K of them could be embedded: ``embeddings.ok`` says which; ``neighbors`` and
    ``pseudo_labels`` are of these, (K,). M of the K have ``dynamics`` and ``zones``, (M,): ``scored`` (N,) bool says
    which of the N (all K, but for images that a proxy could not read any more). ``failures`` maps the index of every
    other sample to the reason. Where a pre-cut has left out ``cut_away`` samples, what is said of the K is of the
    others, and these are no failures. ``choice`` is that of another method than ELFS, if one was asked for."""

    embeddings: Embeddings
    cluster_count: ClusterCount | None
    neighbors: NeighborGraph
    pseudo_labels: PseudoLabels
    dynamics: Dynamics
    beta_search: BetaSearch | None
    beta: float
    zones: Zones
    scored: Mask
    failures: dict[int, str]
    seconds: dict[str, float]
    choice: Coreset | None = None
    cut_away: int = 0

    @property
    def coreset(self) -> Integers:
        """(b,) the chosen samples, as indices of the N, in order of choice."""
        chosen = self.zones.coreset if self.choice is None else self.choice.selection.indices
        return np.flatnonzero(self.scored)[chosen]


def run_elfs(
    source: Any,
    num_clusters: int | str,
    budget: Budget | str,
    *,
    proxy_images: Sequence[AnyPath] | None = None,
    ids: Iterable[Any] | None = None,
    device: str = "auto",
    folder: AnyPath | None = None,
    reporter: Reporter | None = None,
    on_stage: Callable[[str, Any, float], None] | None = None,
    engine: str | Engine | None = None,
    address: str | None = None,
    **options: Any,
) -> ElfsResult:
    """The whole of ELFS, stage by stage.

    Args:
        source: N image paths; or embeddings, as an (N, D) matrix of any kind (array, tensor, data frame) or N vectors
            (rows with NaN, and vectors that are missing, are excluded)
        num_clusters: C, the classes you expect, or ``"auto"`` for an estimate
        budget: images to keep, a count or a fraction in (0, 1] of those that could be used
        proxy_images: N image paths for a proxy on images when ``source`` is a matrix
        ids: (N,) distinct identifiers that break ties
        folder: finished stages are kept here and reused when the same call is made again
        engine, address: what runs independent pieces of work, see :func:`~.engine.choose.using`
        options: see :meth:`~.options.ElfsOptions.of`

    Returns:
        :class:`ElfsResult`

    Raises:
        InvalidInput: before any work, for what can be seen to be wrong then; after the embedding, where too few of the
            samples can be used
        EngineFailed: where workers in other processes could not do what they were given
    """
    with using(engine, address):
        return _run(source, num_clusters, budget, proxy_images, ids, device, folder, reporter, on_stage, options)


def _run(source, num_clusters, budget, proxy_images, ids, device, folder, reporter, on_stage, options):
    asked = ElfsOptions.of(num_clusters=num_clusters, budget=budget, **options)
    paths, source = as_source(source)
    n = len(source)
    images = paths if paths is not None else proxy_images
    has_images = images is not None
    asked.check(n)
    images = as_paths(images, n, "proxy_images") if has_images else None
    names = list(range(n)) if ids is None else _names(ids, n)
    wanted = [stage for stage in asked.stages if stage != "embeddings" or paths is not None]
    reporter = reporter or Reporter(planned(asked, wanted, n, has_images))
    stages = Stages(seed=asked.seed, device=device, folder=folder, reporter=reporter, on_stage=on_stage)

    working = WorkingSet(stages, lambda: dict(zip(names, images)))
    if paths is not None:
        embeddings = working.embed(names, paths, resolve_encoder(asked.encoder, paths), asked.weights)
    else:
        embeddings = validate_vectors(source)
        working.take(names, embeddings)
    asked.check(len(working.ids), n)
    asked = working.precut(asked)
    made = dict(follow(working, asked, has_images))
    count, graph, labels = made["pseudo_labels"]
    search = made["beta"][0] if asked.searches else None
    beta = search.chosen if asked.searches else asked.beta
    final = asked.check(len(working.ids), n)
    zones = stages.select(working.scores, final, beta, hard=asked.scoring.hard, ids=working.ids)
    choice = None
    if asked.method != "elfs":
        choice = working.choose(asked, float(beta), not labels.warnings, reporter.stage(CHOOSING))
    reporter.done()
    taken, place = set(working.ids), {name: index for index, name in enumerate(names)}
    return ElfsResult(
        embeddings,
        count,
        graph,
        labels,
        made["scores"],
        search,
        float(beta),
        zones,
        np.array([name in taken for name in names], dtype=bool),
        {place[name]: reason for name, reason in working.failures.items()},
        dict(stages.seconds),
        choice,
        working.cut_away,
    )


def _names(ids, n):
    """N identifiers as text."""
    names = [str(i) for i in ids]
    if len(names) != n or len(set(names)) != n:
        raise InvalidInput(
            f"There are {len(set(names)):,} different ids for {n:,} samples; they must be as many.", "ids"
        )
    return names
