"""Networks for pixels, each from a seed: ResNet-18, small ResNets side by side, and any model of timm.

Every one is called with the number of classes, the images' (height, width), a seed and the
:class:`~.config.ProxyConfig`, and returns (model, (mean, standard deviation) its inputs are normalised with).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..compiling import keep_on_disk, pays, remember
from ..devices import generator
from ..encoders.timm_models import check_timm_model, load_timm_checkpoint
from ..errors import MissingModel, is_out_of_memory
from .image_source import PLAIN, Normalization
from .members import members_forward

if TYPE_CHECKING:
    from .config import ProxyConfig


SMALL_IMAGE = 64
"""Up to this side length ResNet-18 gets the stem for small images."""

SAVED_PER_IMAGE = 1.2e-5
"""Seconds that a compiled network saves for each image of a step, for a ResNet-18 on 32 pixels: an estimate."""

CHANNELS = (16, 32, 64)
"""Of the three stages, as in the CIFAR ResNets of He et al. (2016, section 4.2)."""

_construction = threading.Lock()


@contextlib.contextmanager
def seeded_construction(seed: int) -> Iterator[None]:
    """PyTorch's global CPU generator seeded while a network is built, which draws from it, and then put back. One
    thread at a time."""
    with _construction, torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(seed).get_state())
        yield


def initialise(model: nn.Module, seed: int) -> nn.Module:
    """Re-draws the weights of linear and convolutional layers (He et al. 2015) from a generator of its own."""
    rng = generator(seed)
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=rng)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def resnet18(
    num_classes: int, size: tuple[int, int], seed: int, config: ProxyConfig | None = None
) -> tuple[nn.Module, Normalization]:
    """A randomly initialised ResNet-18. Up to 64 pixels: a 3 x 3 first layer without stride and no pooling, as in the
    CIFAR models of the paper."""
    from torchvision import models

    with seeded_construction(seed):
        model = models.resnet18(weights=None, num_classes=num_classes)
        if max(size) <= SMALL_IMAGE:
            model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()
    return initialise(model, seed), PLAIN


def resnet8(num_classes: int, size: tuple[int, int], seed: int, config: ProxyConfig) -> tuple[nn.Module, Normalization]:
    """Randomly initialised :class:`ResNet8` side by side, ``config.members`` of them, each from other weights."""
    with seeded_construction(seed):
        model = SideBySide([ResNet8(num_classes) for _ in range(config.members)])
    return initialise(model, seed), PLAIN


class ResNet8(nn.Module):
    """A ResNet of one block a stage (He et al. 2016 with n = 1), but for a first layer of stride 2, which leaves a
    quarter of the positions to compute: about a two-hundredth of ResNet-18's arithmetic for images of 32 pixels. It
    ranks samples with more noise; the mean over some of them has little of it."""

    def __init__(self, num_classes: int) -> None:
        from torchvision.models.resnet import BasicBlock

        super().__init__()
        first, stages, before = CHANNELS[0], [], CHANNELS[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
        )
        for channels in CHANNELS:
            shortcut = None
            if channels != before:
                shortcut = nn.Sequential(nn.Conv2d(before, channels, 1, stride=2, bias=False), nn.BatchNorm2d(channels))
            stages.append(BasicBlock(before, channels, 1 if shortcut is None else 2, shortcut))
            before = channels
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stages(self.stem(x)).mean(dim=(2, 3)))


class SideBySide(nn.Module):
    """M networks that see the same batches: (B, 3, H, W) to (B, M, C) logits, computed as :func:`members_forward`
    says."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.way = "auto"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return members_forward(self.networks, x, self.way)


def timm_network(
    num_classes: int, size: tuple[int, int], seed: int, config: ProxyConfig
) -> tuple[nn.Module, Normalization]:
    """The timm model that ``config`` names, at random or from its local weights.

    Raises:
        MissingModel: for an unknown model, a size it cannot take, or a checkpoint that is not of it
    """
    import timm

    name, weights = config.model or "", config.weights
    model: Any  # what timm promises of a model is less than what its models have
    module: Any
    check_timm_model(name)
    options: dict[str, Any] = {}
    if (pretrained := timm.models.get_pretrained_cfg(name)) is not None and pretrained.fixed_input_size:
        options["img_size"] = size
    with seeded_construction(seed):
        try:
            model = timm.create_model(name, pretrained=False, num_classes=0 if weights else num_classes, **options)
        except Exception as error:  # each architecture refuses sizes it cannot take in its own way
            if is_out_of_memory(error):
                raise
            raise MissingModel(
                f"timm:{name} cannot be built for images of {size[0]} x {size[1]} pixels ({error}). Use another "
                "image size or model."
            ) from error
        if weights:
            if not Path(weights).expanduser().is_file():
                raise MissingModel(
                    f"The weights file {weights} does not exist. Give a local checkpoint of timm:{name}."
                )
            load_timm_checkpoint(model, name, str(Path(weights).expanduser()))
            model.reset_classifier(num_classes)
    for module in model.modules():
        # A sample's dynamics shall depend on the sample alone, and a resumed training on no global generator.
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif hasattr(module, "drop_prob"):
            module.drop_prob = 0.0
    data = timm.data.resolve_model_data_config(model)
    return model, (tuple(data["mean"]), tuple(data["std"]))


def through_torch_compile(model: nn.Module, device: torch.device, mode: str, steps: int, batch: int = 256) -> Any:
    """``model``, compiled where that pays (:func:`~..compiling.pays`): on a GPU, for a long training.

    ``mode`` is ``"auto"``, ``"off"`` or a mode of ``torch.compile`` (``"reduce-overhead"`` uses CUDA graphs).
    """
    if device.type != "cuda" or mode == "off":
        return model
    key = f"{type(model).__name__} of {sum(parameter.numel() for parameter in model.parameters())}, {batch} at once"
    if mode == "auto" and not pays(steps, SAVED_PER_IMAGE * batch, key):
        return model
    keep_on_disk()
    compiled, worked = torch.compile(model, mode=None if mode == "auto" else mode, dynamic=False), False

    def call(x):
        nonlocal worked
        result = compiled(x)
        if not worked:
            worked = True
            remember(key)
        return result

    return call
