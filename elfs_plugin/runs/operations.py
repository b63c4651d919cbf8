"""One function per operator: read the dataset, run the pipeline's stages, write what they made.

All take ``collection`` (a dataset or view) and ``key`` (the run), return a small summary as a dict, and raise
:class:`~..errors.ElfsError` with a message for the user. ``sinks`` receive the progress.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from ..beta_search.search import DEFAULT_REPEATS
from ..contracts import Budget, Sink
from ..encoders.images import DEFAULT_IMAGE_SIZE
from ..encoders.known import AUTO
from ..errors import InvalidInput
from ..options import ClusteringOptions, ElfsOptions, ScoringOptions, SearchOptions
from ..pipeline import follow, planned
from ..stages import stage_weights
from ..validation import validate_seed
from . import keeping, samples
from .choose import keep_choice
from .fields import SCORES
from .fiftyone_types import Collection
from .session import READING, WRITING, Session
from .uncut import ids_to_keep


def compute_embeddings(
    collection: Collection,
    key: str = "elfs",
    *,
    encoder: str = AUTO,
    weights: str | None = None,
    embeddings_field: str | None = None,
    seed: int = 0,
    device: str = "auto",
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Embeds the images of ``collection`` into a vector field (default ``<key>_embeddings``)."""
    seed = validate_seed(seed)
    with Session(
        collection, key, "Computing embeddings", ("embeddings",), sinks, seed, device, kind="embeddings"
    ) as job:
        keeping.embed(job, encoder, weights, embeddings_field)
        return job.summary("embeddings")


def compute_pseudo_labels(
    collection: Collection,
    key: str = "elfs",
    *,
    num_clusters: int | str,
    embeddings_field: str | None = None,
    similarity_index: Any = None,
    neighbors: int | None = None,
    preset: str = "auto",
    seed: int = 0,
    device: str = "auto",
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Clusters existing vectors into pseudo-labels: those of a field, or of a similarity index of FiftyOne's (its brain
    key), by default the run's own.

    ``num_clusters="auto"`` estimates their number first; the evidence is kept in the run. The others are those of
    :class:`~..options.ClusteringOptions`.
    """
    options, seed = ClusteringOptions(num_clusters, neighbors, preset), validate_seed(seed)
    options.check(collection.count())
    stages = stage_weights(*(["cluster_count"] if options.estimated else []), "neighbors", "pseudo_labels")
    stages = {**_reading(similarity_index), **stages, WRITING: 2}
    with Session(collection, key, "Computing pseudo-labels", stages, sinks, seed, device, kind="pseudo_labels") as job:
        job.use_vectors(embeddings_field, similarity_index)
        keeping.keep(job, "pseudo_labels", job.working.cluster(options))
        return job.summary("pseudo_labels")


def compute_scores(
    collection: Collection,
    key: str = "elfs",
    *,
    proxy: Any = "auto",
    score: str = "aum",
    epochs: int | None = None,
    image_size: int | None = DEFAULT_IMAGE_SIZE,
    seed: int = 0,
    device: str = "auto",
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Trains a proxy on the run's pseudo-labels and writes its scores and the rank, see
    :class:`~..options.ScoringOptions`."""
    _check_score(score)
    options, seed = ScoringOptions(proxy, score, epochs, image_size), validate_seed(seed)
    with Session(
        collection, key, "Computing scores", ("dynamics",), sinks, seed, device, needs="pseudo_labels", kind="scores"
    ) as job:
        job.use_labels()
        keeping.keep(job, "scores", job.working.train(options))
        return job.summary("scores")


def search_beta(
    collection: Collection,
    key: str = "elfs",
    *,
    budget: Budget | str,
    grid: Sequence[float] | None = None,
    repeats: int = DEFAULT_REPEATS,
    proxy: Any = "auto",
    image_size: int | None = None,
    seed: int = 0,
    device: str = "auto",
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Searches β for a budget on the run's pseudo-labels; the curve is kept in the run.

    ``proxy``, ``repeats``, ``grid`` and ``image_size`` are those of :class:`~..options.SearchOptions`.
    """
    options, seed = SearchOptions(proxy, repeats, grid, image_size), validate_seed(seed)
    with Session(
        collection, key, "Searching β", ("beta",), sinks, seed, device, needs="scores", whole=True, kind="beta"
    ) as job:
        job.use_scores()
        keeping.keep(job, "beta", job.working.search_beta(budget, options))
        return job.summary("beta")


def select_coreset(
    collection: Collection,
    key: str = "elfs",
    *,
    budget: Budget | str,
    beta: float | str = "auto",
    tag: str | None = None,
    view_name: str | None = None,
    expected: str | None = None,
    write_back: bool = False,
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Applies double-end pruning to the run's ranks: writes zones, and a tag and a saved view when named.

    Args:
        beta: ``"auto"`` takes the β of the last search
        expected: what the caller has seen saved under the tag, a :func:`~.saving.saved_token`; None: whatever is
            there is replaced
        write_back: on a dataset of rows: writes the results to their source as well, see
            :func:`~.write_back.write_rows_back`

    Raises:
        NameTaken: when the tag or the view exists and is not the run's
        Changed: when something else than ``expected`` has been saved under the tag
    """
    with Session(
        collection, key, "Selecting the coreset", ("selection",), sinks, needs="scores", whole=True, kind="selection"
    ) as job:
        job.select(budget, beta, tag, view_name, expected, write_back)
        return job.summary("selection")


def run_elfs(
    collection: Collection,
    key: str = "elfs",
    *,
    embeddings_field: str | None = None,
    similarity_index: Any = None,
    tag: str | None = None,
    view_name: str | None = None,
    kept_tag: str | None = None,
    device: str = "auto",
    sinks: Iterable[Sink] = (),
    **options: Any,
) -> dict[str, Any]:
    """The whole of ELFS on ``collection``.

    Args:
        embeddings_field: where the embeddings are written (default ``<key>_embeddings``); with ``encoder=None`` the
            field whose vectors are used
        similarity_index: the brain key of a similarity index of FiftyOne's whose vectors are used; then no ``encoder``
        tag, view_name: names of the coreset's tag and saved view; the coreset is that of ``method``, the zones are
            those of ELFS at this budget whatever the method
        kept_tag: images with this tag, which may be labelled already, are not left out by a pre-cut; nor are those that
            have a label in the run's rounds, or are in one
        options: by their plain names, see :meth:`~..options.ElfsOptions.of`: ``num_clusters``, ``budget``, ``beta``,
            ``encoder``, ``proxy``, ``score``, ``seed`` and so on
    """
    _check_score(options.get("score", "aum"))
    if similarity_index:
        if options.setdefault("encoder", None):
            raise InvalidInput("Give an encoder or a similarity index, not both.", "similarity_index")
    asked = ElfsOptions.of(**options)
    samples.check_collection(collection)
    if kept_tag:
        samples.check_locked_tag(collection._dataset, kept_tag, "kept_tag")
    n = len(samples.read_samples(collection))
    asked.check(n)
    with Session(
        collection,
        key,
        "Running ELFS",
        {**_reading(similarity_index), **planned(asked, asked.stages, n), WRITING: 2},
        sinks,
        asked.seed,
        device,
        kind="run",
    ) as job:
        job.check_names(tag, view_name)
        if asked.encoder:
            keeping.embed(job, asked.encoder, asked.weights, embeddings_field)
        else:
            job.use_vectors(embeddings_field, similarity_index)
        asked.check(len(job.working.ids), n)
        if asked.cuts(len(job.working.ids)):
            asked = job.working.precut(asked, ids_to_keep(job.dataset, job.record, kept_tag))
        trusted = True
        for stage, result in follow(job.working, asked):
            keeping.keep(job, stage, result)
            if stage == "pseudo_labels":
                trusted = not result[2].warnings
        if asked.method == "elfs":
            job.select(asked.budget, asked.beta, tag, view_name)
            return job.summary("selection")
        job.select(asked.budget, asked.beta, None, None)
        return job.summary("selection", keep_choice(job, asked, trusted, tag, view_name))


def _reading(similarity_index):
    return {READING: 2} if similarity_index else {}


def _check_score(score):
    if score not in SCORES:
        raise InvalidInput(f"Unknown score {score!r}. Use one of: {', '.join(SCORES)}.", "score")
