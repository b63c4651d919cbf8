"""Classes of images by their names alone: a CLIP model compares an image with a sentence about each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..contracts import AnyPath, Floats, Integers, Mask, Progress
from ..devices import resolve_device
from ..errors import InvalidInput, MissingModel
from ..progress import part, silent
from .embed import TorchEncoder, embed_images
from .open_clip_models import ImageTower, check_open_clip, load_open_clip

FAMILY = "open_clip:"
PROMPT = "a photo of a {}"
_TEXTS = 256
"""Sentences that are encoded at a time."""


@dataclass(frozen=True)
class ZeroShot:
    """``labels`` (M,) places in the classes and ``confidence`` (M,) of the M images that could be read, ``ok`` (N,)
    which of N these are; ``failures`` {index: reason} of the others."""

    labels: Integers
    confidence: Floats
    ok: Mask
    failures: dict[int, str] = field(default_factory=dict)


def zero_shot(
    paths: Sequence[AnyPath],
    classes: Sequence[str],
    model: str,
    *,
    weights: AnyPath | None = None,
    prompt: str = PROMPT,
    device: str = "auto",
    progress: Progress = silent,
) -> ZeroShot:
    """The class whose sentence is nearest to each image (Radford et al. 2021, section 3.1).

    Args:
        paths: N image files
        classes: (C,) names, C at least 2
        model: ``open_clip:<model>/<tag>``
        weights: a local checkpoint of it
        prompt: a sentence with ``{}`` for the name

    Raises:
        MissingModel: for a model that there is not, or weights that cannot be had
        InvalidInput: for fewer than two classes, or no image that can be read
    """
    import open_clip

    if len(classes) < 2:
        raise InvalidInput("Name two classes at least to tell images apart by.", "classes")
    if not model.startswith(FAMILY):
        raise MissingModel(f"Classes by their names need a model 'open_clip:<model>/<tag>', not {model!r}.")
    spec = model.removeprefix(FAMILY)
    name, *_ = check_open_clip(spec, weights)
    progress(0.0, f"loading {model}")
    clip, transform = load_open_clip(spec, None if weights is None else str(weights))
    chosen = resolve_device(device)
    encoder = TorchEncoder(model, ImageTower(clip), transform, chosen)
    found = embed_images(paths, encoder, progress=part(progress, 0.0, 0.9))
    texts = _encoded(clip, open_clip.get_tokenizer(name), [prompt.format(label) for label in classes], chosen)
    scale = float(clip.logit_scale.detach().exp())
    logits = scale * (_unit(found.vectors) @ _unit(texts).T)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    return ZeroShot(probabilities.argmax(axis=1), probabilities.max(axis=1), found.ok, found.failures)


@torch.inference_mode()
def _encoded(clip, tokenizer, sentences, device):
    clip = clip.to(device)
    parts = [sentences[start : start + _TEXTS] for start in range(0, len(sentences), _TEXTS)]
    return np.concatenate([clip.encode_text(tokenizer(part).to(device)).float().cpu().numpy() for part in parts])


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
