"""The golden set: drawn once at random, never selected, so that it measures progress honestly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..contracts import Array, Integers, Mask
from ..errors import InvalidInput
from ..order import Order
from ..proxy.labelled import predicted
from ..seeds import Stream, rng
from ..validation import derived_seed, shown, whole_number
from .labelled import Labelled


@dataclass(frozen=True)
class GoldenMeasure:
    """How right a model of the labels is on the golden set.

    Attributes:
        accuracy: the mean over its images, or None where it could not be measured; ``reason`` says why then
        standard_error: of the accuracy. It is that of (right + 1) of (n + 2) images, so that a model without an error
            on a few images is not taken for certain
        by_class: {class: (right, images)} of the golden labels, sorted
        n: images of the golden set that were tested
        labels: how many the model has learnt
    """

    accuracy: float | None
    standard_error: float | None = None
    by_class: dict[Any, tuple[int, int]] = field(default_factory=dict)
    n: int = 0
    labels: int = 0
    reason: str = ""


def draw_golden(ids: Sequence[Any] | Array, size: int, seed: int = 0, within: Mask | None = None) -> Integers:
    """Rows drawn uniformly at random, the same for the same ids in whatever order they come.

    Args:
        ids: (N,) distinct and sortable
        size: how many
        within: (N,) bool, the samples that may be drawn (default: all)

    Returns:
        (size,) rows, smallest id first

    Raises:
        InvalidInput: when there are fewer samples
    """
    order = Order(len(ids), ids)
    rows = order.rows if within is None else order.rows[np.asarray(within, dtype=bool)[order.rows]]
    count = whole_number(size)
    if count is None or not 1 <= count <= len(rows):
        raise InvalidInput(
            f"The golden set must have from 1 to {len(rows):,} images, not {shown(size)}.",
            "golden",
        )
    return order.sorted(rng(derived_seed(seed), Stream.GOLDEN).permutation(rows)[:count])


def measure(
    embeddings: ArrayLike, labelled: Labelled, golden_rows: Integers, golden_labels: ArrayLike
) -> GoldenMeasure:
    """Trains the model of :mod:`~..proxy.labelled` on the labels so far, without those of the golden set, and tests it
    there. Nothing in it is drawn at random.

    Args:
        embeddings: (N, D) finite
        golden_rows: (G,) those rows of the golden set that have a label, ``golden_labels`` (G,). A class that no other
            label is of counts as wrong
    """
    rows, truth = np.asarray(golden_rows, dtype=np.int64), np.asarray(golden_labels)
    known = labelled.without(rows)
    n = len(rows)
    if n == 0:
        return GoldenMeasure(None, labels=len(known), reason="No image of the golden set is labelled yet.")
    if len(known.classes) < 2:
        what = "of one class" if len(known) else "none"
        reason = f"The labels outside the golden set are {what}: a model needs two classes at least."
        return GoldenMeasure(None, n=n, labels=len(known), reason=reason)
    guessed = predicted(embeddings, known.rows, known.labels, rows)
    right = np.asarray(guessed == truth, dtype=bool)
    classes, codes = np.unique(truth, return_inverse=True)
    hits, sizes = np.bincount(codes, right, len(classes)), np.bincount(codes)
    p = (right.sum() + 1) / (n + 2)
    return GoldenMeasure(
        float(right.mean()),
        math.sqrt(p * (1 - p) / n),
        {name: (int(hit), int(size)) for name, hit, size in zip(classes.tolist(), hits, sizes)},
        n,
        len(known),
    )
