"""What is known of encoders by their names: labels for forms, and whether one has seen class labels.

An encoder that was trained on labels knows classes; an experiment that speaks of "without labels" has to say so.
"""

from __future__ import annotations

import re

AUTO = "auto"
"""What is chosen by the images and the machine, see :mod:`.default`."""

PIXELS, LITE0 = "pixels", "lite0"
DINOV2 = "timm:vit_small_patch14_dinov2.lvd142m"

ENCODERS = {
    PIXELS: "Thumbnails (no model, no download), for digits and icons",
    LITE0: "EfficientNet-lite0 (no download; trained on ImageNet's labels)",
    DINOV2: "DINOv2 ViT-S/14 (recommended; images of 518 pixels: use a GPU)",
    "timm:vit_base_patch16_224.dino": "DINO ViT-B/16 (the paper's encoder)",
    "open_clip:ViT-B-32/openai": "CLIP ViT-B/32",
    "open_clip:ViT-L-14/openai": "CLIP ViT-L/14",
    "zoo:clip-vit-base32-torch": "FiftyOne zoo: CLIP",
    "zoo:dinov2-vits14-torch": "FiftyOne zoo: DINOv2",
}
"""Name -> description, for forms."""

_FINE_TUNED = re.compile(r"_ft_(in|w)")
_WITHOUT_LABELS = re.compile(
    "dino|lvd|ijepa|mae|mim|seer|sat493m|clip|laion|openai|webli|dfn|datacomp|yfcc15m|cc12m|merged2b"
)
_WITH_LABELS = re.compile(r"in1k|in12k|in2[12]k|inw21k|jft|imagenet")


def seen_labels(encoder: str, weights: str | None = None) -> bool | None:
    """Whether the encoder was trained with labels of classes; False also for ``pixels``, which was not trained.

    With a local checkpoint, and for names that say nothing, such as timm's without a tag, it is None.
    """
    if encoder in (PIXELS, LITE0):
        return encoder == LITE0
    family, _, model = encoder.partition(":")
    if weights is not None or family not in ("timm", "open_clip", "zoo"):
        return None
    if family == "open_clip":  # images and sentences
        return False
    text = model.partition(".")[2] if family == "timm" else model
    if _FINE_TUNED.search(text):
        return True
    if _WITHOUT_LABELS.search(text):
        return False
    return True if _WITH_LABELS.search(text) else None


def labels_in_words(encoder: str | None, seen: bool | None) -> str:
    """:func:`seen_labels` for people, with the name of the encoder."""
    if encoder is None:
        return "vectors of a field; whether their encoder has seen class labels is not known"
    if encoder == PIXELS:
        return f"{encoder}, not trained on anything"
    if seen is None:
        return f"{encoder}; whether it has seen class labels is not known"
    return f"{encoder}, trained {'on' if seen else 'without'} class labels"
