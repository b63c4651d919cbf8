"""What a run of ELFS is asked to do, in one object: the operators, the command line and Python hand the same one on.

Each part checks its own values when it is made; what needs the number of samples is checked by
:meth:`ElfsOptions.check` before any work, and again when it is known how many of them can be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from .beta_search.search import DEFAULT_REPEATS, resolve_beta_proxy, validate_search
from .clustering.limits import validate_num_clusters
from .clustering.pseudo_labels import ClusteringConfig
from .contracts import Budget
from .encoders.images import DEFAULT_IMAGE_SIZE
from .encoders.known import AUTO
from .errors import InvalidInput
from .precut.size import check_precut, resolve_precut
from .proxy.config import resolve_proxy
from .pruning.scores import HARD_WHEN
from .pruning.zones import as_beta, resolve_beta, resolve_budget
from .selectors.recommend import check_learner, check_method
from .suggestions import did_you_mean
from .validation import shown, validate_epochs, validate_image_size, validate_neighbors, validate_seed

if TYPE_CHECKING:
    from .proxy.train import ProxyConfig

PRESETS = ("auto", "quick", "published")


@dataclass(frozen=True)
class ClusteringOptions:
    """How pseudo-labels are made.

    Args:
        num_clusters: C, the classes you expect, or ``"auto"`` for an estimate
        neighbors: k of the graph (default: by the number of samples and of clusters)
        preset: one of :data:`PRESETS`, or a :class:`~.clustering.pseudo_labels.ClusteringConfig`
    """

    num_clusters: int | str = "auto"
    neighbors: int | None = None
    preset: str | ClusteringConfig = "auto"

    def __post_init__(self) -> None:
        _set(self, neighbors=validate_neighbors(self.neighbors))
        if not isinstance(self.preset, ClusteringConfig) and self.preset not in PRESETS:
            raise InvalidInput(
                f"Unknown clustering preset {self.preset!r}. Use one of: {', '.join(PRESETS)}.", "preset"
            )

    @property
    def estimated(self) -> bool:
        """Whether the number of clusters is to be estimated."""
        return isinstance(self.num_clusters, str) and self.num_clusters == "auto"

    @property
    def config(self) -> ClusteringConfig:
        if isinstance(self.preset, ClusteringConfig):
            return self.preset
        return getattr(ClusteringConfig, "default" if self.preset == "auto" else self.preset)()

    def check(self, n: int) -> None:
        """Raises :class:`InvalidInput` where n samples are too few."""
        if not self.estimated:
            validate_num_clusters(self.num_clusters, n)


@dataclass(frozen=True)
class ScoringOptions:
    """How samples are scored.

    Args:
        proxy: see :func:`~.proxy.config.resolve_proxy`
        score: the difficulty score to rank by, one of :data:`~.pruning.scores.HARD_WHEN`
        epochs: of the training (default: the proxy's)
        image_size: side in pixels at which a proxy on images sees them, unless its configuration says so
    """

    proxy: Any = "auto"
    score: str = "aum"
    epochs: int | None = None
    image_size: int | None = DEFAULT_IMAGE_SIZE

    def __post_init__(self) -> None:
        if not isinstance(self.score, str) or self.score not in HARD_WHEN:
            raise InvalidInput(f"Unknown score {self.score!r}. Use one of: {', '.join(HARD_WHEN)}.", "score")
        _set(self, epochs=validate_epochs(self.epochs), image_size=validate_image_size(self.image_size))
        resolve_proxy(self.proxy)

    @property
    def hard(self) -> str:
        """The hard end of the score."""
        return HARD_WHEN[self.score]

    def config(self, images_available: bool = True) -> ProxyConfig:
        """The :class:`~.proxy.config.ProxyConfig` to be trained."""
        config = resolve_proxy(self.proxy, images_available)
        return replace(config, epochs=self.epochs) if self.epochs else config


@dataclass(frozen=True)
class SearchOptions:
    """How β is searched.

    Args:
        proxy: what is trained on the coreset of each β, see :func:`~.beta_search.search.resolve_beta_proxy`: ``"mlp"``
            finds the β for a model on these embeddings, ``"resnet8"`` or ``"resnet18"`` for a network that learns from
            the images alone
        repeats: held-out splits for each β
        grid: β values (default: 0, 0.1, … as far as the budget allows)
        image_size: side in pixels at which a network on images sees them (default: as one of its kind did for the
            scores, or 32)
        field: the name of ``proxy`` in messages
    """

    proxy: Any = "auto"
    repeats: int = DEFAULT_REPEATS
    grid: Sequence[float] | None = None
    image_size: int | None = None
    field: str = "proxy"

    def __post_init__(self) -> None:
        _set(self, image_size=validate_image_size(self.image_size))
        if not isinstance(self.proxy, str) or self.proxy != "auto":
            resolve_proxy(self.proxy, field=self.field)

    def config(self, scored_by: ProxyConfig, images_available: bool = True) -> ProxyConfig:
        """The :class:`~.proxy.config.ProxyConfig` of one candidate."""
        return resolve_beta_proxy(self.proxy, scored_by, images_available, self.field)


_PARTS = {"clustering": ClusteringOptions, "scoring": ScoringOptions, "search": SearchOptions}
_RENAMED = {"beta_proxy": ("search", "proxy")}


@dataclass(frozen=True)
class ElfsOptions:
    """The whole of ELFS.

    Args:
        budget: images to keep, a count or a fraction in (0, 1] of those that can be used
        encoder: see :func:`~.encoders.embed.embed_images`; ``"auto"``: by the images and the machine, see
            :mod:`~.encoders.default`; None: the vectors are there
        weights: a local checkpoint of the encoder
        beta: ``"auto"`` (a search) or a number
        clustering, scoring, search: the options of the stages
        method: what chooses in the end: ``"elfs"``, another of :func:`~.selectors.available`, or ``"auto"``, which
            takes the recommended one (:func:`~.selectors.recommend.recommend`)
        learner: what is going to learn from the labels, one of :data:`~.selectors.recommend.LEARNERS`; only the
            recommendation looks at it
        seed: of everything random
        precut: how many of the images with a vector go on to the stages after the embedding, see
            :func:`~.precut.size.resolve_precut`: ``"auto"``, ``"off"`` or a number. The budget counts before it
    """

    budget: int | float
    encoder: str | None = AUTO
    weights: str | None = None
    beta: str | float = "auto"
    clustering: ClusteringOptions = field(default_factory=ClusteringOptions)
    scoring: ScoringOptions = field(default_factory=ScoringOptions)
    search: SearchOptions = field(default_factory=lambda: SearchOptions(field="beta_proxy"))
    method: str = "elfs"
    learner: str = "probe"
    seed: int = 0
    precut: str | int = "auto"

    def __post_init__(self) -> None:
        _set(self, seed=validate_seed(self.seed), precut=check_precut(self.precut))
        check_method(self.method)
        check_learner(self.learner)
        if not self.searches:
            _set(self, beta=as_beta(self.beta))

    @classmethod
    def of(cls, **given: Any) -> ElfsOptions:
        """The options by their plain names, those of the stages too: ``num_clusters``, ``neighbors``, ``preset``;
        ``proxy``, ``score``, ``epochs``, ``image_size``; ``beta_proxy``, ``repeats``, ``grid``.

        Raises:
            InvalidInput: for a name that there is not, a value that cannot be, or no budget
        """
        parts: dict[str, dict[str, Any]] = {name: {} for name in _PARTS}
        own: dict[str, Any] = {}
        for name, value in given.items():
            part, inside = _place(name)
            (own if part is None else parts[part])[inside] = value
        if "budget" not in own:
            raise InvalidInput("Give a budget: how many images, or which share of them, to keep.", "budget")
        parts["search"].update(field="beta_proxy", image_size=given.get("image_size"))
        return cls(**own, **{name: kind(**parts[name]) for name, kind in _PARTS.items()})

    @property
    def searches(self) -> bool:
        """Whether β is to be searched."""
        return isinstance(self.beta, str) and self.beta == "auto"

    def on_images(self, images_available: bool = True) -> list[str]:
        """The stages that train on images."""
        scored_by = self.scoring.config(images_available)
        configs = {"dynamics": scored_by, "beta": self.search.config(scored_by, images_available)}
        return [stage for stage, config in configs.items() if config.on_images]

    @property
    def stages(self) -> list[str]:
        """Keys of the stages of :data:`~.stages.STAGES` to be run, in order."""
        wanted = ["embeddings"] if self.encoder else []
        wanted += ["cluster_count"] if self.clustering.estimated else []
        wanted += ["neighbors", "pseudo_labels", "dynamics"]
        return [*wanted, *(["beta"] if self.searches else []), "selection"]

    def cuts(self, n: int) -> bool:
        """Whether fewer than n usable samples go on to the stages after the embedding."""
        return resolve_precut(self.precut, n, resolve_budget(self.budget, n)) < n

    def check(self, n: int, given: int | None = None) -> int:
        """Refuses what n usable samples do not allow, of as many as were ``given`` (default: n).

        Returns:
            the budget as a number of images

        Raises:
            InvalidInput
        """
        if n == 0:
            raise InvalidInput("There are no samples to select from. Choose a view that has some.")
        self.clustering.check(n)
        count = resolve_usable(self.budget, n, n if given is None else given)
        n = resolve_precut(self.precut, n, count)
        self.clustering.check(n)
        if self.searches:
            validate_search(n, self.search.repeats)
        else:
            resolve_beta(self.beta, count, n)
        return count


def resolve_usable(budget: Budget | str, usable: int, given: int) -> int:
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
            f"vector), fewer than the budget of {shown(budget)}. Choose a smaller budget, or mend those images.",
            error.field,
        ) from None


def _place(name):
    """(part or None, name in it) of a plain name."""
    if name in _RENAMED:
        return _RENAMED[name]
    own = {f.name for f in fields(ElfsOptions)} - set(_PARTS)
    if name in own:
        return None, name
    known = {f.name: part for part, kind in _PARTS.items() for f in fields(kind)}
    for hidden in ("proxy", "image_size"):  # those of the scores are meant
        known[hidden] = "scoring"
    del known["field"]
    if name not in known:
        raise InvalidInput(f"There is no option {shown(name)}.{did_you_mean(name, [*own, *known, *_RENAMED])}", name)
    return known[name], name


def _set(frozen, **values):
    for name, value in values.items():
        object.__setattr__(frozen, name, value)
