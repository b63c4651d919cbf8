"""How a proxy is trained, and what the name of one stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InvalidInput
from . import kinds


@dataclass(frozen=True)
class ProxyConfig:
    """How a proxy is trained: SGD with Nesterov momentum 0.9 and a cosine schedule.

    ``kind`` is one of :data:`~.kinds.KINDS`. ``steps``, when given, fixes the number of optimiser steps whatever the
    number of samples (the paper trains on every coreset equally long); otherwise ``epochs`` decides.

    For embeddings: every score is the mean over ``members`` MLPs that are trained at once, with one layer of ``hidden``
    units each. For each sample ``left_out`` of them are drawn that do not train on it, and only these score it; with 0
    all members train on all samples and score them all.

    For images: where the kind trains ``members`` side by side, the score is the mean over them, too, but all of them
    train on every sample. ``model`` names the timm model of the kind ``"timm"`` and ``weights`` a local checkpoint of
    it (without it the network starts at random; nothing is ever downloaded). ``image_size`` is the side that image
    files are decoded to. ``precision`` is ``"auto"`` (bfloat16 where the hardware is quicker at it) or ``"float32"``.
    ``deterministic`` makes a GPU give the same result for the same seed, at some cost; a CPU always does. ``compile``
    is ``"auto"``, ``"off"`` or a mode of ``torch.compile``, on a GPU only.
    """

    kind: str
    epochs: int
    batch_size: int
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    hidden: int = 128
    steps: int | None = None
    members: int = 16
    left_out: int = 12
    model: str | None = None
    weights: str | None = None
    image_size: int | None = None
    precision: str = "auto"
    deterministic: bool = False
    compile: str = "auto"

    def __post_init__(self) -> None:
        if self.kind not in kinds.KINDS:
            raise InvalidInput(f"Unknown kind of proxy {self.kind!r}. Use one of: {', '.join(kinds.KINDS)}.", "proxy")
        if self.weights is not None:
            object.__setattr__(self, "weights", str(self.weights))
        named = self.kind == kinds.NAMED_MODEL
        if named != bool(self.model) or (self.weights and not named):
            raise InvalidInput(
                f"A model name, and weights, belong to proxies of the kind {kinds.NAMED_MODEL!r}, and to no other.",
                "proxy",
            )
        for name in ("epochs", "batch_size", "hidden", "steps", "members"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"The proxy's {name.replace('_', ' ')} must be 1 or more, not {value}.", name)
        if not self.on_images and not 0 <= self.left_out < self.members:
            raise InvalidInput(
                f"left_out must be from 0 to {self.members - 1}, one less than the members, not {self.left_out}.",
                "left_out",
            )
        if self.on_images and self.batch_size < 2:
            raise InvalidInput("Batch normalisation needs batches of two images or more.", "batch_size")
        if self.precision not in ("auto", "float32"):
            raise InvalidInput(f"precision must be 'auto' or 'float32', not {self.precision!r}.", "precision")

    @classmethod
    def of(cls, name: str, **changes: Any) -> ProxyConfig:
        """The configuration of a proxy by its name, with changes.

        Raises:
            InvalidInput: for an unknown name, or impossible values
            MissingModel: for a model that timm does not have
        """
        kinds.check_proxy(name)
        settings = kinds.settings_of(name)
        if settings is None:
            raise InvalidInput(f"{name!r} stands for one of several proxies, and has no settings of its own.", "proxy")
        return cls(**{**settings, **changes})

    @classmethod
    def mlp(cls, **changes: Any) -> ProxyConfig:
        return cls.of("mlp", **changes)

    @classmethod
    def resnet8(cls, **changes: Any) -> ProxyConfig:
        return cls.of("resnet8", **changes)

    @classmethod
    def resnet18(cls, **changes: Any) -> ProxyConfig:
        return cls.of("resnet18", **changes)

    @classmethod
    def timm(cls, model: str = "resnet34", **changes: Any) -> ProxyConfig:
        return cls.of(f"timm:{model}", **changes)

    @property
    def row(self) -> kinds.Kind:
        """Its :class:`~.kinds.Kind`."""
        return kinds.KINDS[self.kind]

    @property
    def on_images(self) -> bool:
        """Whether it takes images and not embeddings."""
        return self.row.on_images

    @property
    def side_by_side(self) -> int:
        """How many networks are trained on images at once."""
        return self.members if self.row.side_by_side else 1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> ProxyConfig:
        """The opposite of :meth:`to_dict`, for what a run has kept: what a newer version wrote beside is left out, and
        what is missing, or all of it, is the MLP's."""
        known = {name: value for name, value in (values or {}).items() if name in cls.__dataclass_fields__}
        return cls(**{**cls.mlp().to_dict(), **known})


def resolve_proxy(proxy: str | ProxyConfig, images_available: bool = True, field: str = "proxy") -> ProxyConfig:
    """The :class:`ProxyConfig` of ``proxy``: one that is given, or a name.

    ``"auto"`` is ResNet-18 on images when there is a GPU, else the MLP on embeddings; the other names are those of
    :func:`~.kinds.choices` and ``"timm:<model>"``. ``field`` is the parameter that errors name.
    """
    if isinstance(proxy, ProxyConfig):
        return proxy
    kinds.check_proxy(proxy, field)
    if proxy == kinds.AUTO:
        return ProxyConfig.of(kinds.ON_IMAGES if images_available and _has_gpu() else kinds.ON_EMBEDDINGS)
    config = ProxyConfig.of(proxy)
    if config.on_images and not images_available:
        raise InvalidInput(f"The proxy {proxy} needs the image files. Use the MLP on embeddings.", field)
    return config


def _has_gpu():
    from ..devices import has_gpu

    return has_gpu()
