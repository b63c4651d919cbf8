"""The kinds of proxies, one row each. To add one, add its row here and its network.

Nothing here imports PyTorch: forms read the names and labels.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from ..validation import shown

if TYPE_CHECKING:
    import torch

    from .image_source import Normalization


AUTO = "auto"
"""What is chosen by the machine and the inputs."""

ON_EMBEDDINGS = "mlp"
"""What learns from embeddings."""

ON_IMAGES = "resnet18"
"""What learns from images where there is a GPU, as in the paper."""

ON_IMAGES_WITHOUT_GPU = "resnet8"
"""What learns from images where there is none."""

NAMED_MODEL = "timm"
"""The kind of which a proxy's name goes on with that of a model: ``timm:<model>``."""


@dataclass(frozen=True)
class Kind:
    """One kind of proxy.

    Args:
        name: as users write it
        label: what it is, for forms
        learner: what somebody will train on the coreset who searches β with it, for forms
        cost: what it takes, for forms
        settings: fields of :class:`~.config.ProxyConfig` that it begins with
        candidate: the fields in which a candidate of a β search differs. It is trained on one coreset, and for a number
            of steps that is the same whatever the budget
        network: ``"<module>:<function>"`` beside this file, of a kind that learns from images. The function is called
            with the number of classes, the images' (height, width), a seed and the :class:`~.config.ProxyConfig`; it
            returns the model and the (mean, standard deviation) its inputs are normalised with. Without one the kind
            learns from embeddings, as :mod:`.mlp` trains it
        side_by_side: whether the ``members`` are trained side by side on the same images
        small: whether a CPU trains several at once, each on a thread of its own
        variants: further names -> (label, fields in which they differ)
    """

    name: str
    label: str
    learner: str
    cost: str
    settings: dict[str, Any]
    candidate: dict[str, Any]
    network: str | None = None
    side_by_side: bool = False
    small: bool = False
    variants: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)

    @property
    def on_images(self) -> bool:
        """Whether it learns from images, and not from embeddings."""
        return self.network is not None

    def make_network(self, *arguments: Any) -> tuple[torch.nn.Module, Normalization]:
        """Calls ``network``, which is imported now."""
        if self.network is None:
            raise TypeError(f"{self.name} learns from embeddings; it has no network for images.")
        module, _, function = self.network.partition(":")
        return getattr(importlib.import_module(f".{module}", __package__), function)(*arguments)


_PAPER = {
    "epochs": 200,
    "batch_size": 256,
    "learning_rate": 0.1,
    "final_learning_rate": 1e-4,
    "weight_decay": 5e-4,
}

KINDS = {
    kind.name: kind
    for kind in (
        # An ensemble of small MLPs for few and gentle epochs. One MLP trained long, and on the samples it scores, fits
        # nearly every pseudo-label, which leaves the easy half of the AUMs in an arbitrary order.
        Kind(
            "mlp",
            label="MLP on the embeddings",
            learner="A model on these embeddings",
            cost="seconds",
            settings={**_PAPER, "epochs": 10, "learning_rate": 0.02, "members": 16, "left_out": 12, "hidden": 128},
            candidate={"steps": 150, "hidden": 256},
        ),
        # Chosen because the mean of four ranks as ResNet-18 does; benchmarks/image_proxy.py measures how closely.
        Kind(
            "resnet8",
            label="Small ResNets on the images",
            learner="A network on the images, from scratch",
            cost="minutes, on a CPU too",
            settings={**_PAPER, "epochs": 10, "members": 4},
            candidate={"steps": 500, "members": 1},
            network="networks:resnet8",
            side_by_side=True,
            small=True,
        ),
        # The paper's. Its 30 epochs are as many as DUAL (ICML 2025) takes: a seventh of the time.
        Kind(
            "resnet18",
            label="ResNet-18 on the images, as in the paper",
            learner="The same, searched with ResNet-18 as in the paper",
            cost="use a GPU",
            settings=_PAPER,
            candidate={"steps": 2000},
            network="networks:resnet18",
            variants={"resnet18_fast": ("ResNet-18 on the images, 30 epochs", {"epochs": 30})},
        ),
        # Any model of timm. The default is the paper's for ImageNet: ResNet-34 for 60 epochs.
        Kind(
            "timm",
            label="A timm model on the images",
            learner="A timm model on the images",
            cost="use a GPU",
            settings={**_PAPER, "epochs": 60, "model": "resnet34", "image_size": 224},
            candidate={"steps": 2000},
            network="networks:timm_network",
        ),
    )
}


def choices() -> dict[str, str]:
    """{name: label} of the proxies that need no more than their name, for forms."""
    labels = {}
    for kind in KINDS.values():
        if kind.name != NAMED_MODEL:
            labels[kind.name] = f"{kind.label}: {kind.cost}"
            labels.update({name: f"{label}: {kind.cost}" for name, (label, _) in kind.variants.items()})
    return labels


def learners() -> dict[str, str]:
    """{name: learner} of the kinds that need no more than their name, for forms of a β search."""
    return {kind.name: f"{kind.learner}: {kind.cost}" for kind in KINDS.values() if kind.name != NAMED_MODEL}


def settings_of(name: Any) -> dict[str, Any] | None:
    """The fields of the :class:`~.config.ProxyConfig` of that name, with its ``kind``; None for an unknown name."""
    if not isinstance(name, str):
        return None
    family, _, model = name.partition(":")
    if family == NAMED_MODEL and model:
        return {**KINDS[family].settings, "kind": family, "model": model}
    for kind in KINDS.values():
        if name == kind.name != NAMED_MODEL:
            return {**kind.settings, "kind": kind.name}
        if name in kind.variants:
            return {**kind.settings, "kind": kind.name, **kind.variants[name][1]}
    return None


def check_proxy(name: Any, field: str = "proxy") -> None:
    """Refuses what is neither ``"auto"`` nor the name of a proxy; timm is imported to check the name of its model.

    Raises:
        InvalidInput: for an unknown name; ``field`` is the parameter it names
        MissingModel: for a model that timm does not have, with close names
    """
    settings = settings_of(name)
    if settings is None and not (isinstance(name, str) and name == AUTO):
        known = ", ".join(map(repr, [AUTO, *choices()]))
        raise InvalidInput(f"Unknown proxy {shown(name)}. Use {known} or '{NAMED_MODEL}:<model>'.", field)
    if settings is not None and settings["kind"] == NAMED_MODEL:
        from ..encoders.timm_models import check_timm_model

        check_timm_model(settings["model"])
