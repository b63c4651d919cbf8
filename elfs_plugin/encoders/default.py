"""Which encoder is taken where none is named, by the images and by what this machine can reach.

1. Tiny grey images (of the first :data:`LOOKED_AT` files all that can be read are at most :data:`TINY` pixels high and
   wide, and without colour), such as digits: ``pixels``.
2. Otherwise DINOv2 ViT-S, where it has been downloaded or a model hub answers.
3. Otherwise ``lite0``, whose weights are installed with the plugin.
"""

from __future__ import annotations

import http.client
import os
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..contracts import AnyPath
from ..errors import ElfsError
from .images import image_header, load_rgb
from .known import AUTO, DINOV2, LITE0, PIXELS

TINY = 32
"""Sides in pixels up to which an image without colour is taken for a digit or a sign, and not for a photograph."""

LOOKED_AT = 8
HUB_SECONDS = 2.0
"""How long an answer of the model hub is waited for."""

_ASK_AGAIN = 600.0
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_HUB = "https://huggingface.co"
_CACHED = ("timm/vit_small_patch14_dinov2.lvd142m", "model.safetensors")


def resolve_encoder(encoder: Any, paths: Sequence[AnyPath]) -> Any:
    """``encoder``, or, where it is ``"auto"``, the default for these image files."""
    return default_encoder(paths) if isinstance(encoder, str) and encoder == AUTO else encoder


def default_encoder(paths: Sequence[AnyPath]) -> str:
    """The name of the encoder for these image files, see the module."""
    if tiny(paths):
        return PIXELS
    return DINOV2 if _is_cached() or hub.answers() else LITE0


def tiny(paths: Sequence[AnyPath]) -> bool:
    """Whether the first of these files, those of them that can be read, are all small and grey."""
    found = [small for small in map(_is_tiny, paths[:LOOKED_AT]) if small is not None]
    return bool(found) and all(found)


def _is_tiny(path):
    try:
        _, width, height = image_header(path)
        if max(width, height) > TINY:
            return False
        pixels = np.asarray(load_rgb(path)).astype(np.int16)
    except (ElfsError, MemoryError):
        return None
    return bool((np.ptp(pixels, axis=2) == 0).all())


def _is_cached():
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(*_CACHED), str)


class Hub:
    """Whether the model hub answers. An answer is kept for ten minutes: forms ask after every key that is pressed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = -float("inf")
        self._answered = False

    def answers(self) -> bool:
        """False also where no answer comes in :data:`HUB_SECONDS`; one that comes later counts the next time."""
        if any(os.environ.get(name, "").upper() in ("1", "TRUE", "YES", "ON") for name in _OFFLINE):
            return False
        with self._lock:
            if time.monotonic() - self._asked > _ASK_AGAIN:
                self._answered = False
                # Looking a name up cannot be limited in time; the thread can be left alone.
                asking = threading.Thread(target=self._ask, name="hub", daemon=True)
                asking.start()
                asking.join(HUB_SECONDS)
                self._asked = time.monotonic()
            return self._answered

    def _ask(self):
        address = os.environ.get("HF_ENDPOINT") or _HUB
        if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
            return
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=HUB_SECONDS):
                self._answered = True
        except (OSError, ValueError, http.client.HTTPException):  # without a network there is an encoder all the same
            return


hub = Hub()
