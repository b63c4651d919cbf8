"""OpenCLIP's models: which there are, and how one is loaded, from its hub or from a local checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

from ..contracts import AnyPath
from ..errors import MissingModel, is_out_of_memory
from .checkpoint_fit import misfit
from .timm_models import HUB, weights_unavailable


def check_open_clip(spec: str, weights: AnyPath | None) -> tuple[str, str, list[str]]:
    """(model, tag, the model's known tags) of ``<model>/<tag>``.

    Raises:
        MissingModel: for an unknown model, or a tag that it does not have and no ``weights`` of its own
    """
    import open_clip

    model_name, _, tag = spec.rpartition("/")
    if not model_name:
        model_name, tag = spec, ""
    if model_name not in open_clip.list_models():
        raise MissingModel(
            f"OpenCLIP has no model named {model_name!r}. Use 'open_clip:<model>/<tag>', for example "
            "open_clip:ViT-B-32/openai; open_clip.list_models() lists them all."
        )
    tags = open_clip.list_pretrained_tags_by_model(model_name)
    if weights is None and tag not in tags:
        raise MissingModel(
            f"OpenCLIP's {model_name} has no weights tagged {tag!r}; it has: {', '.join(tags) or 'none'}. "
            "Give one of these, or the path of a local weights file."
        )
    return model_name, tag, tags


def load_open_clip(spec: str, weights: AnyPath | None) -> tuple[Any, Callable[[Image.Image], torch.Tensor]]:
    """(the model with both towers, its preprocessing of an image) of ``<model>/<tag>``.

    Raises:
        MissingModel: as :func:`check_open_clip`, and for weights that cannot be had or do not fit
    """
    import open_clip

    model_name, tag, tags = check_open_clip(spec, weights)
    try:
        # A known tag beside a local file keeps that tag's preprocessing and activation (OpenAI's use QuickGELU).
        config = open_clip.get_pretrained_cfg(model_name, tag) if tag in tags else {}
        kwargs = {key: config[key] for key in ("mean", "std") if config.get(key)}
        model, _, transform = open_clip.create_model_and_transforms(
            model_name,
            pretrained=weights or tag,
            force_quick_gelu=bool(config.get("quick_gelu", False)),
            image_mean=kwargs.get("mean"),
            image_std=kwargs.get("std"),
        )
    except Exception as error:  # hub clients and checkpoint loaders raise many kinds
        if is_out_of_memory(error):
            raise
        unfit = _misfit(model_name, weights) if weights is not None and isinstance(error, RuntimeError) else ""
        if unfit:
            raise MissingModel(
                f"{weights} is not a checkpoint of open_clip:{spec}: {unfit}. Name the model the file was trained as."
            ) from error
        raise weights_unavailable(f"open_clip:{spec}", weights or HUB, error) from error
    return model, transform


def _misfit(model_name, weights):
    """Why a checkpoint does not fit the model, in words; empty where it is not that."""
    import open_clip
    from open_clip.factory import load_state_dict

    return misfit(load_state_dict(weights), open_clip.create_model(model_name).state_dict())


class ImageTower(torch.nn.Module):
    """The part of a model that turns images into vectors."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.visual = clip.visual

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.visual(images)
        return features[0] if isinstance(features, tuple) else features
