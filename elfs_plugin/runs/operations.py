"""One function per operator: read the dataset, run the pipeline's stages, write what they made.

All take ``collection`` (a dataset or view) and ``key`` (the run), return a small summary as a dict, and raise
:class:`~..errors.ElfsError` with a message for the user. ``sinks`` receive the progress.
"""

from ..beta_search.search import DEFAULT_REPEATS
from ..encoders.images import DEFAULT_IMAGE_SIZE
from ..errors import InvalidInput
from ..options import ClusteringOptions, ElfsOptions, ScoringOptions, SearchOptions
from ..pipeline import follow
from ..validation import validate_seed
from . import keeping, samples
from .fields import SCORES
from .session import Session


def compute_embeddings(
    collection,
    key="elfs",
    *,
    encoder="pixels",
    weights=None,
    embeddings_field=None,
    seed=0,
    device="auto",
    sinks=(),
):
    """Embeds the images of ``collection`` into a vector field (default ``<key>_embeddings``)."""
    seed = validate_seed(seed)
    with Session(collection, key, "Computing embeddings", ("embeddings",), sinks, seed, device) as job:
        keeping.embed(job, encoder, weights, embeddings_field)
        return job.summary("embeddings")


def compute_pseudo_labels(
    collection,
    key="elfs",
    *,
    num_clusters,
    embeddings_field=None,
    neighbors=None,
    preset="auto",
    seed=0,
    device="auto",
    sinks=(),
):
    """Clusters an existing vector field (default: the run's own) into pseudo-labels.

    ``num_clusters="auto"`` estimates their number first; the evidence is kept in the run. The others are those of
    :class:`~..options.ClusteringOptions`.
    """
    options, seed = ClusteringOptions(num_clusters, neighbors, preset), validate_seed(seed)
    options.check(collection.count())
    stages = [*(["cluster_count"] if options.estimated else []), "neighbors", "pseudo_labels"]
    with Session(collection, key, "Computing pseudo-labels", stages, sinks, seed, device) as job:
        job.use_vectors(embeddings_field)
        keeping.keep(job, "pseudo_labels", job.working.cluster(options))
        return job.summary("pseudo_labels")


def compute_scores(
    collection,
    key="elfs",
    *,
    proxy="auto",
    score="aum",
    epochs=None,
    image_size=DEFAULT_IMAGE_SIZE,
    seed=0,
    device="auto",
    sinks=(),
):
    """Trains a proxy on the run's pseudo-labels and writes its scores and the rank, see
    :class:`~..options.ScoringOptions`."""
    _check_score(score)
    options, seed = ScoringOptions(proxy, score, epochs, image_size), validate_seed(seed)
    with Session(collection, key, "Computing scores", ("dynamics",), sinks, seed, device, needs="pseudo_labels") as job:
        job.use_labels()
        keeping.keep(job, "scores", job.working.train(options))
        return job.summary("scores")


def search_beta(
    collection,
    key="elfs",
    *,
    budget,
    grid=None,
    repeats=DEFAULT_REPEATS,
    proxy="auto",
    image_size=None,
    seed=0,
    device="auto",
    sinks=(),
):
    """Searches β for a budget on the run's pseudo-labels; the curve is kept in the run.

    ``proxy``, ``repeats``, ``grid`` and ``image_size`` are those of :class:`~..options.SearchOptions`.
    """
    options, seed = SearchOptions(proxy, repeats, grid, image_size), validate_seed(seed)
    with Session(collection, key, "Searching β", ("beta",), sinks, seed, device, needs="scores", whole=True) as job:
        job.use_scores()
        keeping.keep(job, "beta", job.working.search_beta(budget, options))
        return job.summary("beta")


def select_coreset(collection, key="elfs", *, budget, beta="auto", tag=None, view_name=None, expected=None, sinks=()):
    """Applies double-end pruning to the run's ranks: writes zones, and a tag and a saved view when named.

    Args:
        beta: ``"auto"`` takes the β of the last search
        expected: what the caller has seen saved under the tag, a :func:`~.saving.saved_token`; None: whatever is
            there is replaced

    Raises:
        NameTaken: when the tag or the view exists and is not the run's
        Changed: when something else than ``expected`` has been saved under the tag
    """
    with Session(collection, key, "Selecting the coreset", ("selection",), sinks, needs="scores", whole=True) as job:
        job.select(budget, beta, tag, view_name, expected)
        return job.summary("selection")


def run_elfs(
    collection,
    key="elfs",
    *,
    embeddings_field=None,
    tag=None,
    view_name=None,
    device="auto",
    sinks=(),
    **options,
):
    """The whole of ELFS on ``collection``.

    Args:
        embeddings_field: where the embeddings are written (default ``<key>_embeddings``); with ``encoder=None`` the
            field whose vectors are used
        tag, view_name: names of the coreset's tag and saved view
        options: by their plain names, see :meth:`~..options.ElfsOptions.of`: ``num_clusters``, ``budget``, ``beta``,
            ``encoder``, ``proxy``, ``score``, ``seed`` and so on
    """
    _check_score(options.get("score", "aum"))
    options = ElfsOptions.of(**options)
    samples.check_collection(collection)
    n = len(samples.read_samples(collection))
    options.check(n)
    with Session(
        collection,
        key,
        "Running ELFS",
        options.stages,
        sinks,
        options.seed,
        device,
        on_images=options.on_images(),
    ) as job:
        job.check_names(tag, view_name)
        if options.encoder:
            keeping.embed(job, options.encoder, options.weights, embeddings_field)
        else:
            job.use_vectors(embeddings_field)
        options.check(len(job.working.ids), n)
        for stage, result in follow(job.working, options):
            keeping.keep(job, stage, result)
        job.select(options.budget, options.beta, tag, view_name)
        return job.summary("selection")


def _check_score(score):
    if score not in SCORES:
        raise InvalidInput(f"Unknown score {score!r}. Use one of: {', '.join(SCORES)}.", "score")


def suggested_clusters(collection):
    """A starting value for the form: 10, or fewer for a tiny view."""
    return max(2, min(10, collection.count() // 5))
