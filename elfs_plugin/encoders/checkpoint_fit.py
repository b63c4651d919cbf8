"""Does a checkpoint fit a network, and if not, why: what lacks, what has another shape, what has only other names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CLASSIFIER = 2
"""Tensors of a classifier, weight and bias, which a checkpoint may have behind those of the network."""

_NAMED = 3


def misfit(state: Mapping[str, Any], expected: Mapping[str, torch.Tensor], missing: Collection[str] = ()) -> str:
    """What does not fit, in words.

    Args:
        state: of a checkpoint
        expected: of the network, without its classifier
        missing: names that the network has missed while it was loaded; by default those that ``state`` has not
    """
    missing = missing or [name for name in expected if name not in state]
    others = [name for name in state if name not in expected]
    shaped = [
        f"{name} is {_shape(state[name])} in it and {_shape(value)} in the model"
        for name, value in expected.items()
        if name in state and _shape(state[name]) != _shape(value)
    ]
    found = []
    if missing:
        found.append(f"it lacks {len(missing):,} of the model's {len(expected):,} weights ({_some(missing)})")
    if shaped:
        found.append(f"{len(shaped):,} of its weights have another shape ({_some(shaped)})")
    if others and missing:
        found.append(f"it has {len(others):,} that the model does not have ({_some(others)})")
    return "; ".join(found)


def renamed(state: Mapping[str, Any], expected: Mapping[str, torch.Tensor]) -> dict[str, Any] | None:
    """``state`` under the names that the network has, where the shapes are the same in the same order; None where they
    are not. A classifier behind them is left out."""
    given = list(state.values())
    if not 0 < len(expected) <= len(given) <= len(expected) + CLASSIFIER:
        return None
    if any(_shape(one) != _shape(other) for one, other in zip(given, expected.values())):
        return None
    return dict(zip(expected, given))


def _shape(value):
    shape = getattr(value, "shape", None)
    if shape is None:
        return "no tensor"
    return " x ".join(map(str, shape)) or "one number"


def _some(texts: Iterable[str]) -> str:
    texts = list(texts)
    return ", ".join(texts[:_NAMED]) + (", …" if len(texts) > _NAMED else "")
