"""Where vectors come from: the encoder, its preprocessing, a checksum of its weights, and the labels it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..contracts import AnyPath
from .known import seen_labels
from .timm_models import tagged


@dataclass(frozen=True)
class Provenance:
    """Of the encoder ``encoder``: its ``preprocessing`` in words, the ``checksum`` of its weights (SHA-256 of names and
    values; empty where there are none, or they are not at hand), ``seen_labels``, whether it was trained on class
    labels, as far as that is known, and the ``inference``, what computed the vectors (see :mod:`.inference`)."""

    encoder: str
    preprocessing: str = ""
    checksum: str = ""
    seen_labels: bool | None = None
    inference: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Provenance:
        return cls(**{name: value for name, value in values.items() if name in cls.__dataclass_fields__})


def provenance_of(encoder: Any, weights: AnyPath | None = None, inference: str = "") -> Provenance | None:
    """The :class:`Provenance` of an encoder, or None for one that has no ``name``.

    Args:
        encoder: may say its ``preprocessing`` and ``checksum``
        weights: the local checkpoint it was loaded from
        inference: what computed the vectors
    """
    name = getattr(encoder, "name", None)
    if not isinstance(name, str):
        return None
    said = {part: str(getattr(encoder, part, "")) for part in ("preprocessing", "checksum")}
    full = f"timm:{tagged(name.removeprefix('timm:'))}" if name.startswith("timm:") else name
    known = seen_labels(full, None if weights is None else str(weights))
    return Provenance(name, **said, seen_labels=known, inference=inference)
