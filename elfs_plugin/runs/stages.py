"""One function per operator: read the dataset, run the pipeline's stages, write what they made.

All take ``collection`` (a dataset or view) and ``key`` (the run), return a small summary as a dict, and raise
:class:`~..errors.ElfsError` with a message for the user. ``sinks`` receive the progress.
"""

from ..beta_search.search import DEFAULT_REPEATS, validate_search
from ..clustering.limits import validate_num_clusters
from ..errors import InvalidInput
from ..pipeline import resolve_beta_proxy, resolve_proxy
from ..pruning.zones import as_beta, resolve_beta, resolve_budget
from ..validation import validate_epochs, validate_image_size, validate_neighbors
from . import samples
from .fields import SCORES
from .pixels import DEFAULT_IMAGE_SIZE
from .session import Session, clustering_config


def compute_embeddings(
    collection, key="elfs", *, encoder="pixels", weights=None, embeddings_field=None, seed=0, device="auto", sinks=()
):
    """Embeds the images of ``collection`` into a vector field (default ``<key>_embeddings``)."""
    with Session(
        collection, key, "Computing embeddings", ("embeddings",), sinks, seed, device, kind="embeddings"
    ) as run:
        run.embed(encoder, weights, embeddings_field)
        return run.summary("embeddings")


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

    ``num_clusters="auto"`` estimates their number first; the evidence is kept in the run.
    """
    clustering_config(preset)
    neighbors = validate_neighbors(neighbors)
    if num_clusters != "auto":
        validate_num_clusters(num_clusters, collection.count())
    stages = [*_counting(num_clusters), "neighbors", "pseudo_labels"]
    with Session(collection, key, "Computing pseudo-labels", stages, sinks, seed, device, kind="pseudo_labels") as run:
        run.use_vectors(embeddings_field)
        run.cluster(num_clusters, neighbors, preset)
        return run.summary("pseudo_labels")


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
    """Trains a proxy on the run's pseudo-labels and writes its scores and the rank."""
    _check_score(score)
    resolve_proxy(proxy)
    epochs, image_size = validate_epochs(epochs), validate_image_size(image_size)
    with Session(
        collection, key, "Computing scores", ("dynamics",), sinks, seed, device, needs="pseudo_labels", kind="scores"
    ) as run:
        run.use_labels()
        run.score(proxy, score, epochs, image_size)
        return run.summary("scores")


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

    Args:
        proxy: what is trained on the coreset of each β, see :func:`~..pipeline.resolve_beta_proxy`: ``"mlp"`` finds the
            β for a model on these embeddings, ``"resnet8"`` or ``"resnet18"`` for a network that learns from the images
            alone
        image_size: side in pixels at which that network sees them (default: 32, or as one of its kind did for the
            scores)
    """
    if proxy != "auto":
        resolve_proxy(proxy)
    image_size = validate_image_size(image_size)
    with Session(
        collection, key, "Searching β", ("beta",), sinks, seed, device, needs="scores", whole=True, kind="beta"
    ) as run:
        run.use_scores()
        run.search(budget, grid, repeats, proxy, image_size)
        return run.summary("beta")


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
    with Session(
        collection, key, "Selecting the coreset", ("selection",), sinks, needs="scores", whole=True, kind="selection"
    ) as run:
        run.select(budget, beta, tag, view_name, expected)
        return run.summary("selection")


def run_elfs(
    collection,
    key="elfs",
    *,
    num_clusters,
    budget,
    encoder="pixels",
    weights=None,
    embeddings_field=None,
    neighbors=None,
    preset="auto",
    proxy="auto",
    score="aum",
    epochs=None,
    image_size=DEFAULT_IMAGE_SIZE,
    beta="auto",
    beta_proxy="auto",
    repeats=DEFAULT_REPEATS,
    tag=None,
    view_name=None,
    seed=0,
    device="auto",
    sinks=(),
):
    """The whole of ELFS on ``collection``.

    With ``encoder=None`` the vectors of the existing ``embeddings_field`` are used; otherwise they are computed and
    written to it (default ``<key>_embeddings``). ``beta_proxy`` is :func:`search_beta`'s ``proxy``.
    """
    _check_score(score)
    clustering_config(preset)
    neighbors, epochs = validate_neighbors(neighbors), validate_epochs(epochs)
    image_size = validate_image_size(image_size)
    beta = beta if isinstance(beta, str) and beta == "auto" else as_beta(beta)
    config = resolve_proxy(proxy)
    configs = {"dynamics": config, "beta": resolve_beta_proxy(beta_proxy, config, field="beta_proxy")}
    samples.check_collection(collection)
    n = len(samples.read_samples(collection))
    if num_clusters != "auto":
        validate_num_clusters(num_clusters, n)
    resolve_budget(budget, n)
    if beta == "auto":
        validate_search(n, repeats)
    else:
        resolve_beta(beta, resolve_budget(budget, n), n)
    stages = ["embeddings"] if encoder else []
    stages += [*_counting(num_clusters), "neighbors", "pseudo_labels", "dynamics"]
    stages += (["beta"] if beta == "auto" else []) + ["selection"]
    on_images = [stage for stage, config in configs.items() if config.on_images]
    with Session(collection, key, "Running ELFS", stages, sinks, seed, device, on_images=on_images, kind="run") as run:
        run.check_names(tag, view_name)
        if encoder:
            run.embed(encoder, weights, embeddings_field)
        else:
            run.use_vectors(embeddings_field)
        run.check_enough(num_clusters, budget)
        run.cluster(num_clusters, neighbors, preset)
        run.score(proxy, score, epochs, image_size)
        if beta == "auto":
            beta = run.search(budget, None, repeats, beta_proxy, image_size)
        run.select(budget, beta, tag, view_name)
        return run.summary("selection")


def _counting(num_clusters):
    """The stage that an estimated number of clusters adds."""
    return ["cluster_count"] if num_clusters == "auto" else []


def _check_score(score):
    if score not in SCORES:
        raise InvalidInput(f"Unknown score {score!r}. Use one of: {', '.join(SCORES)}.", "score")
